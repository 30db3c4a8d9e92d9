"""Fixtures: one real broker for the whole run, and for each test its own topic and processes."""

import os
import shutil
import signal
import tempfile

import pytest

pytest.register_assert_rewrite("kit")  # so that its assertions show what they compare

from broker import Broker, free_port  # noqa: E402
from kit import Script, SignUps  # noqa: E402
from secure import SecureBroker  # noqa: E402

for name in ("SIGINT", "SIGHUP", "SIGQUIT"):  # ignored under nohup and `&`
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the tests marked slow, too")
    parser.addoption("--churn-seconds", type=float, default=60, help="length of test_churn.py")
    parser.addoption("--churn-seed", type=int, help="what it does, and in which order")


def pytest_collection_modifyitems(config, items):
    """Leave out the slow tests or, if all are wanted, begin with them."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    others = [item for item in items if item not in slow]
    if not config.option.all:
        config.hook.pytest_deselected(items=slow)
    items[:] = [*slow, *others] if config.option.all else others


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


def pytest_configure_node(node):
    """Tell an xdist worker where that broker is."""
    node.workerinput["bootstrap"] = node.config.bootstrap
    node.workerinput["secured"] = getattr(node.config, "secured", None)


def pytest_unconfigure(config):
    """End the broker and remove its data."""
    if hasattr(config, "broker"):
        config.broker.kill()
        shutil.rmtree(config.data)


@pytest.fixture(scope="session")
def bootstrap(request):
    """The address of the broker that the tests share."""
    return getattr(request.config, "workerinput", vars(request.config))["bootstrap"]


@pytest.fixture(scope="session")
def secured(request):
    """The environment that leads to the SASL_SSL listener of that broker, as alice, by PLAIN."""
    found = getattr(request.config, "workerinput", vars(request.config)).get("secured")
    return found or pytest.skip("needs a broker of ours: KAFKA_BOOTSTRAP_SERVERS names another")


@pytest.fixture
def signups(bootstrap, request):
    """A topic of one partition; @pytest.mark.parametrize("signups", [6], indirect=True) for six."""
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
        pytest.skip("stops the broker, and KAFKA_BOOTSTRAP_SERVERS names one that is not ours")


@pytest.fixture
def own_broker(of_ours, tmp_path, request):
    """A broker that the test may stop; its properties, if any, by indirect parametrization."""
    broker = Broker(tmp_path, **getattr(request, "param", {}))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def start(request):
    """Start a script on the topic of this test; whatever still runs in the end is killed."""
    scripts = []

    def start(script, *arguments, signups=None, **options):
        signups = signups or request.getfixturevalue("signups")
        arguments = ["--topic", signups.topic, *arguments]
        if script != "producer.py":
            arguments += ["--group", signups.group]
        options.setdefault("bootstrap", signups.bootstrap)
        scripts.append(Script(script, *arguments, **options))
        return scripts[-1]

    yield start
    for script in scripts:
        script.kill()
        print(script)  # shown if the test failed
