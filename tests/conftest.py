"""Fixtures: one real broker for all tests. Each test has its own topic and processes.

With KAFKA_BOOTSTRAP_SERVERS in the environment, the tests use that broker instead.
"""

import os
import shutil
import signal
import tempfile

import pytest

pytest.register_assert_rewrite("people", "script", "signups")  # show comparisons

from broker import Broker, free_port  # noqa: E402
from script import PRODUCER, ROOT, SCRIPTS, WORKERS, Script, quick  # noqa: E402
from secure import SecureBroker  # noqa: E402
from signups import SignUps  # noqa: E402

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
    parser.addoption("--place", default="", help="repeat this of test_every_line.py")


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
    config.shared = {"bootstrap": os.environ.get("KAFKA_BOOTSTRAP_SERVERS")}
    if not config.shared["bootstrap"]:
        config.data = tempfile.mkdtemp(prefix="kafka-tests-")
        config.broker = SecureBroker(config.data)
        config.broker.start()
        config.shared = {
            "bootstrap": config.broker.address,
            "secured": config.broker.environment,
            "mutual": config.broker.mutual_environment,
        }
        signups = SignUps(config.broker.address)
        signups.commit(0)  # so that the broker has a coordinator before the first test
        signups.close()


def pytest_configure_node(node):
    """Tell an xdist worker where that broker is."""
    node.workerinput["shared"] = node.config.shared


def pytest_unconfigure(config):
    """End the broker and remove its data."""
    if hasattr(config, "broker"):
        config.broker.kill()
        shutil.rmtree(config.data)


@pytest.fixture(scope="session")
def shared(request):
    """What pytest_configure found out, also in an xdist worker."""
    return getattr(request.config, "workerinput", vars(request.config))["shared"]


@pytest.fixture(scope="session")
def bootstrap(shared):
    """The address of the broker that the tests share."""
    return shared["bootstrap"]


@pytest.fixture(scope="session")
def secured(shared):
    """The environment that leads to that broker's SASL_SSL listener, as alice."""
    if "secured" not in shared:
        pytest.skip("KAFKA_BOOTSTRAP_SERVERS names a broker without users")
    return shared["secured"]


@pytest.fixture(scope="session")
def mutual(shared, secured):
    """The environment that leads to its listener for mutual TLS, as alice."""
    return shared["mutual"]


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
    request.addfinalizer(broker.kill)
    broker.start()
    return broker


@pytest.fixture
def own_signups(own_broker, request):
    """The topic and the group of this test on that broker."""
    signups = SignUps(own_broker.address, getattr(request, "param", 1))
    yield signups
    signups.close()


@pytest.fixture(params=WORKERS)
def worker_script(request):
    """The test runs once for each worker."""
    return request.param


@pytest.fixture(params=SCRIPTS)
def any_script(request):
    """The test runs once for each script."""
    return request.param


@pytest.fixture
def start(request):
    """Start a script on the topic of this test. In the end, kill what still runs."""
    scripts = []

    def start(script, *flags, signups=None, **options):
        signups = signups or request.getfixturevalue("signups")
        options = {"bootstrap": signups.bootstrap, **options}
        scripts.append(Script(script, *signups.place(script), *flags, **options))
        return scripts[-1]

    yield start
    for script in scripts:
        script.kill()
        print(script)  # pytest shows it if the test failed


@pytest.fixture
def start_changed(start, tmp_path):
    """Start a copy of a script in which a text is replaced by another one."""

    def start_changed(script, old, new, *flags, **options):
        code = (ROOT / script).read_text(encoding="utf-8")
        assert code.count(old) == 1
        copy = tmp_path / script
        copy.write_text(code.replace(old, new), encoding="utf-8")
        return start(str(copy), *flags, **options)

    return start_changed


@pytest.fixture
def complete(start, signups):
    """Run a script until everybody is published, or handled. Return it."""

    def complete(name, **options):
        script = start(name, *quick(name), **options)
        if name == PRODUCER:
            assert script.ended() == 0, script
        else:
            signups.wait_until_done()
            script.stop()
        return script

    return complete
