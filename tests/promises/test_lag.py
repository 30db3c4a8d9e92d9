"""tests/lag.py, which tells a reader how far a group has come."""

from script import STREAMING, Script, quick, users

LAG = "tests/lag.py"


def lag(signups, *flags, **options):
    """Run tests/lag.py for this topic and group. Return the process when it is over."""
    flags = flags or ("--topic", signups.topic, "--group", signups.group)
    script = Script(LAG, *flags, **{"bootstrap": signups.bootstrap, **options})
    script.ended()
    return script


def test_it_shows_committed_offset_end_and_lag(start, signups):
    signups.publish(*users(*range(4)))
    worker = start(STREAMING, *quick(STREAMING))
    signups.wait_until_done()
    worker.stop()
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
    refused = lag(signups, bootstrap=address, env=wrong)
    assert refused.process.returncode == 1
    assert "Authentication failed" in refused.err[-1]


def test_without_a_broker_it_says_so(signups, nowhere):
    script = lag(signups, bootstrap=nowhere)
    assert script.process.returncode == 1
    assert len(script.err) == 1
    assert script.err[0].startswith("error: ")
    assert nowhere in script.err[0]


def test_a_topic_that_does_not_exist_is_named(signups):
    script = lag(signups, "--topic", "mistyped")
    assert script.process.returncode == 1
    assert len(script.err) == 1
    assert script.err[0].startswith("error: ")
    assert "mistyped" in script.err[0]
    assert "mistyped" not in signups.topics(), "asking created it"
