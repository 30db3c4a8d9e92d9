"""The README's snippets of real work, put into the scripts as it says, at work on sign-ups."""

import json
import re
import signal
import subprocess
import sys

import pytest
from aiosmtpd.controller import Controller
from broker import free_port
from kit import BATCH, FAREWELL, STREAMING, users, wait_until
from readme import OWN_WORK, blocks, source

PLACE = "is_shutting_down = False\n"


def with_own_work(script):
    """Return the script with the README's snippet above PLACE, called where the README says."""
    [part] = [part for part in OWN_WORK.split("\n\n**") if f"into `{script}`" in part]
    [snippet] = blocks("python", part)
    new, which, old = re.search(r"`([^`]+)` instead of the (\w+) `([^`]+)`", part).groups()
    before, after = source(script).split(PLACE)
    start, middle, end = after.split(old)
    first, second = {"first": (new, old), "second": (old, new)}[which]
    after = start + first + middle + second + end
    return f"import sys\nsys.argv.pop(1)\n{before}{snippet}\n\n{PLACE}{after}"


class Inbox:
    """What the mail server has taken."""

    def __init__(self):
        self.messages = []

    async def handle_DATA(self, server, session, envelope):
        self.messages.append((envelope.rcpt_tos, envelope.content.decode()))
        return "250 OK"


@pytest.fixture
def inbox():
    """A real mail server."""
    inbox = Inbox()
    inbox.server = Controller(inbox, hostname="127.0.0.1", port=free_port())
    inbox.server.start()
    yield inbox
    inbox.server.stop()


def test_a_real_email(start, signups, inbox):
    """Ctrl+C at any moment: each user gets one. A mail server that is away: exit status 1."""
    signups.publish(*users(*range(6)))
    env = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(inbox.server.port)}
    for count in (2, 6):
        worker = start(STREAMING, "--work-seconds", 0.2, code=with_own_work(STREAMING), env=env)
        wait_until(lambda: len(inbox.messages) >= count, f"{count} emails")  # noqa: B023
        assert worker.send(*[signal.SIGINT] * 3).ended() == 0
        assert worker.out[-1].strip() == FAREWELL and worker.err == []
    assert [to for recipients, _ in inbox.messages for to in recipients] == users(*range(6))
    for [to], text in inbox.messages:
        assert f"Message-ID: <welcome-{to}>" in text and f"To: {to}" in text

    signups.publish(*users(6))
    env["SMTP_PORT"] = str(free_port())
    broken = start(STREAMING, code=with_own_work(STREAMING), env=env)
    assert broken.ended() == 1
    assert "ConnectionRefusedError" in broken.err[-1] and signups.lag() == 1


def select(database):
    """Return the rows of the table, [email, status]."""
    code = "import sys; from chdb.session import Session; s = Session(sys.argv[1])\n"
    code += "print(s.query('SELECT email, status FROM users FINAL', 'JSONCompactEachRow'))"
    done = subprocess.run([sys.executable, "-c", code, database], capture_output=True, check=True)
    return [json.loads(row) for row in done.stdout.decode().splitlines() if row]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["received a message", "sending email to users"])
def test_a_real_batched_insert(start, signups, tmp_path, moment):
    """Everybody who is in the buffer at Ctrl+C is in the table; the same batch again: no matter."""
    pytest.importorskip("chdb", reason="needs chdb, of tests/requirements-slow.txt")
    database = str(tmp_path / "database")
    signups.publish(*users(*range(20)))
    for group in ("first", "again"):
        signups.group = f"{group}-{signups.topic}"
        interval = 600 if moment.startswith("received") else 3
        flags = ["--work-seconds", 0.2, "--interval", interval]
        worker = start(BATCH, *flags, code=with_own_work(BATCH), env={"DATABASE": database})
        worker.wait_for("received a message", times=20)
        worker.wait_for(moment)
        assert worker.send(signal.SIGINT, signal.SIGINT).ended() == 0
        assert signups.lag() == 0 and worker.out[-1].strip() == FAREWELL and worker.err == []
        everybody = [[email, "Waiting Confirmation"] for email in users(*range(20))]
        assert sorted(select(database)) == sorted(everybody)
