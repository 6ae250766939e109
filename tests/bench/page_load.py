"""Visitors who stream to the page at once: is anything lost, how late is it, how many fit a core.

    python tests/bench/page_load.py

`sssm demo` runs in a process of its own; the visitors are in this one, each sending 48 kHz sound in
chunks of 20 ms as a browser does.  Latency: from sending the chunk that completes a frame to
receiving its scores.  The last line is JSON; the exit code is 1 where something was lost or late.
"""

import asyncio
import json
import struct
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import soundfile
import soxr
import typer
from websockets.asyncio.client import connect

RATE_HZ = 48_000
CHUNK = 1_024  # samples, as the page's worklet sends
LATE_S = 1.0
ROOT = Path(str(files("app"))).parent


def main(
    visitors: Annotated[int, typer.Option(min=1)] = 16,
    seconds: Annotated[float, typer.Option(min=1)] = 20.0,
    model: Annotated[str, typer.Option(metavar="NAME|FILE")] = "s4",
) -> None:
    """Stream, and say what came of it."""
    command = [sys.executable, "-m", "app.cli", "demo", "--port", "0", "--model", model]
    command += ["--max-visitors", str(visitors)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip().replace("http", "ws") + "/listen"
            reports, cpu_s = asyncio.run(_all(url, visitors, seconds, server.pid))
        finally:
            server.terminate()
    latencies = np.concatenate([report["latencies"] for report in reports])
    result = {
        "visitors": visitors,
        "seconds": seconds,
        "samples_sent": sum(report["sent"] for report in reports),
        "samples_received": sum(report["received_samples"] for report in reports),
        "samples_lost": sum(report["lost_samples"] for report in reports),
        "words_heard": sum(report["words"] for report in reports),
        "latency_s": {
            name: round(float(np.quantile(latencies, q)), 3)
            for name, q in (("median", 0.5), ("99%", 0.99), ("most", 1.0))
        },
        "cpu_s": round(cpu_s, 2),
        "visitors_a_core": round(visitors * seconds / cpu_s, 1),
    }
    print(json.dumps(result))
    lost = result["samples_sent"] - result["samples_received"] + result["samples_lost"]
    if lost or latencies.max() > LATE_S:
        raise typer.Exit(1)


async def _all(
    url: str, visitors: int, seconds: float, pid: int
) -> tuple[list[dict[str, Any]], float]:
    """Every visitor's report, and the processor time of the server while they streamed."""
    word, rate = soundfile.read(ROOT / "assets/demo.wav", dtype="float32")
    word = (soxr.resample(word, rate, RATE_HZ) * 32_767).astype("<i2")
    x = np.resize(np.concatenate([word, np.zeros(RATE_HZ // 2, "<i2")]), int(seconds * RATE_HZ))
    async with asyncio.timeout(120):  # for the server to start, and to compile its loops
        while True:
            try:
                await _visit(url, x[:RATE_HZ])
                break
            except OSError:
                await asyncio.sleep(0.1)
    before_s = _cpu_s(pid)
    reports = await asyncio.gather(*(_visit(url, x) for _ in range(visitors)))
    return list(reports), _cpu_s(pid) - before_s


async def _visit(url: str, x: np.ndarray) -> dict[str, Any]:
    """Send x in real time."""
    sent_s: list[float] = []  # when the chunk was sent that completed a frame
    report: dict[str, Any] = {"latencies": [], "words": 0, "sent": len(x)}

    async def send(socket: Any) -> None:
        start_s = time.monotonic()
        for number, at in enumerate(range(0, len(x), CHUNK)):
            chunk = x[at : at + CHUNK]
            await asyncio.sleep(start_s + (at + len(chunk)) / RATE_HZ - time.monotonic())
            await socket.send(struct.pack("<II", number, at) + chunk.tobytes())
            frames = (at + len(chunk)) * 100 // RATE_HZ
            sent_s.extend([time.monotonic()] * (frames - len(sent_s)))
        await socket.send('{"end": true}')

    async with connect(url, proxy=None) as socket:
        await socket.send(json.dumps({"sample_rate_hz": RATE_HZ}))
        await socket.recv()
        sending = asyncio.create_task(send(socket))
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "word":
                report["words"] += 1
            else:
                first, now_s = message["frame"], time.monotonic()
                those = sent_s[first : first + len(message["scores"])]
                report["latencies"] += [now_s - then_s for then_s in those]
                report |= {name: message[name] for name in ("received_samples", "lost_samples")}
        await sending
    return report


def _cpu_s(pid: int) -> float:
    """Processor time of a process so far, as Linux tells it; its own code's, too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    typer.run(main)
