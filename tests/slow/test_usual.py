"""The usual way does damage where these scripts do none: see tests/usual/."""

import time

import pytest
from people import users
from scenes import SCENES
from script import STREAMING, quick
from signups import SignUps


@pytest.fixture
def topics(of_ours, bootstrap, scene):
    """A topic for the usual program, and one for ours."""
    pair = [SignUps(bootstrap, scene.partitions) for _ in range(2)]
    yield pair
    for signups in pair:
        signups.close()


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.title)
def test_the_usual_way_does_damage_and_ours_does_none(scene, topics, start):
    usual, ours = scene.play(topics, start)
    assert not scene.is_promised(usual)
    assert scene.is_promised(ours)


@pytest.mark.parametrize(
    "script, is_counted_on",
    [("tests/usual/never_closed.py", True), (STREAMING, False)],
    ids=["never closed: the group waits for it", "closed: the group knows at once"],
)
def test_a_connection_is_closed_in_the_end(start, signups, script, is_counted_on):
    signups.publish(*users(0))
    worker = start(script, *quick(STREAMING))
    signups.wait_until_done()
    worker.stop()
    ended_at = time.monotonic()
    assert bool(signups.members()) == is_counted_on
    signups.wait_for_members(0)
    assert (time.monotonic() - ended_at > 5) == is_counted_on
