"""The README's functions of one's own, each in its script, at work on sign-ups."""

import re
import signal
import subprocess
import sys

import pytest
from aiosmtpd.controller import Controller
from broker import free_port
from people import users
from readme import snippet, source
from script import BATCH, FAREWELL, STREAMING, wait_until

FUNCTION = re.compile(r"^def (process_messages?)\(.*?\n\n\n", re.DOTALL | re.MULTILINE)


@pytest.fixture
def start_own_work(start, tmp_path):
    """Start a copy of a script that has the README's function in place of its own."""

    def start_own_work(script, *flags, **options):
        code, times = FUNCTION.subn(lambda _: f"{snippet(script)}\n\n", source(script))
        assert times == 1
        copy = tmp_path / script
        copy.write_text(code, encoding="utf-8")
        return start(str(copy), *flags, **options)

    return start_own_work


class Inbox:
    """What the mail server has received."""

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


def test_each_user_gets_one_real_email_however_often_the_worker_is_stopped(
    start_own_work, signups, inbox
):
    expected = users(*range(200))
    signups.publish(*expected)
    env = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": inbox.server.port}
    for count in (20, 60, 200):
        worker = start_own_work(STREAMING, env=env)
        wait_until(lambda: len(inbox.messages) >= count, f"{count} emails")  # noqa: B023
        assert worker.send(*[signal.SIGINT] * 3).ended() == 0
        assert worker.out[-1].strip() == FAREWELL, worker
    assert [to for to, _ in inbox.messages] == [[email] for email in expected]
    for [email], text in inbox.messages:
        assert f"Message-ID: <welcome-{email}>" in text and f"To: {email}" in text


SELECT = """
import sys
from chdb.session import Session
print(Session(sys.argv[1]).query("SELECT email, status FROM users FINAL", "TSV"))
"""


@pytest.mark.slow
def test_the_buffer_is_in_the_table_after_a_stop_and_a_repeated_batch_changes_nothing(
    start_own_work, signups, tmp_path
):
    pytest.importorskip("chdb", reason="needs chdb, of tests/requirements-slow.txt")
    database = str(tmp_path / "database")
    signups.publish(*users(*range(20)))
    for group in ("first", "again"):
        signups.group = f"{group}-{signups.topic}"
        worker = start_own_work(BATCH, "--interval", 600, env={"DATABASE": database})
        worker.wait_for("received a message", times=20)
        assert worker.send(signal.SIGINT, signal.SIGINT).ended() == 0
        assert signups.lag() == 0 and worker.out[-1].strip() == FAREWELL
        command = [sys.executable, "-c", SELECT, database]
        shown = subprocess.run(command, capture_output=True, check=True, text=True)
        everybody = [f"{email}\tWaiting Confirmation" for email in users(*range(20))]
        assert sorted(shown.stdout.strip().splitlines()) == sorted(everybody)
