"""Words in a recording, by the page's websocket: `python websocket_client.py FILE [URL]`."""

import asyncio
import json
import struct
import sys

import soundfile
from websockets import connect


async def send(socket, samples, rate):
    """A recording, as fast as the server takes it."""
    await socket.send(json.dumps({"sample_rate_hz": rate}))
    for number, start in enumerate(range(0, len(samples), 1024)):
        chunk = samples[start : start + 1024, 0].astype("<i2").tobytes()
        await socket.send(struct.pack("<II", number, start) + chunk)
    await socket.send(json.dumps({"end": True}))


async def hear(recording, url="ws://127.0.0.1:7860/listen"):  # --auth: ws://NAME:PASSWORD@...
    """Print its words while it is sent: a server that nobody reads from waits."""
    async with connect(url, ping_interval=None) as socket, asyncio.TaskGroup() as tasks:
        tasks.create_task(send(socket, *recording))
        async for heard in (json.loads(message) async for message in socket):
            if heard["type"] == "word":
                print(f"{heard['time_s']:.2f} s  {heard['keyword']}  {heard['score']:.3f}")


asyncio.run(hear(soundfile.read(sys.argv[1], dtype="int16", always_2d=True), *sys.argv[2:]))
