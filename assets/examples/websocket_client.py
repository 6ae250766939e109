"""Words in a recording, by the page's websocket: `python websocket_client.py FILE [URL]`."""

import json
import struct
import sys

import soundfile
from websockets.sync.client import connect

URL = "ws://127.0.0.1:7860/listen"  # with --auth: ws://NAME:PASSWORD@127.0.0.1:7860/listen
samples, rate = soundfile.read(sys.argv[1], dtype="int16", always_2d=True)
with connect(sys.argv[2] if len(sys.argv) > 2 else URL) as socket:
    socket.send(json.dumps({"sample_rate_hz": rate}))
    for number, start in enumerate(range(0, len(samples), 1024)):
        chunk = samples[start : start + 1024, 0].astype("<i2").tobytes()
        socket.send(struct.pack("<II", number, start) + chunk)
    socket.send(json.dumps({"end": True}))
    for message in map(json.loads, socket):
        if message["type"] == "word":
            print(f"{message['time_s']:.2f} s  {message['keyword']}  {message['score']:.3f}")
