import errno
import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from sssm.audio import (
    AudioError,
    AudioFile,
    Samples,
    find_recordings,
    resample,
)
from sssm.hearing import mono
from sssm.mp3 import tells_its_length
from sssm.ogg import goes_on


def tone(seconds: float, rate: int, hz: float = 440.0) -> Samples:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def read(path: Path) -> tuple[Samples, AudioFile]:
    with AudioFile(path) as audio:
        return np.concatenate([np.zeros(0, np.float32), *audio.pieces()]), audio


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000])
def test_rates_of_the_bank_pass_unchanged_in_any_number_of_pieces(tmp_path, rate):
    x = tone(9.3, rate)
    soundfile.write(tmp_path / "a.wav", x, rate, subtype="FLOAT")
    heard, audio = read(tmp_path / "a.wav")
    np.testing.assert_array_equal(heard, x)
    assert audio.sample_rate_hz == audio.stream_rate_hz == rate
    assert audio.heard_s == len(x) / rate


@pytest.mark.parametrize("rate", [2_000, 6_000, 7_999, 48_001, 96_000, 384_000])
def test_other_rates_are_resampled_to_16_khz_as_if_in_one_piece(tmp_path, rate):
    x = tone(4.7, rate)
    soundfile.write(tmp_path / "a.wav", x, rate, subtype="FLOAT")
    heard, audio = read(tmp_path / "a.wav")
    assert (audio.sample_rate_hz, audio.stream_rate_hz) == (rate, 16_000)
    np.testing.assert_allclose(heard, soxr.resample(x, rate, 16_000), atol=1e-6)
    middle = slice(8_000, 64_000)
    np.testing.assert_allclose(heard[middle], tone(4.7, 16_000)[middle], atol=2e-3)


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_U8", 0.01),
        ("a.wav", "PCM_16", 1e-4),
        ("a.wav", "PCM_24", 1e-6),
        ("a.wav", "PCM_32", 1e-6),
        ("a.wav", "DOUBLE", 1e-6),
        ("a.wav", "ULAW", 0.02),
        ("a.flac", "PCM_16", 1e-4),
        ("a.ogg", "VORBIS", 0.05),
        ("a.opus", "OPUS", 0.05),
        ("a.mp3", "MPEG_LAYER_III", 0.05),
    ],
)
def test_every_format_and_depth_gives_the_same_sound(tmp_path, name, subtype, tolerance):
    x = tone(1.0, 16_000)
    container = "OGG" if name.endswith("opus") else None
    soundfile.write(tmp_path / name, x, 16_000, subtype=subtype, format=container)
    heard, audio = read(tmp_path / name)
    assert (len(heard), audio.sample_rate_hz) == (16_000, 16_000)
    assert np.abs(heard - x)[500:-500].max() < tolerance


def test_channels_are_averaged(tmp_path):
    x = np.stack([tone(0.1, 16_000, 100.0 * (c + 1)) for c in range(8)], axis=1)
    soundfile.write(tmp_path / "a.wav", x, 16_000, subtype="FLOAT")
    np.testing.assert_allclose(read(tmp_path / "a.wav")[0], x.mean(axis=1), atol=1e-6)


def test_memory_does_not_grow_with_the_length(tmp_path):
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 16_000, 8, subtype="PCM_16") as file:
        for _ in range(60):
            file.write(np.zeros((160_000, 8), np.int16))  # ten minutes, 154 MB
    tracemalloc.start()
    with AudioFile(path) as audio:
        longest = max(len(piece) for piece in audio.pieces())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert audio.heard_s == 600
    assert longest == 64_000
    assert peak < 8e6


def test_many_channels_come_in_shorter_pieces(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((3_000, 1_000), np.int16), 16_000)
    with AudioFile(tmp_path / "a.wav") as audio:
        assert [len(piece) for piece in audio.pieces()] == [1_048, 1_048, 904]


def test_samples_that_are_no_numbers_become_zero_and_are_counted(tmp_path):
    x = np.stack([tone(0.1, 16_000), 3 * tone(0.1, 16_000)], axis=1)
    x[3, 0], x[4], x[5, 1], x[6] = np.nan, np.inf, -np.inf, np.nan
    soundfile.write(tmp_path / "a.wav", x, 16_000, subtype="FLOAT")
    heard, audio = read(tmp_path / "a.wav")
    assert audio.replaced_samples == 2
    expected = 2 * tone(0.1, 16_000)
    expected[3:7] = x[3, 1], 0, x[5, 0], 0
    np.testing.assert_allclose(heard, expected, atol=1e-6)
    np.testing.assert_array_equal(mono(x.astype(np.float32))[0], heard)  # so does a push


def test_absurd_amplitudes_are_bounded(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([1e30, -1e30, 2.0]), 16_000, subtype="DOUBLE")
    np.testing.assert_array_equal(read(tmp_path / "a.wav")[0], [32_768, -32_768, 2])


def test_a_truncated_wav_gives_what_is_there(tmp_path):
    x = tone(1.0, 16_000)
    soundfile.write(tmp_path / "a.wav", x, 16_000, subtype="FLOAT")
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[: len(data) // 2])
    heard, audio = read(tmp_path / "cut.wav")
    assert 7_000 < len(heard) < 8_001
    np.testing.assert_array_equal(heard, x[: len(heard)])
    assert audio.heard_samples == len(heard)


def test_a_wav_of_unknown_length_as_pipes_write_it(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(1.0, 16_000), 16_000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(data)
    assert len(read(tmp_path / "a.wav")[0]) == 16_000


@pytest.mark.parametrize("seconds", [1.0, 8.0, 9.3])
def test_a_flac_of_unknown_length_as_pipes_write_it(tmp_path, seconds):
    x = tone(seconds, 16_000)
    soundfile.write(tmp_path / "a.flac", x, 16_000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] &= 0xF0  # 36 bits of its first block, which are not known where nothing goes back
    data[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(data)
    with AudioFile(tmp_path / "a.flac") as audio:
        np.testing.assert_allclose(np.concatenate(list(audio.pieces())), x, atol=1e-4)
        audio.check_heard()


def test_a_name_that_is_not_utf8_or_has_an_odd_suffix_can_be_read(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(0.1, 16_000), 16_000)
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n[bold].raw.wav")
    os.rename(tmp_path / "a.wav", odd)
    assert len(read(Path(odd))[0]) == 1_600


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("none.wav", lambda p: None, "no such file or directory"),
        ("folder.wav", lambda p: p.mkdir(), "not a file"),
        ("pipe.wav", os.mkfifo, "not a file"),
        ("empty.wav", lambda p: _write(p, b""), "empty file"),
        ("text.wav", lambda p: _write(p, b"hello\n" * 99), "format not recognised"),
        ("text.mp3", lambda p: _write(p, b"hello\n" * 99), "format not recognised"),
        ("text.raw", lambda p: _write(p, b"hello\n" * 99), "format not recognised"),
        ("slow.wav", lambda p: soundfile.write(p, np.zeros(9), 1), "recorded at 1 Hz"),
        ("fast.wav", lambda p: soundfile.write(p, np.zeros(9), 2_000_000), "at 2000000 Hz"),
    ],
)
def test_what_cannot_be_read_is_one_line_that_says_which_and_why(tmp_path, name, make, reason):
    make(tmp_path / name)
    with pytest.raises(AudioError, match=reason) as caught:
        AudioFile(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_what_the_system_refuses_is_said_in_its_words(tmp_path, monkeypatch):
    def refused(_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    soundfile.write(tmp_path / "a.wav", np.zeros(9), 16_000)
    monkeypatch.setattr(soundfile, "SoundFile", refused)
    with pytest.raises(AudioError, match="not audio that can be read: too many open files"):
        AudioFile(tmp_path / "a.wav")


def test_a_name_with_a_null_is_refused():
    with pytest.raises(AudioError, match="null"):
        AudioFile("a\0b.wav")


def test_what_comes_before_damage_is_heard_and_the_error_says_where_it_begins(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000 * 12)
    soundfile.write(tmp_path / "a.flac", noise, 16_000)
    data = (tmp_path / "a.flac").read_bytes()
    zeros = bytes(len(data) - len(data) * 3 // 4)
    for rest in (b"", zeros):  # cut, and damaged in a way from which a decoder does not find back
        (tmp_path / "a.flac").write_bytes(data[: len(data) * 3 // 4] + rest)
        heard: list[Samples] = []
        with AudioFile(tmp_path / "a.flac") as audio:
            with pytest.raises(AudioError, match=r"damaged after 8\.9\d s: flac decoder lost sync"):
                heard.extend(audio.pieces())
            assert audio.heard_samples == sum(map(len, heard))
        x = np.concatenate(heard)
        np.testing.assert_allclose(x, noise[: len(x)], atol=1e-4)


@pytest.mark.parametrize(
    "name", ["cut.wav", "cut.rf64", "cut.ogg", "cut.aiff", "cut.w64", "cut.au"]
)
def test_what_is_cut_short_is_damaged_once_it_was_heard(tmp_path, name):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000 * 9)
    soundfile.write(tmp_path / name, noise, 16_000, format=name.removeprefix("cut."))
    data = (tmp_path / name).read_bytes()
    for share, damage in ((4, None), (3, "damaged after")):
        (tmp_path / name).write_bytes(data[: len(data) * share // 4])
        with AudioFile(tmp_path / name) as audio:
            assert sum(map(len, audio.pieces())) == audio.heard_samples > 0
            if damage is None:
                audio.check_heard()
                continue
            said = rf"damaged after {audio.heard_s:.2f} s: the file is cut short"
            with pytest.raises(AudioError, match=said):
                audio.check_heard()


@pytest.mark.parametrize(
    ("name", "kept"),
    [("cut.ogg", -1), ("cut.ogg", -900), ("cut.opus", 0.9), ("cut.opus", 0.5), ("cut.opus", 1)],
)
def test_the_last_part_of_an_ogg_is_missed_too(tmp_path, name, kept):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000 * 4)
    subtype = "OPUS" if name.endswith("opus") else "VORBIS"
    soundfile.write(tmp_path / name, noise, 16_000, format="OGG", subtype=subtype)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: kept if kept < 0 else round(len(data) * kept)])
    with AudioFile(tmp_path / name) as audio:
        assert sum(map(len, audio.pieces())) > 0
        if kept == 1:
            audio.check_heard()
            return
        with pytest.raises(AudioError, match="the file is cut short"):
            audio.check_heard()


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_damage_inside_of_an_ogg_is_told(tmp_path, subtype, share):
    """Its decoder leaves out the page, and goes on with the next."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000 * 9)
    soundfile.write(tmp_path / "hit.ogg", noise, 16_000, format="OGG", subtype=subtype)
    data = bytearray((tmp_path / "hit.ogg").read_bytes())
    data[round(len(data) * share)] ^= 1
    (tmp_path / "hit.ogg").write_bytes(data)
    with AudioFile(tmp_path / "hit.ogg") as audio:
        assert sum(map(len, audio.pieces())) > 0
        with pytest.raises(AudioError, match=r"hit\.ogg: damaged: a part of it was not heard$"):
            audio.check_heard()


@pytest.mark.parametrize("name", ["songs.ogg", "songs.opus"])
@pytest.mark.parametrize("follows", [b"", b"OggS", "the next"])
def test_an_ogg_in_which_another_recording_follows_is_told(tmp_path, name, follows):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000 * 9)
    subtype = "OPUS" if name.endswith("opus") else "VORBIS"
    for file, x in ((name, noise), ("next", noise[:16_000])):
        soundfile.write(tmp_path / file, x, 16_000, format="OGG", subtype=subtype)
    is_whole = follows != "the next"
    data = follows if is_whole else (tmp_path / "next").read_bytes()
    (tmp_path / "page").write_bytes((tmp_path / name).read_bytes() + data)
    assert goes_on(tmp_path / "page") != is_whole
    if follows == b"OggS":  # a part of a page: the decoder's own affair
        return
    with AudioFile(tmp_path / "page") as audio:
        assert sum(map(len, audio.pieces())) == len(noise)
        if is_whole:
            audio.check_heard()
            return
        with pytest.raises(AudioError, match=r"page: heard to 9\.00 s, where another recording"):
            audio.check_heard()


def test_resample_takes_empty_pieces():
    x = tone(0.5, 44_100)
    pieces = [x[:0], x[:1], x[1:9_000], x[9_000:], x[:0]]
    heard = np.concatenate(list(resample(pieces, 44_100, 16_000)))
    np.testing.assert_allclose(heard, soxr.resample(x, 44_100, 16_000), atol=1e-6)


@pytest.mark.parametrize("id3", [b"", b"ID3\4\0\0\0\0\2\1" + bytes(257)])
def test_what_an_mp3_lacks_is_told(tmp_path, id3):
    """Often its decoder ends where it no longer knows its way, as if that were the end."""
    path = tmp_path / "a.mp3"
    soundfile.write(path, tone(4.0, 16_000), 16_000)
    whole = id3 + path.read_bytes()
    path.write_bytes(whole)

    def hear_out(path):
        with AudioFile(path) as audio:
            heard = sum(map(len, audio.pieces()))
            audio.check_heard()
            return heard

    assert hear_out(path) == 64_000
    half = len(whole) // 2
    garbage = bytes(np.random.default_rng(0).integers(0, 256, 3_000, np.uint8))
    for damaged in (whole[:half], whole[:half] + garbage + whole[half + 3_000 :]):
        path.write_bytes(damaged)
        with pytest.raises(AudioError, match=r"damaged after [12]\."):
            hear_out(path)


@pytest.mark.parametrize("id3", [b"", b"ID3\4\0\0\0\0\2\1" + bytes(257)])
def test_an_mp3_tells_its_length_in_its_first_frame(tmp_path, id3):
    path = tmp_path / "a.mp3"
    for tag, expected in ((b"Xing", True), (b"Info", True), (b"VBRI", True), (b"none", False)):
        path.write_bytes(id3 + bytes(60) + tag)
        assert tells_its_length(path) == expected


@pytest.mark.parametrize("cut", [0, 1, 50])
@pytest.mark.parametrize("tag", [b"", b"TAG" + bytes(125)])
def test_an_mp3_that_does_not_tell_its_length_is_heard_to_its_end(tmp_path, cut, tag):
    """Its first frames are the largest, so it looks far shorter than it is."""
    path = tmp_path / "a.mp3"
    x = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000 * 9)
    x[16_000:-16_000] = 0
    soundfile.write(path, x, 16_000)
    with AudioFile(path) as audio:
        expected = np.concatenate(list(audio.pieces()))
    data = path.read_bytes()
    frames = data[data.index(data[:2], 4) :]  # without the one that tells
    path.write_bytes(frames[: len(frames) - cut] + tag)
    assert soundfile.info(path).duration < 5
    with AudioFile(path) as audio:
        heard = np.concatenate(list(audio.pieces()))
        audio.check_heard()
    late = np.flatnonzero(abs(heard) > 0.1)
    assert len(heard) >= len(expected) - 600
    assert late[-1] > len(expected) - 1_800


@pytest.mark.parametrize("seed", [0, 1])
def test_damage_in_an_mp3_that_does_not_tell_its_length_is_told(tmp_path, seed):
    """Of one kind the decoder tells, at another it just ends."""
    path = tmp_path / "a.mp3"
    soundfile.write(path, tone(9.0, 16_000), 16_000)
    data = path.read_bytes()
    frames = data[data.index(data[:2], 4) :]
    half = len(frames) // 2
    garbage = bytes(np.random.default_rng(seed).integers(0, 256, 5_000, np.uint8))
    path.write_bytes(frames[:half] + garbage + frames[half:])

    def hear_out():
        with AudioFile(path) as audio:
            list(audio.pieces())
            audio.check_heard()

    with pytest.raises(AudioError, match=r"damaged after 4\.\d\d s"):
        hear_out()


def test_the_mp3_decoder_writes_nothing_to_the_terminal(tmp_path):
    path = tmp_path / "a.mp3"
    soundfile.write(path, tone(1.0, 16_000), 16_000)
    data = path.read_bytes()
    path.write_bytes(data[:2_000] + b"junk" * 200 + data[2_000:])
    program = f"""
import os, soundfile
from sssm.audio import AudioFile
with AudioFile({str(path)!r}) as audio:
    print(sum(map(len, audio.pieces())))
os.write(2, b"--")
with soundfile.SoundFile({str(path)!r}) as file:
    file.read()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    quiet, noisy = done.stderr.split("--")
    assert int(done.stdout) > 8_000
    assert quiet == ""
    assert "resync" in noisy, "the decoder has fallen silent: AudioFile need not silence it"


def test_mp3s_read_at_once_leave_the_standard_error_where_it_was(tmp_path):
    path = tmp_path / "a.mp3"
    soundfile.write(path, tone(1.0, 16_000), 16_000)
    before = os.fstat(2)

    def hear(_):
        with AudioFile(path) as audio:
            return sum(map(len, audio.pieces()))

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(hear, range(40)))) == 1
    assert os.path.samestat(os.fstat(2), before)


def test_folders_are_searched_and_sorted(tmp_path):
    for name in ["b.WAV", "a/z.opus", "a/b/c.mp3", "notes.txt", "._b.wav", "a/x.ogg", "c.flac"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a/ring").symlink_to(tmp_path)
    found = find_recordings(tmp_path, pytest.fail)
    assert found == ["a/b/c.mp3", "a/x.ogg", "a/z.opus", "b.WAV", "c.flac"]
    errors: list[OSError] = []
    assert find_recordings(tmp_path / "none", errors.append) == []
    assert errors[0].filename == str(tmp_path / "none")
