"""tests/lag.py, which tells a reader how far a group has come."""

from script import STREAMING, Script, users


def lag(signups, *flags, **options):
    """Run tests/lag.py for this topic and group."""
    flags = flags or ("--topic", signups.topic, "--group", signups.group)
    script = Script(
        "tests/lag.py", *flags, **{"bootstrap": signups.bootstrap, **options}
    )
    script.ended()
    return script


def test_it_shows_committed_offset_end_and_lag(signups, complete):
    signups.publish(*users(*range(4)))
    complete(STREAMING)
    signups.publish(*users(*range(4, 10)))
    signups.add_partitions(2)
    signups.publish(*users(10, 11, 12), partition=1)
    signups.delete_records(1, partition=1)
    assert lag(signups).out == [
        "partition  committed  end     lag\n",
        "0          4          10      6\n",
        "1          -          3       2\n",
    ]


def test_it_uses_the_credentials_of_the_scripts(signups, secured):
    signups.publish("user0@gmail.com")
    address = secured["KAFKA_BOOTSTRAP_SERVERS"]
    assert lag(signups, bootstrap=address, env=secured).out[1].split()[2:] == ["1", "1"]
    wrong = {**secured, "KAFKA_SASL_PLAIN_PASSWORD": "wrong"}
    lag(signups, bootstrap=address, env=wrong).failed("Authentication failed")


def test_what_is_wrong_is_said_in_one_line(signups, nowhere):
    for wrong, word in [
        (lag(signups, bootstrap=nowhere), nowhere),
        (lag(signups, "--topic", "mistyped"), "mistyped"),
    ]:
        wrong.failed(word)
        assert len(wrong.err) == 1
    assert "mistyped" not in signups.topics(), "asking created it"
