import dataclasses
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from sounds import chirps, sensitive
from virtual_microphone import (
    RATE_HZ,
    VirtualMicrophone,
    after_silence,
    virtual_microphone,
    wait_for,
)

import app.microphone
from app.devices import InputDevice, MicrophoneError, find_again, find_device, input_devices
from app.microphone import Lateness, Microphone
from app.sources import WAIT_S
from sssm.spotter import KeywordSpotter

__all__ = ["virtual_microphone"]  # a fixture


class FakePortAudioError(Exception):
    pass


class FakeStream:
    """A stream of the fake below: `give` is what its thread would do."""

    def __init__(self, fake, **options):
        if options["channels"] not in fake.channels:
            raise FakePortAudioError(
                "Error opening RawInputStream: Invalid channels [PaErrorCode 1]", 1
            )
        self.options, self.is_open = options, True
        fake.streams.append(self)
        self._fake = fake

    def start(self):
        if self._fake.refuses:
            raise FakePortAudioError("Device unavailable [PaErrorCode -9985]", -9985)

    def give(self, *values: float | tuple[float, ...], overflow: bool = False):
        """One value a frame, for every channel or one each."""
        block = np.full((len(values), self.options["channels"]), 9.0, np.float32)
        block[:] = np.array(values, np.float32).reshape(len(values), -1)
        status = SimpleNamespace(input_overflow=overflow)
        self.options["callback"](memoryview(block).cast("B"), len(block), None, status)
        block[:] = 9  # PortAudio uses the memory again

    def end(self):
        self.options["finished_callback"]()

    def abort(self, ignore_errors):
        self.is_open = False

    close = abort


class FakeSoundDevice:
    """As much of `sounddevice` as is used."""

    PortAudioError = FakePortAudioError

    def __init__(self):
        self.names = ["in", "out", "USB: Audio (hw:1,0)", "USB: Other"]
        self.inputs = [2, 0, 1, 1]
        self.default = SimpleNamespace(device=[2, 1])
        self.channels, self.refuses, self.anew = {1, 2}, False, 0
        self.streams: list[FakeStream] = []

    def query_hostapis(self):
        return ({"name": "ALSA"},)

    def query_devices(self):
        return [
            {"name": n, "hostapi": 0, "max_input_channels": i, "default_samplerate": 44_100.0}
            for n, i in zip(self.names, self.inputs, strict=True)
        ]

    def RawInputStream(self, **options):  # noqa: N802
        return FakeStream(self, **options)

    def _terminate(self):
        self.anew += 1
        if self.anew > 1:
            raise FakePortAudioError("PortAudio not initialized", -10000)

    def _initialize(self):
        pass


@pytest.fixture
def fake(monkeypatch) -> FakeSoundDevice:
    fake = FakeSoundDevice()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    monkeypatch.setattr(app.microphone, "RETRY_S", 0.0)
    return fake


def started(wanted: str | None = None) -> Microphone:
    microphone = Microphone(wanted)
    microphone.start()
    return microphone


def test_devices_are_those_that_record(fake):
    devices = input_devices()
    assert [device.index for device in devices] == [0, 2, 3]
    assert devices[1] == InputDevice(2, "USB: Audio (hw:1,0)", "ALSA", 1, 44_100, True)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [(None, 2), ("0", 0), ("3", 3), ("in", 0), ("usb: o", 3), ("USB: Audio (hw:1,0)", 2)],
)
def test_a_device_is_found(fake, wanted, index):
    assert find_device(wanted, input_devices()).index == index


def test_a_whole_name_goes_before_a_part(fake):
    fake.names[2] = "USB"
    assert find_device("USB", input_devices()).index == 2


LISTED_BY_WINDOWS = [
    InputDevice(n, name, host_api, 1, 48_000, is_default=False)
    for n, (name, host_api) in enumerate(
        [
            ("Microphone (2- USB Audio)", "MME"),
            ("Microphone (USB Audio of the ki", "MME"),  # no more of a name than this
            ("Microphone (USB Audio of the kitchen)", "Windows DirectSound"),
            ("Microphone (USB Audio of the kitchen)", "Windows WASAPI"),
        ]
    )
]


@pytest.mark.parametrize(
    ("wanted", "index"), [("(usb", 1), ("Microphone (USB Audio of the kitchen)", 2), ("kitchen", 2)]
)
def test_a_device_that_windows_lists_several_times_is_one(wanted, index):
    assert find_device(wanted, LISTED_BY_WINDOWS).index == index


def test_two_devices_that_windows_lists_are_not_one():
    with pytest.raises(MicrophoneError, match=r"fits several devices: 0 .*, 1 .*, 2 .*, 3 "):
        find_device("usb", LISTED_BY_WINDOWS)


def test_a_list_that_cannot_be_had_is_one_line(fake, monkeypatch):
    def refuse():
        raise FakePortAudioError("Host error. [PaErrorCode -9999]", -9999)

    monkeypatch.setattr(fake, "query_devices", refuse)
    with pytest.raises(MicrophoneError, match=r"^no list of devices: host error$"):
        input_devices()


@pytest.mark.parametrize("rate", [1_999, 1_000_001])
def test_a_rate_that_cannot_be_heard_is_one_line(fake, rate):
    microphone = Microphone()
    microphone._device = dataclasses.replace(microphone._device, sample_rate_hz=rate)
    with pytest.raises(MicrophoneError, match=rf"records at {rate} Hz$"):
        microphone.start()
    assert fake.streams == []


def test_without_a_default_it_is_the_first(fake):
    fake.default.device = [-1, -1]
    assert find_device(None, input_devices()).index == 0


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("out", "--device 'out' is no input device; there are: 0 'in', 2 'USB: Audio (hw:1,0)', "),
        ("usb", "--device 'usb' fits several devices: 2 'USB: Audio (hw:1,0)', 3 'USB: Other'"),
    ],
)
def test_a_device_that_is_none_is_one_line_with_those_there_are(fake, wanted, said):
    with pytest.raises(MicrophoneError) as error:
        Microphone(wanted)
    assert str(error.value).startswith(said)


def test_no_device_at_all_is_one_line(fake):
    fake.inputs = [0, 0, 0, 0]
    with pytest.raises(MicrophoneError, match="no input device"):
        Microphone()


@pytest.mark.parametrize(("raised", "said"), [(OSError, "libportaudio2"), (ImportError, "pip")])
def test_what_is_not_installed_is_said(monkeypatch, raised, said):
    class Finder:
        def find_spec(self, name, path, target=None):
            if name == "sounddevice":
                raise raised
            return None

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(MicrophoneError, match=said):
        input_devices()


def test_blocks_of_10_ms_at_the_devices_own_rate_are_copied_and_joined(fake):
    microphone = started()
    (stream,) = fake.streams
    assert stream.options["samplerate"] == microphone.sample_rate_hz == 44_100
    assert (stream.options["blocksize"], stream.options["device"]) == (441, 2)
    stream.give(0.1, 0.2)
    stream.give(0.3)
    piece = microphone.read()
    np.testing.assert_array_equal(piece.samples, np.float32([[0.1], [0.2], [0.3]]))
    assert (piece.fresh, piece.overflows, piece.lost_s, piece.notes) == (True, 0, 0.0, ())
    assert len(microphone.read().samples) == 0
    stream.give(0.4)
    assert not microphone.read().fresh


def test_a_device_without_a_stream_of_one_channel_gives_two(fake):
    fake.channels = {2}
    microphone = started("in")
    fake.streams[0].give((0.5, -0.5), (0.25, 0.75))
    np.testing.assert_array_equal(microphone.read().samples, [[0.5, -0.5], [0.25, 0.75]])


def test_of_many_channels_two_are_enough(fake):
    fake.inputs[0], fake.channels = 8, {2, 8}
    started("in")
    assert [stream.options["channels"] for stream in fake.streams] == [2]


def test_a_device_that_does_not_start_is_not_tried_with_more_channels(fake):
    fake.refuses = True
    with pytest.raises(MicrophoneError, match=r"in cannot be opened: device unavailable$"):
        started("in")
    assert len(fake.streams) == 1


def test_a_device_that_cannot_be_opened_is_one_line(fake):
    microphone = Microphone()
    fake.refuses = True
    with pytest.raises(MicrophoneError, match=r"cannot be opened: device unavailable$"):
        microphone.start()
    assert not fake.streams[0].is_open
    fake.channels = set()
    with pytest.raises(MicrophoneError, match=r"cannot be opened: invalid channels$"):
        microphone.start()


def test_overflows_that_portaudio_tells_of_are_counted(fake):
    microphone = started()
    fake.streams[0].give(0.1, overflow=True)
    fake.streams[0].give(0.1)
    assert microphone.read().overflows == 1


def test_a_full_queue_drops_and_counts(fake, monkeypatch):
    monkeypatch.setattr(app.microphone, "MOST_WAITING", 3)
    microphone = started()
    for n in range(5):
        fake.streams[0].give(*[n] * 441)
    piece = microphone.read()
    assert len(piece.samples) == 3 * 441
    assert (piece.overflows, piece.lost_s) == (1, pytest.approx(0.02))
    fake.streams[0].give(1.0)
    assert microphone.read().overflows == 0


def test_a_lost_device_is_waited_for_and_said_once(fake):
    microphone = started("USB: Audio (hw:1,0)")
    fake.streams[0].give(0.1)
    fake.streams[0].end()
    assert len(microphone.read().samples) == 1  # what had been heard is not lost
    assert microphone.read().notes == ("USB: Audio (hw:1,0) is gone: waiting for it",)
    assert not fake.streams[0].is_open
    fake.names[2] = "something else"
    for _ in range(3):
        assert microphone.read().notes == ()
    assert len(fake.streams) == 1
    fake.names = ["other", "out", "in", "USB: Audio (hw:3,0)"]
    fake.refuses = True
    microphone.read()
    fake.refuses = False
    microphone.read()
    assert fake.streams[-1].options["device"] == 3
    fake.streams[-1].give(0.2)
    piece = microphone.read()
    assert (piece.fresh, piece.notes) == (True, ("listening again to USB: Audio (hw:3,0)",))
    fake.streams[-1].give(0.3)
    piece = microphone.read()
    assert (piece.fresh, piece.notes) == (False, ())


def test_a_portaudio_that_does_not_start_is_tried_again(fake, monkeypatch):
    microphone = started()
    fake.streams[0].end()
    microphone.read()

    def refuse():
        raise FakePortAudioError("Internal error [PaErrorCode -9986]", -9986)

    with monkeypatch.context() as patched:
        patched.setattr(fake, "_initialize", refuse)
        for _ in range(2):
            assert len(microphone.read().samples) == 0
        assert len(fake.streams) == 1
    microphone.read()
    assert (fake.anew, len(fake.streams)) == (3, 2)


def test_a_lost_device_is_not_tried_all_the_time(fake, monkeypatch):
    monkeypatch.setattr(app.microphone, "WAIT_S", 0.001)
    monkeypatch.setattr(app.microphone, "RETRY_S", 600.0)
    microphone = started()
    fake.streams[0].end()
    for _ in range(4):
        microphone.read()
    assert fake.anew == 0
    fake.refuses, microphone._next_try_s = True, 0.0
    for _ in range(4):
        microphone.read()
    assert fake.anew == 1


def test_pauses_with_sound_between_them_are_no_loss(fake, monkeypatch):
    monkeypatch.setattr(app.microphone, "WAIT_S", 0.001)
    monkeypatch.setattr(app.microphone, "STALL_S", 0.003)
    microphone = started()
    for _ in range(6):
        fake.streams[0].give(0.1)
        assert len(microphone.read().samples) == 1
        assert microphone.read().notes == ()
    assert fake.streams[0].is_open


def test_of_two_alike_the_one_at_the_same_place_is_the_one():
    alike = [InputDevice(index, "USB", "ALSA", 1, 48_000, False) for index in (1, 4)]
    assert find_again(alike[1], alike).index == 4
    assert find_again(InputDevice(7, "USB", "ALSA", 1, 48_000, False), alike).index == 1
    with pytest.raises(MicrophoneError, match="USB is not back"):
        find_again(InputDevice(1, "USB", "JACK", 1, 48_000, False), alike)


def test_a_lost_default_gives_way_to_the_default_of_then(fake):
    microphone = started()
    fake.streams[0].end()
    microphone.read()
    fake.default.device = [0, 1]
    microphone.read()
    assert (microphone.name, fake.streams[-1].options["device"]) == ("in", 0)


def test_a_device_that_stops_calling_is_lost_after_a_while_and_said_once(fake, monkeypatch):
    monkeypatch.setattr(app.microphone, "WAIT_S", 0.01)
    monkeypatch.setattr(app.microphone, "STALL_S", 0.05)
    microphone = started()
    notes: list[str] = []
    wait_for(lambda: notes.extend(microphone.read().notes) or notes, "the note")
    wait_for(lambda: notes.extend(microphone.read().notes) or len(fake.streams) == 4, "more tries")
    assert len(notes) == 1
    assert "gave nothing for" in notes[0]
    fake.streams[-1].give(0.1)
    wait_for(lambda: notes.extend(microphone.read().notes) or len(notes) == 2, "its return")
    assert notes[1].startswith("listening again")


def test_reading_never_waits_long(fake):
    assert WAIT_S <= 0.1
    assert started().read().samples.shape == (0,)


def arrivals(rate: float, seconds: float, lost: tuple[float, float] = (0, 0), jitter: float = 0):
    """When blocks of 10 ms of a device at `rate` blocks a second arrive; some are lost."""
    random = np.random.default_rng(0)
    for n in range(int(seconds * rate)):
        at_s = n / rate
        if not lost[0] <= at_s < lost[1]:
            yield at_s + (random.random() < 0.5) * jitter * random.random()


@pytest.mark.parametrize("rate", [99.98, 100, 100.02])
@pytest.mark.parametrize("jitter", [0, 0.2])
def test_late_blocks_and_a_clock_that_drifts_are_no_loss(rate, jitter):
    lateness = Lateness(44_100)
    assert sum(lateness.hear(now_s, 441) for now_s in arrivals(rate, 60, jitter=jitter)) == 0


@pytest.mark.parametrize("hold_s", [0.2, 1.0, 3.7])
def test_a_hold_up_is_no_loss_whenever_it_begins(hold_s):
    for begins_s in np.arange(5.0, 6.0, 0.01):
        lateness = Lateness(44_100)
        held = [max(t, begins_s + hold_s) if t > begins_s else t for t in arrivals(100, 20)]
        assert sum(lateness.hear(now_s, 441) for now_s in held) == 0


def test_blocks_held_up_and_then_given_at_once_are_no_loss():
    lateness = Lateness(44_100)
    held = [max(at_s, 9.0) if at_s > 5.3 else at_s for at_s in arrivals(100, 20)]
    assert sum(lateness.hear(now_s, 441) for now_s in held) == 0


@pytest.mark.parametrize("until_s", [7.2, 12.0])
def test_samples_that_are_missing_by_the_clock_are_lost(until_s):
    lateness = Lateness(44_100)
    lost = [lateness.hear(t, 441) for t in arrivals(100, 30, lost=(7.0, until_s), jitter=0.02)]
    assert sum(found > 0 for found in lost) == 1
    assert sum(lost) == pytest.approx(until_s - 7.0, abs=0.02)


@pytest.mark.parametrize("is_told", [False, True])
def test_what_the_clock_misses_is_one_overflow(fake, monkeypatch, is_told):
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(app.microphone.time, "monotonic", lambda: clock.now_s)
    microphone = started()
    pieces = []
    for n in range(600):
        clock.now_s = n / 100 + (0.5 if n > 300 else 0)
        fake.streams[0].give(*[0.1] * 441, overflow=is_told and n == 301)
        pieces.append(microphone.read())
    assert sum(piece.overflows for piece in pieces) == 1
    assert sum(piece.lost_s for piece in pieces) == pytest.approx(0.5)


# From here on a real PortAudio.


def test_what_is_played_is_what_the_stream_receives_bit_for_bit(
    virtual_microphone: VirtualMicrophone, model_file, tmp_path: Path, monkeypatch
):
    """And live detections are those of the whole recording at once."""
    for name, value in virtual_microphone.environment.items():
        monkeypatch.setitem(os.environ, name, value)
    sounddevice = pytest.importorskip("sounddevice", exc_type=ImportError)
    sounddevice._terminate()  # which may have been started for another server
    sounddevice._initialize()
    whole = np.round(after_silence(chirps(2.5, RATE_HZ)) * 32_767).astype(np.int16)
    soundfile.write(tmp_path / "chirps.wav", whole, RATE_HZ)
    spotter = KeywordSpotter.load(sensitive(model_file, tmp_path))

    microphone = Microphone()
    assert microphone.sample_rate_hz == RATE_HZ
    stream = spotter.stream(RATE_HZ)
    stream.push(np.zeros(RATE_HZ // 10, np.float32))  # compiles
    stream.reset()
    heard: list[np.ndarray] = []
    detections = []

    def listen() -> int:
        piece = microphone.read()
        if len(piece.samples):
            assert piece.samples.shape[1] == 1
            heard.append(piece.samples[:, 0])
            detections.extend(stream.push(piece.samples))
        return np.count_nonzero(np.concatenate(heard or [np.zeros(0)]))

    microphone.start()
    try:
        wait_for(lambda: listen() == 0 and heard, "the first block")
        player = virtual_microphone.start_playing(tmp_path / "chirps.wav")
        wait_for(lambda: listen() >= np.count_nonzero(whole), "the last sample")
        virtual_microphone.wait_for_end(player)
    finally:
        microphone.close()
        sounddevice._terminate()
        sounddevice._initialize()
    x = np.concatenate(heard)
    start = np.flatnonzero(x)[0] - np.flatnonzero(whole)[0]
    np.testing.assert_array_equal(x[start : start + len(whole)] * 32_768, whole)
    offline = spotter.stream(RATE_HZ).push(x)
    assert len(offline) > 1
    assert [d.keyword for d in detections] == [d.keyword for d in offline]
    np.testing.assert_allclose([d[1:] for d in detections], [d[1:] for d in offline], atol=1e-4)
