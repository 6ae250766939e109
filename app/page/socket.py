"""The websocket at `/listen`: sound in, words out.  This is the protocol.

    ws://HOST:PORT/listen          with --auth: ws://USER:PASSWORD@HOST:PORT/listen

You send
    first     text    {"sample_rate_hz": 48000, "model": "s4", "sensitivity": 0.0}
                      The last two may be left out.  The sensitivity, from -3 to 3, is taken from
                      the logit of every threshold: at 1, 0.7 becomes 0.46.
    then      binary  uint32 number of the chunk, uint32 index of its first sample, int16 samples
                      of one channel; all little-endian, both numbers from 0, at most 65,536 bytes.
                      Some 20 ms in a chunk are good; any length will do.
    any time  text    {"sensitivity": 1}
    at last   text    {"end": true}: what was sent is heard, then the connection closes with 1000.

You get, as text
    {"type": "ready", "model": "s4", "keywords": [...], "thresholds": {...}, "frames_hz": 100}
    {"type": "word", "keyword": "yes", "score": 0.84, "start_s": 0.9, "time_s": 1.2}
        as soon as a word is heard; times count from sample 0
    {"type": "heard", "frame": 40, "scores": [[...], ...], "peak": 0.2, "rms": 0.03, ...}
        up to 20 times a second: smoothed scores of the keywords for frames of 10 ms from number
        `frame` on; and what was counted so far: `received_samples`, `lost_samples` (missing by
        their indices, heard as silence), `late_samples` (waited here for more than 0.5 s),
        `lost_chunks`, `replaced_samples`, `clipped_samples`, `silent_samples`
    {"type": "thresholds", "thresholds": {...}}
        after a new sensitivity

A connection is closed with a reason: 1003 what came is not in this protocol; 1008 no credentials, a
foreign origin, chunks out of order, more than 10 s missing, nothing for 60 s (at first for 10 s),
or at first an unknown model, or a rate or sensitivity out of bounds; 1009 a message too big; 1013
too many visitors; and without one where nothing of the server's was read for 60 s.  Faster than
real time is allowed: the server then reads more slowly, so read while you send, and wait for no
answer to a ping: it comes after all that was sent before has been read.
`assets/examples/websocket_client.py` is a client.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor

from fastapi import WebSocket, WebSocketDisconnect

from app.page.inbox import BUSY, GARBAGE, POLICY, Greeting, RefusalError, read_greeting
from app.page.shelf import Shelf
from app.page.visit import Visit

GREETING_S = 10.0


class Visitors:
    """Those who are listened to right now.

    Attributes:
        present: one for each connection, from its greeting to its end.
    """

    def __init__(self, most: int):
        self._most = most
        self._admitted = 0
        self.present: set[Visit] = set()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """One of the places of those who are listened to, for the length of the block.

        Raises:
            RefusalError: all are taken.
        """
        if self._admitted >= self._most:
            raise RefusalError(
                BUSY, f"{self._most} visitors are listened to already: try again later"
            )
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    @contextlib.contextmanager
    def entered(self, visit: Visit) -> Iterator[None]:
        """The visit is among `present` for the length of the block."""
        self.present.add(visit)
        try:
            yield
        finally:
            self.present.discard(visit)


async def converse(socket: WebSocket, shelf: Shelf, visitors: Visitors, pool: Executor) -> None:
    """From the handshake to the close; never raises for what a visitor does."""
    await socket.accept()
    try:
        with visitors.place():
            visit = Visit(socket, await _greeting(socket), shelf, pool)
            with visitors.entered(visit):
                await visit.run()
        await socket.close(1000, "heard to its end")
    except RefusalError as refusal:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # gone meanwhile
            await socket.close(refusal.code, refusal.reason)
    except (ConnectionError, WebSocketDisconnect):
        pass


async def _greeting(socket: WebSocket) -> Greeting:
    try:
        async with asyncio.timeout(GREETING_S):
            message = await socket.receive()
    except TimeoutError:
        raise RefusalError(POLICY, f"no greeting within {GREETING_S:.0f} s") from None
    if message["type"] == "websocket.disconnect":
        raise ConnectionResetError
    if message.get("text") is None:
        raise RefusalError(GARBAGE, 'the first message is JSON: {"sample_rate_hz": 48000}')
    return read_greeting(message["text"])
