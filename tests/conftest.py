"""Fixtures: one real broker for all tests. Each test has its own topic and processes.

With KAFKA_BOOTSTRAP_SERVERS in the environment, the tests use that broker instead.
"""

import os
import shutil
import signal
import tempfile

import pytest

pytest.register_assert_rewrite("script", "signups")  # to show what they compare

from broker import Broker, free_port  # noqa: E402
from script import BATCH, PRODUCER, SCRIPTS, STREAMING, WORKERS, Script  # noqa: E402
from secure import SecureBroker  # noqa: E402
from signups import SignUps  # noqa: E402

IDS = {PRODUCER: "producer", STREAMING: "streaming", BATCH: "batch"}

for name in ("SIGINT", "SIGHUP", "SIGQUIT"):  # ignored under nohup and `&`
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the slow tests, too")
    parser.addoption(
        "--churn-seconds", type=float, default=60, help="length of test_churn.py"
    )
    parser.addoption(
        "--churn-seed", type=int, help="repeat the choices of a test_churn.py"
    )


def pytest_collection_modifyitems(config, items):
    """Leave out the slow tests or, if all are wanted, begin with them."""
    for item in items:
        if item.path.parent.name == "slow":
            item.add_marker("slow")
    slow = [item for item in items if item.get_closest_marker("slow")]
    others = [item for item in items if item not in slow]
    if config.option.all:
        items[:] = slow + others
    else:
        config.hook.pytest_deselected(items=slow)
        items[:] = others


def pytest_configure(config):
    """Start the broker in the process that the xdist workers have in common."""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    config.bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if not config.bootstrap:
        config.data = tempfile.mkdtemp(prefix="kafka-tests-")
        config.broker = SecureBroker(config.data)
        config.broker.start()
        config.bootstrap = config.broker.address
        config.secured = config.broker.environment
        signups = SignUps(config.bootstrap)
        signups.commit(0)  # so that the broker has a coordinator before the first test
        signups.close()
        config.mutual = config.broker.mutual_environment


def pytest_configure_node(node):
    """Tell an xdist worker where that broker is."""
    node.workerinput["bootstrap"] = node.config.bootstrap
    for name in ("secured", "mutual"):
        node.workerinput[name] = getattr(node.config, name, None)


def pytest_unconfigure(config):
    """End the broker and remove its data."""
    if hasattr(config, "broker"):
        config.broker.kill()
        shutil.rmtree(config.data)


def told(request, name):
    """Return what pytest_configure found out, also in an xdist worker."""
    config = request.config
    return getattr(config, "workerinput", vars(config)).get(name)


@pytest.fixture(scope="session")
def bootstrap(request):
    """The address of the broker that the tests share."""
    return told(request, "bootstrap")


@pytest.fixture(scope="session")
def secured(request):
    """The environment that leads to that broker's SASL_SSL listener, as alice."""
    found = told(request, "secured")
    return found or pytest.skip("KAFKA_BOOTSTRAP_SERVERS names a broker without users")


@pytest.fixture(scope="session")
def mutual(request, secured):
    """The environment that leads to its listener for mutual TLS, as alice."""
    return told(request, "mutual")


@pytest.fixture
def signups(bootstrap, request):
    """A topic of one partition and a group.

    @pytest.mark.parametrize("signups", [6], indirect=True) makes it six partitions.
    """
    signups = SignUps(bootstrap, getattr(request, "param", 1))
    yield signups
    signups.close()


@pytest.fixture
def nowhere():
    """An address where nothing listens."""
    return f"localhost:{free_port()}"


@pytest.fixture
def of_ours():
    """Skip a test that stops brokers if we were given one."""
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        pytest.skip("stops the broker, but KAFKA_BOOTSTRAP_SERVERS names a foreign one")


@pytest.fixture
def own_broker(of_ours, tmp_path, request):
    """A broker that the test may stop. Its properties are an indirect parameter."""
    broker = Broker(tmp_path, **getattr(request, "param", {}))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(params=WORKERS, ids=IDS.get)
def worker_script(request):
    """The test runs once for each worker."""
    return request.param


@pytest.fixture(params=SCRIPTS, ids=IDS.get)
def any_script(request):
    """The test runs once for each script."""
    return request.param


@pytest.fixture
def start(request):
    """Start a script on the topic of this test. In the end, kill what still runs."""
    scripts = []

    def start(script, *flags, signups=None, altered=None, env=(), **options):
        signups = signups or request.getfixturevalue("signups")
        place = ["--topic", signups.topic]
        if script != PRODUCER:
            place += ["--group", signups.group]
        options = {"bootstrap": signups.bootstrap, **options}
        scripts.append(
            Script(script, *place, *flags, altered=altered, env=env, **options)
        )
        return scripts[-1]

    yield start
    for script in scripts:
        script.kill()
        print(script)  # pytest shows it if the test failed
