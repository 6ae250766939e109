"""One visitor who is listened to: reads, hears in a thread, answers; bounded in all it holds.

Decided here: how much is heard at once, how often the visitor is answered, and that one who sends
faster than can be heard is read more slowly, not cut off.
"""

import asyncio
import time
from concurrent.futures import Executor
from typing import Any

import numpy as np
from fastapi import WebSocket
from numpy.typing import NDArray

from app.page.hearing import Completed, Hearing
from app.page.inbox import GARBAGE, POLICY, Greeting, Inbox, RefusalError, read_wish
from app.page.shelf import Shelf
from sssm.int16 import as_float
from sssm.timing import FRAMES_HZ

TURN_S = 0.5  # of sound in one turn of the thread, so that nobody waits long for another's
PAUSE_S = 0.02  # between two turns: several chunks cost little more than one
REPORT_S = 0.05
WAITING_S = 2.0  # of sound that may wait before reading does
IDLE_S = 60.0
DIGITS = 5  # of a score in JSON


class Visit:
    """A connection that has been greeted.

    Args:
        socket: accepted.
        greeting: what the visitor said first.
        shelf: where the model is.
        pool: threads that hear.
    """

    def __init__(self, socket: WebSocket, greeting: Greeting, shelf: Shelf, pool: Executor):
        self._socket, self._greeting = socket, greeting
        self._shelf, self._pool = shelf, pool
        self._model = greeting.model or shelf.names[0]
        self._news = asyncio.Event()  # something was read
        self._room = asyncio.Event()  # something was heard
        self._wanted: float | None = None  # sensitivity
        self._frame = 0  # number of the first frame of the next report
        self._frames: list[NDArray[np.float64]] = []
        self._sounds: list[NDArray[np.int16]] = []
        self._reported_s = 0.0

    async def run(self) -> None:
        """Until the visitor has said that this is the end, and all has been heard.

        Raises:
            RefusalError: the visitor broke the protocol.
            WebSocketDisconnect: the visitor is gone.
        """
        rate = self._greeting.sample_rate_hz
        try:
            spotter = await self._in_thread(
                self._shelf.spotter, self._model, self._greeting.sensitivity
            )
            self._hearing = await self._in_thread(Hearing, spotter, rate)
        except ValueError as error:
            raise RefusalError(POLICY, str(error)) from None
        self._inbox = Inbox(rate)
        await self._say({
            "type": "ready", "model": self._model, "keywords": list(spotter.keywords),
            "thresholds": spotter.thresholds, "frames_hz": FRAMES_HZ,
        })  # fmt: skip
        reader = asyncio.create_task(self._read())
        reader.add_done_callback(lambda _: self._news.set())
        try:
            while await self._turn(reader):
                await asyncio.sleep(PAUSE_S)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self) -> None:
        """What comes, into the inbox, until the end."""
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    message = await self._socket.receive()
            except TimeoutError:
                raise RefusalError(POLICY, f"nothing came for {IDLE_S:.0f} s") from None
            if message["type"] == "websocket.disconnect":
                raise ConnectionResetError
            if (chunk := message.get("bytes")) is not None:
                self._inbox.put(chunk, time.monotonic())
            else:
                wish = read_wish(message["text"])
                if wish.sensitivity is not None:
                    self._wanted = wish.sensitivity
                if wish.end:
                    return
            self._news.set()
            while self._inbox.waiting_s > WAITING_S:
                self._room.clear()
                await self._room.wait()

    async def _turn(self, reader: "asyncio.Task[None]") -> bool:
        """Hear what waits; whether there may be more."""
        await self._news.wait()
        self._news.clear()
        self._raise_from(reader)
        if (wanted := self._wanted) is not None:
            self._wanted = None
            await self._adjust(wanted)
        sound = self._inbox.take(TURN_S, time.monotonic())
        self._room.set()
        if len(sound):
            await self._answer(sound, await self._in_thread(self._hearing.push, sound))
        if self._inbox.waiting_s > 0:
            self._news.set()
            return True
        if reader.done():
            self._raise_from(reader)
            await self._report()
            return False
        return True

    def _raise_from(self, reader: "asyncio.Task[None]") -> None:
        if reader.done() and (error := reader.exception()) is not None:
            raise error

    async def _adjust(self, sensitivity: float) -> None:
        try:
            spotter = await self._in_thread(self._shelf.spotter, self._model, sensitivity)
        except ValueError as error:
            raise RefusalError(GARBAGE, str(error)) from None
        self._hearing.take_thresholds(spotter)
        await self._say({"type": "thresholds", "thresholds": spotter.thresholds})

    async def _answer(self, sound: NDArray[np.int16], heard: Completed) -> None:
        """Detections at once, scores some at a time."""
        for detection in heard.detections:
            await self._say({"type": "word", **detection._asdict()})
        self._sounds.append(sound)
        self._frames.append(heard.smoothed)
        if time.monotonic() - self._reported_s >= REPORT_S:
            await self._report()

    async def _report(self) -> None:
        if not self._sounds:
            return
        smoothed = np.concatenate(self._frames)
        level = as_float(np.concatenate(self._sounds))
        await self._say({
            "type": "heard", "frame": self._frame,
            "scores": np.round(smoothed, DIGITS).tolist(),
            "peak": round(float(np.abs(level).max()), DIGITS),
            "rms": round(float(np.sqrt(np.square(level).mean())), DIGITS),
            **self._inbox.counters(), **self._hearing.health._asdict(),
        })  # fmt: skip
        self._frame += len(smoothed)
        self._frames, self._sounds = [], []
        self._reported_s = time.monotonic()

    async def _say(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(IDLE_S):  # who reads nothing would keep a place for ever
                await self._socket.send_json(message)
        except TimeoutError:
            raise ConnectionResetError from None
        except RuntimeError:  # the server has closed it meanwhile, as after a message too long
            raise ConnectionResetError from None

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
