"""The README's functions of one's own, each in its script, at work on sign-ups."""

import re
import signal
import socket

import pytest
from aiosmtpd.controller import Controller
from broker import free_port
from people import users
from readme import example, scenes, snippet, source
from script import (
    BATCH,
    FAREWELL,
    PRODUCER,
    STREAMING,
    WORKERS,
    Script,
    environment,
    wait_until,
)
from terminal import PATH, Terminal

FUNCTION = re.compile(r"^def (process_messages?)\(.*?\n\n\n", re.DOTALL | re.MULTILINE)


@pytest.fixture
def with_own_work(tmp_path):
    """Return a copy of a script that has the README's function in place of its own."""

    def with_own_work(script):
        code, times = FUNCTION.subn(lambda _: f"{snippet(script)}\n\n", source(script))
        assert times == 1
        copy = tmp_path / script
        copy.write_text(code, encoding="utf-8")
        return copy

    return with_own_work


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
    start, with_own_work, signups, inbox
):
    expected = users(*range(200))
    signups.publish(*expected)
    env = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": inbox.server.port}
    script = str(with_own_work(STREAMING))
    for count in (20, 60, 200):
        worker = start(script, env=env)
        wait_until(lambda: len(inbox.messages) >= count, f"{count} emails")  # noqa: B023
        assert worker.send(*[signal.SIGINT] * 3).ended() == 0
        assert worker.out[-1].strip() == FAREWELL, worker
    assert [to for to, _ in inbox.messages] == [[email] for email in expected]
    for [email], text in inbox.messages:
        assert f"Message-ID: <welcome-{email}>" in text and f"To: {email}" in text


@pytest.mark.slow
@pytest.mark.parametrize("script", WORKERS)
def test_an_example_is_what_the_terminals_show(script, with_own_work, own_broker):
    """Word for word, but for the port, after a producer that ran twice."""
    if script == BATCH:
        pytest.importorskip("chdb", reason="needs chdb, of tests/requirements-slow.txt")
    for _ in range(2):
        assert Script(PRODUCER, bootstrap=own_broker.address).ended() == 0
    directory, port = with_own_work(script).parent, free_port()
    silence = {"PIP_QUIET": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    env = {**environment(own_broker.address), "PATH": PATH, **silence}
    played = scenes(example(script))
    terminals = {name: Terminal(directory, env) for name, _ in played}
    try:
        for name, transcript in played:
            terminals[name].play(transcript.replace("8025", str(port)))
            if "aiosmtpd" in transcript:
                wait_until(lambda: listens(port), "a mail server")
    finally:
        for terminal in terminals.values():
            terminal.close()


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
