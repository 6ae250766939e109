import shutil

import numpy as np
import soundfile
from generated_words import SAMPLE_RATE_HZ, make_words

from training.corpus import open_corpus
from training.inventory import inventory


def lines_of(root):
    return list(inventory(open_corpus(root, own_words=True), root))


def test_what_there_is_is_one_line_where_nothing_is_odd(tmp_path):
    root = make_words(tmp_path / "words", clips=6)
    noise = 0.1 * np.random.default_rng(1).standard_normal(90 * SAMPLE_RATE_HZ)
    soundfile.write(root / "_unknown_" / "talk.wav", noise, SAMPLE_RATE_HZ)
    (line,) = lines_of(root)
    assert line.startswith(
        "recordings: 6 of _unknown_, 6 of fall, 6 of high, 6 of low, 6 of rise, "
    )
    assert line.endswith(", 1.3 min of talk, 1 without a word")  # the rest is held out


def test_what_looks_like_a_slip_is_told(tmp_path):
    root = make_words(tmp_path / "words", clips=6)
    zeros = np.zeros(SAMPLE_RATE_HZ, np.float32)
    soundfile.write(root / "low" / "muted.wav", zeros, SAMPLE_RATE_HZ)
    soundfile.write(root / "low" / "empty.wav", zeros[:0], SAMPLE_RATE_HZ)
    soundfile.write(root / "low" / "short.wav", zeros[:800] + 0.1, SAMPLE_RATE_HZ)
    soundfile.write(root / "low" / "talk.wav", np.tile(zeros + 0.1, 7), SAMPLE_RATE_HZ)
    shutil.copy(root / "rise" / "00.wav", root / "_unknown_" / "zz.wav")
    for name in ("beside.wav", "._beside.wav"):  # the second is macOS's
        shutil.copy(root / "rise" / "00.wav", root / name)
    for n in range(2, 6):
        (root / "high" / f"{n:02}.wav").unlink()
    first, *slips = lines_of(root)
    assert "2 of high" in first
    assert slips == [
        "high: 2 is little; ten recordings are a beginning",
        f"{root}: recordings that lie in no folder are left out, 1 here",
        f"{root}/low/empty.wav: holds no samples, and is left out",
        f"{root}/low/muted.wav: next to silent",
        f"{root}/low/short.wav: only 0.05 s",
        f"{root}/low/talk.wav: 7 s long, of which the loudest second is heard; "
        "one word each is meant",
        f"{root}/rise/00.wav: the same recording as _unknown_/zz.wav",
    ]


def test_what_is_meant_is_not_told(tmp_path):
    """Five of a word, few of other words, the same twice, and what is loud downwards alone."""
    root = make_words(tmp_path / "words", clips=6)
    (root / "high" / "05.wav").unlink()
    for path in sorted((root / "_unknown_").iterdir())[1:]:
        path.unlink()
    shutil.copy(root / "rise" / "00.wav", root / "rise" / "zz.wav")
    clicks = np.zeros(SAMPLE_RATE_HZ, np.int16)
    clicks[::100] = -32_768
    soundfile.write(root / "low" / "clicks.wav", clicks, SAMPLE_RATE_HZ)
    assert len(lines_of(root)) == 1


def test_what_is_not_there_is_not_told(tmp_path):
    root = make_words(tmp_path / "words", clips=6, others=False)
    assert lines_of(root) == ["recordings: 6 of fall, 6 of high, 6 of low, 6 of rise"]


def test_what_is_softer_than_50_db_below_full_scale_is_told(tmp_path):
    root = make_words(tmp_path / "words", clips=6)
    for peak in (99, 100):
        x = np.full(SAMPLE_RATE_HZ, peak, np.int16)
        soundfile.write(root / "low" / f"{peak}.wav", x, SAMPLE_RATE_HZ)
    _, *slips = lines_of(root)
    assert slips == [f"{root}/low/99.wav: next to silent"]
