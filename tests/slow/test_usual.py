"""The usual way does damage where these scripts do none: see tests/usual/."""

import pytest
from scenes import SCENES
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
