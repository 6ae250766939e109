"""A microphone through PortAudio, which is waited for when it goes away.

PortAudio calls back from a thread of its own, which may never wait: there a block is copied into a
queue, and everything else happens where `read` is called.

What PortAudio tells is not enough (all of it tried with ALSA's plugin for PulseAudio): it reports
no overflow, so samples are compared with the clock; a device that is suspended just stops calling,
so silence of the callback has a limit; its list of devices is made once, so it is started anew
before each try to open a device that was lost, which also helps when the sound server has died.
"""

import time
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from app.devices import (
    InputDevice,
    MicrophoneError,
    find_again,
    find_device,
    input_devices,
    portaudio,
    reason,
    start_anew,
)
from app.sources import NOTHING, PIECE_S, SILENT, WAIT_S, Piece
from sssm.audio import READABLE_RATES_HZ, Samples

MOST_WAITING = 1_000  # blocks, 10 s: what a program that falls behind can catch up with
STALL_S = 2.0  # without a block, after which a device counts as lost
RETRY_S = 0.5
WINDOW_S = 1.0  # in which the promptest block tells how late the others are
LOST_S = 0.05  # later than in the window before by more than this is loss, by less a clock's drift


class Microphone:
    """A device, at its own default rate; a `Source` that never ends.

    When the device goes away, `read` says so once and gives nothing until it, or for the default
    device whatever is the default then, is back.

    Args:
        wanted: index, name or part of a name; None for the default.

    Raises:
        MicrophoneError: here or in `start`: there is no such device, or it cannot be opened.
    """

    live = True

    def __init__(self, wanted: str | None = None):
        self._wanted = wanted
        self._take(find_device(wanted, input_devices()))
        self._opened: _Opened | None = None
        self._fresh = True  # until the first block of an opened device
        self._lost = False  # from a loss until the next block
        self._next_try_s = 0.0

    def start(self) -> None:
        self._opened = _Opened(self._device)

    def read(self) -> Piece:
        if self._opened is None:
            return self._try_again()
        blocks, flags, lost_s = self._opened.take()
        if not blocks:
            return self._lose() if self._opened.is_gone else NOTHING
        notes = (f"listening again to {self.name}",) if self._lost else ()
        # More than one where the program fell behind: one large push catches up.
        samples = np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
        piece = Piece(samples, self._fresh, flags, lost_s, notes)
        self._fresh = self._lost = False
        return piece

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _take(self, device: InputDevice) -> None:
        self._device, self.name = device, device.name
        self.sample_rate_hz = device.sample_rate_hz

    def _lose(self) -> Piece:
        assert self._opened is not None
        why = "is gone" if self._opened.ended else f"gave nothing for {STALL_S:g} s"
        self.close()
        self._next_try_s = time.monotonic() + RETRY_S
        # A device that opens and then gives nothing is lost again and again, and said once.
        notes = () if self._lost else (f"{self.name} {why}: waiting for it",)
        self._lost = self._fresh = True
        return Piece(SILENT, notes=notes)

    def _try_again(self) -> Piece:
        now_s = time.monotonic()
        if now_s < self._next_try_s:
            time.sleep(min(WAIT_S, self._next_try_s - now_s))
            return NOTHING
        try:
            start_anew()
            devices = input_devices()
            by_default = self._wanted is None
            self._take(
                find_device(None, devices) if by_default else find_again(self._device, devices)
            )
            self.start()
        except MicrophoneError:
            self._next_try_s = time.monotonic() + RETRY_S
        return NOTHING


class Lateness:
    """Sound that is missing, by the clock.

    A block comes late when the machine is busy, but the promptest of a second tells how many
    samples there should have been.  Where that one is suddenly later than a second before, the
    samples in between were lost; a clock of the device that runs slow or fast is later by little.
    """

    def __init__(self, sample_rate_hz: int):
        self._rate = sample_rate_hz
        self._samples = 0
        self._start_s: float | None = None
        self._window_s = 0.0  # end of the window
        self._least = float("inf")  # lateness in the window
        self._before: float | None = None

    def hear(self, now_s: float, samples: int) -> float:
        """Seconds of sound that were found to be lost when a block of so many samples arrived."""
        if self._start_s is None:
            self._start_s, self._window_s = now_s, now_s + WINDOW_S
        self._samples += samples
        late = now_s - self._start_s - self._samples / self._rate
        # After a hold-up blocks come at once, each less late by its length: wait for the last.
        catches_up = late < self._least - 0.5 * samples / self._rate
        self._least = min(self._least, late)
        if now_s < self._window_s or catches_up:
            return 0.0
        lost = self._least - self._before if self._before is not None else 0.0
        self._before, self._least = self._least, float("inf")
        self._window_s = now_s + WINDOW_S
        return lost if lost > LOST_S else 0.0


class _Opened:
    """A stream of PortAudio that runs, and the queue between its thread and ours."""

    def __init__(self, device: InputDevice):
        self._queue: SimpleQueue[tuple[float, Samples, bool] | None] = SimpleQueue()
        self._lateness = Lateness(device.sample_rate_hz)
        self._dropped = 0  # samples, counted in the callback
        self._told = 0  # of them
        self._waits = 0  # in a row that brought no block
        self._flagged_s = -float("inf")
        self.ended = False
        self._rate = device.sample_rate_hz
        self._channels = 1
        self._stream = self._open(device)

    def take(self) -> tuple[list[Samples], int, float]:
        """Blocks that wait, or the first that arrives; overflows, and seconds that were lost."""
        blocks: list[Samples] = []
        overflows, lost_s = 0, 0.0
        try:
            item = self._queue.get(timeout=WAIT_S)
            while True:
                if item is not None:
                    arrived_s, block, flagged = item
                    blocks.append(block)
                    late_s = self._lateness.hear(arrived_s, len(block))
                    # What PortAudio flagged, the clock finds a little later: one incident.
                    known = arrived_s - self._flagged_s < 2 * WINDOW_S
                    overflows += flagged or (late_s > 0 and not known)
                    lost_s += late_s
                    self._flagged_s = arrived_s if flagged else self._flagged_s
                item = self._queue.get_nowait()
        except Empty:
            pass
        # Waits are counted, not seconds: a program that was itself stopped lost no device.
        self._waits = 0 if blocks else self._waits + 1
        dropped = self._dropped
        if dropped > self._told:
            overflows += 1
            lost_s += (dropped - self._told) / self._rate
            self._told = dropped
        return blocks, overflows, lost_s

    @property
    def is_gone(self) -> bool:
        """Whether no more blocks are to be expected, once the queue is empty."""
        return self.ended or self._waits * WAIT_S >= STALL_S

    def close(self) -> None:
        self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)

    def _hear(self, memory: Any, frames: int, _time: Any, status: Any) -> None:
        """On PortAudio's thread, which uses the memory again."""
        if self._queue.qsize() < MOST_WAITING:
            block = np.frombuffer(memory, np.float32).reshape(frames, self._channels).copy()
            self._queue.put((time.monotonic(), block, bool(status.input_overflow)))
        else:
            self._dropped += frames

    def _end(self) -> None:
        """On PortAudio's thread, when the device is unplugged."""
        self.ended = True
        self._queue.put(None)

    def _open(self, device: InputDevice) -> Any:
        sounddevice = portaudio()
        low, high = READABLE_RATES_HZ
        if not low <= device.sample_rate_hz <= high:
            raise MicrophoneError(f"{device.name} records at {device.sample_rate_hz} Hz")
        # Some devices have no stream of one channel; the spotter averages what there is.
        error: Exception | None = None
        for channels in sorted({1, min(2, device.channels), device.channels}):
            self._channels = channels
            try:
                # Raw: `InputStream` sets the shape of an array, which NumPy 2.5 deprecates.
                stream = sounddevice.RawInputStream(
                    device=device.index, channels=channels, dtype="float32",
                    samplerate=device.sample_rate_hz,
                    blocksize=round(PIECE_S * device.sample_rate_hz),
                    callback=self._hear, finished_callback=self._end,
                )  # fmt: skip
            except (sounddevice.PortAudioError, ValueError) as refused:
                error = error or refused
                continue
            try:
                stream.start()
            except sounddevice.PortAudioError as refused:
                stream.close(ignore_errors=True)
                error = refused
                break
            return stream
        raise MicrophoneError(f"{device.name} cannot be opened: {reason(error)}")
