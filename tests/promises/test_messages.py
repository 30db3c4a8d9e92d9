"""Messages that are not as they should be, and work that fails."""

import pytest
from confluent_kafka import Producer
from people import users
from script import LIMIT, STREAMING, quick, wait_until

NO_EMAILS = {
    "null": None,
    "empty": b"",
    "blanks": b"  ",
    "no UTF-8": b"\xff\xfe@gmail.com",
    "the five bytes of a schema registry": b"\0\0\0\0\7eve@gmail.com",
    "a byte order mark": "\ufeffeve@gmail.com",
    "an order to the terminal": "eve@gmail.com\x1b[2J\x07",
    "a line of its own": "eve@gmail.com\r\nfinished processing message",
    "text that is shown backwards": "eve@gmail.com\u202e",
}
LARGE = "u" * 1_000_000 + "@gmail.com"  # the limit of a broker is 48,576 bytes more


def test_what_is_no_email_is_skipped_by_name(signups, complete, worker_script):
    """Each of them. What kafka-python says is shown once a minute; this is our own."""
    signups.publish(*users(0), *[*NO_EMAILS.values()] * 6, "j\u00f6rg@gmail.com")
    worker = complete(worker_script)
    assert worker.finished == worker.begun == [*users(0), "j\u00f6rg@gmail.com"]
    skipped = [line for line in worker.err if "skipped" in line]
    assert len(skipped) == 6 * len(NO_EMAILS)
    for offset, line in enumerate(skipped, start=1):
        assert f"topic='{signups.topic}', partition=0) offset {offset}:" in line
    shown = "".join(worker.out + worker.err).replace("\n", "")
    assert "eve@" not in shown and shown.isprintable()


def test_a_very_large_message_is_a_message(signups, complete, worker_script):
    signups.publish(*users(0), LARGE, *users(1))
    worker = complete(worker_script)
    assert worker.finished == [*users(0), LARGE, *users(1)] and worker.problems == []


@pytest.mark.parametrize("signups", [0], indirect=True, ids=["lz4"])
def test_a_codec_that_is_not_installed_is_named(start, signups, of_ours, worker_script):
    """The broker compresses what it stores. Of all codecs, Python brings gzip alone."""
    signups.create(compression_type="lz4")
    signups.publish(*users(0))
    worker = start(worker_script, *quick(worker_script))
    worker.failed("lz4")
    assert worker.begun == [] and signups.committed() == 0


def publish_in_transactions(signups, *transactions):
    """Publish the users of each transaction, then abort or commit it."""
    producer = Producer({**signups.cluster, "transactional.id": signups.topic})
    producer.init_transactions(LIMIT)
    for emails, is_committed in transactions:
        producer.begin_transaction()
        for email in emails:
            producer.produce(signups.topic, email, key="key")
        producer.flush(LIMIT)
        end = (
            producer.commit_transaction if is_committed else producer.abort_transaction
        )
        end(LIMIT)


def test_an_aborted_transaction_emails_nobody(start, signups, worker_script):
    """It is tried again as a rule: whoever was in both is emailed once."""
    publish_in_transactions(
        signups, (users(0, 1, 2), False), (users(1, 2), True), (users(3), False)
    )
    signups.publish(*users(4))
    worker = start(worker_script, *quick(worker_script))
    wait_until(lambda: worker.finished[-1:] == users(4), "the last user")
    worker.stop()
    assert worker.begun == worker.finished == users(1, 2, 4) == signups.log()


def test_work_that_raises_stops_the_worker_and_is_not_committed(
    start, signups, complete, worker_script
):
    signups.publish(*users(0, 1, 2))
    options = {"altered": "work_raises", "env": {"RAISES_AT": "updating"}}
    broken = start(worker_script, *quick(worker_script), **options)
    assert broken.ended() == 1
    assert "Traceback" in "".join(broken.err)
    assert "the mail server is on fire" in broken.err[-1]
    assert signups.committed() == 0
    assert complete(worker_script).finished == users(0, 1, 2)


def test_work_that_ends_the_worker_has_failed(start, signups, complete, worker_script):
    """With status 0, nobody would start the worker again."""
    signups.publish(*users(0, 1, 2))
    options = {"altered": "work_raises", "env": {"EXITS_AT": "updating"}}
    start(worker_script, *quick(worker_script), **options).failed("sys.exit()")
    assert signups.committed() == 0
    assert complete(worker_script).finished == users(0, 1, 2)


def test_work_that_raises_takes_nothing_back_from_those_before_it(start, signups):
    """At full speed, several users share a commit."""
    signups.publish(*users(*range(10)))
    options = {"altered": "work_raises", "env": {"RAISES_AT": "updating user user5@"}}
    broken = start(STREAMING, *quick(STREAMING), **options)
    assert broken.ended() == 1
    assert "the mail server is on fire" in broken.err[-1]
    assert broken.finished == users(*range(5))
    assert signups.committed() == 5
