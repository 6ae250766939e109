"""Sound kept as files: of a stream that does not end, and at full scale."""

import os

import numpy as np
import pytest
import soundfile

from app.clips import AFTER_S, BEFORE_S, KEPT_S, Clips, write_new

RATE_HZ = 8_000


def ramp(seconds: float) -> np.ndarray:
    """Samples that say where they stand, exact in 16 bits."""
    return (np.arange(round(seconds * RATE_HZ)) % 65_536 - 32_768).astype(np.float32) / 32_768


def test_a_long_stream_keeps_its_last_seconds_alone_and_files_as_they_come(tmp_path):
    clips, x = Clips(str(tmp_path)), ramp(60.0)
    clips.begin(RATE_HZ)
    written = []
    for at in range(0, len(x), 800):
        clips.hear(x[at : at + 800])
        if at == 40 * RATE_HZ:
            clips.expect("word", 39.25, 40.0)
        if paths := clips.write():
            written.append((at + 800, paths))
        assert sum(map(len, clips._pieces)) <= KEPT_S * RATE_HZ + 800
    ((complete, (path,)),) = written
    assert complete == round((40.0 + AFTER_S) * RATE_HZ)
    found, rate = soundfile.read(path, dtype="int16")
    first, end = round((39.25 - BEFORE_S) * RATE_HZ), complete
    assert rate == RATE_HZ
    np.testing.assert_array_equal(found, x[first:end] * 32_768)


def test_a_score_that_rose_long_ago_has_the_sound_there_is(tmp_path):
    clips, x = Clips(str(tmp_path)), ramp(10.0)
    clips.begin(RATE_HZ)
    for at in range(0, len(x), 800):
        clips.hear(x[at : at + 800])
    clips.expect("long", 1.0, 9.9)
    clips.expect("gone", 1.0, 2.0)
    long, gone = (soundfile.read(path, dtype="int16")[0] for path in clips.finish())
    assert len(gone) == 0
    np.testing.assert_array_equal(long, x[-len(long) :] * 32_768)
    assert KEPT_S * RATE_HZ <= len(long) <= KEPT_S * RATE_HZ + 800


def test_what_is_beyond_full_scale_is_at_full_scale(tmp_path):
    loud = np.float32([1.0, -1.0, 1.5, -1.5, 0.4 / 32_768, 0.6 / 32_768])
    path = write_new(tmp_path, "loud", loud, RATE_HZ)
    found, _ = soundfile.read(path, dtype="int16")
    assert found.tolist() == [32_767, -32_768, 32_767, -32_768, 0, 1]


def test_what_could_not_be_written_whole_is_not_left(tmp_path, monkeypatch):
    monkeypatch.setattr("app.clips._wav", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        write_new(tmp_path / "clips", "a", np.zeros(9, np.float32), 16_000)
    assert os.listdir(tmp_path / "clips") == []
