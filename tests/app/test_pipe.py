"""`sssm listen --input -`: sound from another program, as it writes it."""

import io
import json
import os
import pty
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from app import pipe
from sssm.spotter import KeywordSpotter

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "assets" / "demo.wav"
LIMIT_S = 60


@contextmanager
def listening(*options: str, stdin: int = subprocess.PIPE) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-m", "app.cli", "listen", "--input", "-", "--json", *options]
    process = subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def heard(data: bytes, *options: str) -> tuple[int, list[dict], list[str]]:
    """Exit code, events and notes, of what is written at once."""
    with listening(*options) as process:
        out, notes = process.communicate(data, LIMIT_S)
    events = [json.loads(line) for line in out.splitlines()]
    return process.returncode, events, notes.decode().splitlines()


def as_file(x: np.ndarray, rate: int, kind: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, x, rate, format=kind)
    return file.getvalue()


def endless_wav(rate: int, unknown: int = 0xFFFF_FFFF) -> bytes:
    """What a program writes that cannot know how long it will go on: 16 bits, one channel."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    return (
        b"RIFF" + struct.pack("<I", unknown) + b"WAVEfmt " + form
        + b"data" + struct.pack("<I", unknown)
    )  # fmt: skip


def test_a_word_is_heard_while_the_writer_goes_on_and_ctrl_c_ends_it():
    x, rate = soundfile.read(DEMO, dtype="int16")
    with listening() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(endless_wav(rate) + x.tobytes())
        process.stdin.flush()
        event = json.loads(process.stdout.readline())
        assert event["keyword"] == "yes"
        process.send_signal(signal.SIGINT)
        code = process.wait(LIMIT_S)  # though the writer has neither written more nor ended
        assert code == 130
        assert process.stderr is not None
        assert "; 1 detection (yes 1); " in process.stderr.read().decode().splitlines()[-1]


@pytest.mark.parametrize("kind", ["WAV", "AU", "OGG", "AIFF", "W64", "NIST"])
def test_it_is_what_the_stream_gives(kind):
    x, rate = soundfile.read(DEMO, dtype="int16")
    data = as_file(np.stack([x, x], axis=1), rate, kind)
    code, events, notes = heard(data)
    y, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    (expected,) = KeywordSpotter.load("s4").stream(rate).push(y)
    assert (code, len(events)) == (0, 1)
    assert events[0]["keyword"] == expected.keyword
    assert events[0]["time_s"] == pytest.approx(expected.time_s, abs=1e-6)
    assert notes[0] == "listening to standard input at 16000 Hz; Ctrl-C ends it"


def test_an_ogg_in_which_another_recording_follows_is_told():
    x, rate = soundfile.read(DEMO, dtype="int16")
    code, events, notes = heard(2 * as_file(x, rate, "OGG"))
    assert (code, [event["keyword"] for event in events]) == (1, ["yes"])
    assert notes[-2].startswith("standard input: another recording follows in the OGG; ")


def test_a_header_of_no_length_is_one_that_does_not_know_it():
    x, rate = soundfile.read(DEMO, dtype="int16")
    _, expected, _ = heard(as_file(x, rate, "WAV"))
    code, events, _ = heard(endless_wav(rate, unknown=0) + x.tobytes())
    assert code == 0
    assert [(e["keyword"], e["time_s"], e["score"]) for e in events] == [
        (e["keyword"], e["time_s"], e["score"]) for e in expected
    ]


@pytest.mark.parametrize("channels", [1, 3])
def test_it_goes_on_after_as_much_as_a_header_can_tell(monkeypatch, channels):
    """Here as if that were little."""
    x = np.random.default_rng(0).integers(-9_999, 9_999, (9_000, channels), dtype=np.int16)
    data = bytearray(as_file(x, 16_000, "WAV"))
    at = data.index(b"data") + 4
    told = 2 * channels * 1_234
    data[at : at + 4] = struct.pack("<I", told)
    monkeypatch.setattr(pipe, "UNKNOWN_BYTES", told)
    reading, writing = os.pipe()
    os.write(writing, data)  # less than what a pipe holds, else it would wait
    os.close(writing)
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        source, pieces = pipe.PipedSource(), []
        while (piece := source.read()) is not None:
            if not piece.is_after:
                pieces.append(piece.samples)
    np.testing.assert_array_equal(np.concatenate(pieces), x / np.float32(32_768))


def test_a_word_at_the_end_is_heard_out(cut_word):
    _, events, notes = heard(cut_word.read_bytes())
    assert [(event["keyword"], event["time_s"]) for event in events] == [("left", 0.57)]
    assert notes[-1].startswith("heard 0.6 s; 1 detection")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not audio that can be read: format not recognised"),
        (b"no audio " * 99, "not audio that can be read: format not recognised"),
        (endless_wav(16_000), "holds no samples"),
        (endless_wav(1) + bytes(99), "1 Hz; rates from 2000 to 1000000 are heard"),
    ],
)
def test_what_is_no_sound_is_one_line(data, said):
    code, events, notes = heard(data)
    assert (code, events) == (1, [])
    assert notes[-1] == f"standard input: {said}"


def test_samples_that_are_no_numbers_are_told():
    x = np.zeros((16_000, 1), np.float32)
    x[5] = x[-160:] = np.nan
    code, events, notes = heard(as_float_file(x))
    assert (code, events) == (0, [])
    assert notes.count("standard input: some samples taken as 0: NaN or infinite") == 1
    code, events, notes = heard(as_float_file(np.full_like(x, np.nan)))
    assert (code, events) == (1, [])
    assert notes[-2] == "standard input: every sample is NaN or infinite"


def as_float_file(x: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, x, 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


def test_a_terminal_and_a_closed_one_are_refused():
    other, terminal = pty.openpty()
    try:
        with listening(stdin=terminal) as process:
            _, notes = process.communicate(timeout=LIMIT_S)
    finally:
        os.close(other)
        os.close(terminal)
    assert process.returncode == 1
    assert notes.decode().startswith("standard input: a terminal; pipe sound into it")
    command = f"exec '{sys.executable}' -m app.cli listen --input - <&-"
    closed = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert closed.returncode == 1
    assert closed.stderr == "standard input: closed, so there is nothing to hear\n"


def test_no_faster_than_recorded_is_for_files():
    code, _, notes = heard(b"", "--real-time")
    assert (code, notes) == (2, ["--real-time is for --input with a file"])


def test_a_writer_that_is_fast_waits_and_nothing_is_lost():
    x, rate = soundfile.read(DEMO, dtype="int16")
    code, events, notes = heard(endless_wav(rate) + np.tile(x, 30).tobytes())
    assert (code, len(events)) == (0, 30)
    assert notes[-1].startswith("heard 30.0 s; 30 detections (yes 30); 0 overflows")


@pytest.mark.parametrize("kind", ["MP3", "FLAC", "CAF", "RF64"])
def test_what_cannot_be_heard_from_a_pipe_is_refused(kind):
    """Their readers go back in a file; from a pipe an MP3 would be heard wrong for minutes."""
    data = as_file(np.zeros(16_000, np.float32), 16_000, kind)
    code, events, notes = heard(data)
    assert (code, events) == (1, [])
    assert notes[0].startswith(f"standard input: {kind} is heard from a file alone; `ffmpeg")


def test_a_piece_may_have_more_channels_than_samples():
    x, rate = soundfile.read(DEMO, dtype="int16")
    many = np.repeat(x[:, None], 200, axis=1)  # a mixing desk's; a piece has 160 samples
    code, events, _ = heard(as_file(many, rate, "WAV"))
    assert (code, [event["keyword"] for event in events]) == (0, ["yes"])
