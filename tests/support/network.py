"""SlowNetwork: a port that leads to a broker far away."""

import asyncio
import threading

from broker import free_port


class SlowNetwork:
    """Whatever goes through `port` arrives `seconds` later at `target`, or back."""

    def __init__(self, target, seconds):
        self.target, self.seconds, self.port = target, seconds, free_port()
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(
            asyncio.start_server(self.connect, "127.0.0.1", self.port)
        )
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    async def connect(self, reader, writer):
        try:
            pair = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:  # the broker is not up yet
            return writer.close()
        await asyncio.gather(self.carry(reader, pair[1]), self.carry(pair[0], writer))

    async def carry(self, reader, writer):
        while data := await reader.read(1 << 16):
            self.loop.call_later(self.seconds, writer.write, data)
        self.loop.call_later(self.seconds, writer.close)

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
