"""Words in a recording, by the page's websocket: `python websocket_client.py FILE [URL]`."""

import asyncio
import json
import struct
import sys

import soundfile
from websockets import connect

URL = "ws://127.0.0.1:7860/listen"  # with --auth: ws://NAME:PASSWORD@127.0.0.1:7860/listen


async def send(socket, path):
    """The recording, as fast as the server takes it."""
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    await socket.send(json.dumps({"sample_rate_hz": rate}))
    for number, start in enumerate(range(0, len(samples), 1024)):
        chunk = samples[start : start + 1024, 0].astype("<i2").tobytes()
        await socket.send(struct.pack("<II", number, start) + chunk)
    await socket.send(json.dumps({"end": True}))


async def hear(path, url=URL):
    """Print the words; read while the sound goes out, as a server that nobody reads from waits."""
    async with connect(url, ping_interval=None) as socket:
        sending = asyncio.create_task(send(socket, path))
        async for message in socket:
            heard = json.loads(message)
            if heard["type"] == "word":
                print(f"{heard['time_s']:.2f} s  {heard['keyword']}  {heard['score']:.3f}")
        await sending


asyncio.run(hear(*sys.argv[1:]))
