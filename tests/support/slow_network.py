"""A long way to a broker: python slow_network.py PORT TARGET SECONDS

Whatever comes in through PORT arrives SECONDS later at the port TARGET, or back.
"""

import asyncio
import sys


async def carry(reader, writer, seconds):
    loop = asyncio.get_running_loop()
    while data := await reader.read(1 << 16):
        loop.call_later(seconds, writer.write, data)
    loop.call_later(seconds, writer.close)


async def main(port, target, seconds):
    async def connect(reader, writer):
        there = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(
            carry(reader, there[1], seconds), carry(there[0], writer, seconds)
        )

    server = await asyncio.start_server(connect, "127.0.0.1", port)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
