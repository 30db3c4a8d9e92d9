"""Way: a way to the broker. It may be long, and may hold back or change answers."""

import asyncio
import contextlib
import threading


class Way:
    """A port at which the broker answers, `seconds` later than at its own.

    `changes` are functions. Each changes one answer that names the broker's port. An
    answer to the API `slow`, and what follows it, come a second later still.
    """

    def __init__(self, bootstrap, seconds=0, slow=None):
        self.target, self.seconds, self.changes = bootstrap.split(":")[1], seconds, []
        self.slow, self.tasks = slow, []
        self.loop = asyncio.new_event_loop()
        server = self.loop.run_until_complete(
            asyncio.start_server(self.connect, "127.0.0.1", 0)
        )
        port = server.sockets[0].getsockname()[1]
        self.bootstrap = f"localhost:{port}"
        self.ports = [int(n).to_bytes(4, "big") for n in (self.target, port)]
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    async def connect(self, reader, writer):
        # asyncio itself keeps weak references only, and would lose us in the middle.
        self.tasks.append(asyncio.current_task())
        back, forth = await asyncio.open_connection("127.0.0.1", self.target)
        numbers = set()  # of the questions to the slow API

        def note(question):
            if int.from_bytes(question[:2], "big") == self.slow:
                numbers.add(question[4:8])
            return question

        questions = self.carry(reader, forth, note)
        answers = self.carry(back, writer, self.change, numbers)
        await asyncio.gather(questions, answers)

    def change(self, answer):
        """Let the client come back by this way."""
        if self.changes and self.ports[0] in answer:
            answer = self.changes.pop(0)(answer)
        return answer.replace(*self.ports)

    async def carry(self, reader, writer, change, slow=()):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                frame = change(await reader.readexactly(size))
                if frame[:4] in slow:
                    await asyncio.sleep(1)
                frame = len(frame).to_bytes(4, "big") + frame
                self.loop.call_later(self.seconds, writer.write, frame)
        self.loop.call_later(self.seconds, writer.close)
