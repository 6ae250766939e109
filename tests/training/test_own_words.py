from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from generated_corpus import write

from training.own_words import (
    VALIDATION_SHARE,
    check_names,
    held_out,
    recordings,
    speaker_of,
)


@pytest.fixture
def folder(tmp_path):
    """`add(word/name)` writes a short file; gives the folder."""

    def add(*names):
        for name in names:
            write(tmp_path / name, np.zeros(160))
        return tmp_path

    return add


def test_ten_clips_a_word_leave_every_word_in_both_splits(folder):
    root = folder(*(f"{word}/{n}.wav" for word in ("door", "lamp") for n in range(10)))
    found, wordless = recordings(root)
    assert wordless == []
    for word in ("door", "lamp"):
        counts = Counter(r.split for r in found if r.word == word)
        assert counts == {"training": 8, "validation": 2}


def test_a_speaker_is_in_one_split(folder):
    clips = [f"s{speaker}_nohash_{n}.wav" for speaker in range(12) for n in range(2)]
    found, _ = recordings(
        folder(*(f"{word}/{clip}" for word in ("door", "lamp") for clip in clips))
    )
    of: dict[str, set[str]] = {"training": set(), "validation": set()}
    for recording in found:
        of[recording.split].add(recording.speaker)
    assert not of["training"] & of["validation"]
    assert len(of["training"] | of["validation"]) == 12
    share = sum(r.split == "validation" for r in found) / len(found)
    assert VALIDATION_SHARE <= share < 0.3


def test_one_speaker_alone_is_split_by_file(folder):
    found, _ = recordings(folder(*(f"door/me_nohash_{n}.wav" for n in range(10))))
    assert Counter(r.split for r in found) == {"training": 8, "validation": 2}


def test_the_split_does_not_depend_on_how_the_folder_is_named(folder, monkeypatch):
    root = folder(*(f"door/me_nohash_{n}.wav" for n in range(40)))
    monkeypatch.chdir(root.parent)
    splits = [[r.split for r in recordings(name)[0]] for name in (root, Path(root.name))]
    assert splits[0] == splits[1]


def test_no_word_loses_more_than_half():
    alone = {"a": Counter(door=5), "b": Counter(door=1, lamp=3)}
    assert held_out(alone) == set()
    assert held_out({"only.wav": Counter(door=1)}) == set()
    assert len(held_out({"1.wav": Counter(door=1), "2.wav": Counter(door=1)})) == 1


def test_the_split_does_not_change_with_the_order_of_the_listing():
    groups = {f"s{n}": Counter(door=1 + n % 2) for n in range(20)}
    assert held_out(groups) == held_out(dict(reversed(groups.items())))


def test_no_more_is_held_out_than_its_share_and_not_by_the_order_of_names():
    held = held_out({f"s{n:02}": Counter(door=1) for n in range(20)})
    assert len(held) == 3 == VALIDATION_SHARE * 20
    assert held != {"s00", "s01", "s02"}


def test_a_word_that_few_say_is_held_out_too():
    """Though the door's share is full before, as their names come late."""
    groups = {f"a{n}": Counter(door=1) for n in range(38)}
    groups |= {f"lamp{n}": Counter(door=1, lamp=1) for n in range(2)}
    assert sum(groups[name]["lamp"] for name in held_out(groups)) == 1


def test_noise_and_silence_are_no_words_and_unknown_is(folder):
    root = folder(
        "door/1.wav", "door/2.wav", "_unknown_/1.wav", "_unknown_/2.wav",
        "_background_noise_/fan.wav", "_silence_/room.wav", ".hidden/1.wav", "empty/read.me.flac",
    )  # fmt: skip
    (root / "empty" / "read.me.flac").rename(root / "empty" / "read.me")
    found, wordless = recordings(root)
    assert {r.word for r in found} == {"door", "_unknown_"}
    assert [path.name for path in wordless] == ["fan.wav", "room.wav"]


def test_a_file_without_a_speaker_is_its_own(tmp_path):
    assert speaker_of(tmp_path / "door" / "ann_nohash_3.wav", tmp_path) == "ann"
    assert speaker_of(tmp_path / "door" / "3.wav", tmp_path) == "door/3.wav"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["unknown/1.wav"], r"unknown: no word; is _unknown_ meant\?"),
        (["_Unknown_/1.wav"], r"_Unknown_: no word; is _unknown_ meant\?"),
        (["Background_Noise/1.wav"], r"Background_Noise: no word; is _background_noise_ meant\?"),
        (["_other_/1.wav"], r"_other_: no word; is _unknown_, _background_noise_, _silence_ mean"),
        (["unknown_/1.wav"], r"unknown_: no word; is _unknown_ meant\?"),
        (["background noise/1.wav"], r"background noise: no word; is _background_noise_ meant\?"),
        (["door/memo.M4A"], r"door/memo.M4A: \.M4A is not read; make memo.wav of it"),
        (["_unknown_/far/talk.m4b"], r"talk.m4b: \.m4b is not read; make talk.wav of it"),
    ],
)
def test_a_slip_is_one_line(tmp_path, names, message):
    """Else it would be a word of its own, or be left out without a word."""
    for name in ["door/1.wav", *names]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(ValueError, match=rf"^\S+{message}"):
        recordings(tmp_path)


def test_one_word_has_one_folder():
    with pytest.raises(ValueError, match=r"^\S+door: the same word as Door$"):
        check_names(["Door", "door"], Path("words"))


def test_a_word_with_accents_is_one_however_its_folder_spells_it(folder):
    found, _ = recordings(folder("Lo\u0308we/1.wav", "Lo\u0308we/2.wav"))  # as macOS does
    assert {r.word for r in found} == {"L\u00f6we"}
    with pytest.raises(ValueError, match="the same word as"):
        check_names(["Lo\u0308we", "L\u00f6we"], Path("words"))


def test_a_name_from_another_system_may_be_no_utf_8(folder):
    root = folder("door/1.wav", "door/2.wav")
    (root / "door" / "2.wav").rename(root / "door" / "caf\udce9.wav")
    found, _ = recordings(root)
    assert [r.path.name for r in found] == ["1.wav", "caf\udce9.wav"]


def test_what_a_file_was_made_of_may_lie_beside_it(folder):
    root = folder("door/memo.wav", "door/band.mp4/1.wav")
    (root / "door" / "memo.m4a").touch()
    (root / "door" / "._other.m4a").touch()  # what macOS notes
    (root / "Door").mkdir(exist_ok=True)  # empty
    found, _ = recordings(root)
    assert sorted(r.path.name for r in found) == ["1.wav", "memo.wav"]


def test_silence_may_be_a_word(folder):
    found, _ = recordings(folder("silence/1.wav", "silence/2.wav", "_silence_/1.wav"))
    assert {r.word for r in found} == {"silence"}


def test_nothing_to_read_is_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"^\S+: no folder of recordings"):
        recordings(tmp_path)
    with pytest.raises(ValueError, match=r"^\S+gone: no such file or directory$"):
        recordings(tmp_path / "gone")
