import csv
import os
import pickle
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from generated_corpus import SPEAKERS, WORDS, make_published, noise, write

from sssm.labels import UNKNOWN
from training import corpus as under_test
from training.corpus import CACHE, SAMPLE_RATE_HZ, TALK_HELD_OUT, open_corpus, read_int16
from training.speech_commands import FOLDER

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def published(commands_root):
    return open_corpus(commands_root, own_words=False)


@pytest.fixture
def own_root(tmp_path):
    """Two words of three clips, and noise."""
    for name in ("door", "lamp"):
        for n in range(3):
            write(tmp_path / name / f"{n}.wav", noise(0.2, RNG))
    write(tmp_path / "_background_noise_" / "fan.wav", noise(2, RNG))
    return tmp_path


@pytest.fixture
def decoded(monkeypatch):
    """Files that were decoded."""
    paths = []

    def noted(path):
        paths.append(path)
        return read_int16(path)

    monkeypatch.setattr(under_test, "read_int16", noted)
    return paths


@pytest.mark.parametrize("name", ["[mine]", "x[/mine]"])
def test_a_folder_is_named_as_it_is_while_it_is_decoded(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(Path(name) / "lamp" / "0.wav", noise(0.2, RNG))
    open_corpus(Path(name), own_words=True)
    assert f"decoding {name} " in capsys.readouterr().err


def test_published_recordings_have_source_split_word_and_speaker(published):
    for split, speakers in SPEAKERS.items():
        commands = [published.entries[n] for n in published.where(source="commands", split=split)]
        assert {e.word for e in commands} == set(WORDS)
        assert {e.speaker for e in commands} == set(speakers)
    assert len(published.where(source="background", split="training")) == 2
    assert len(published.where(source="noise", split="training")) == 1
    assert len(published.where(source="noise", split="validation")) == 1
    (phrase,) = published.where(source="phrases", split="training")
    assert published.entries[phrase].word == "view glass"
    sentences = published.where(source="speech", split="training")
    assert [published.entries[n].speaker for n in sentences] == ["7", "8"]
    spoken = published.words[published.entries[sentences[0]].path]
    assert [word.word for word in spoken] == ["one", "no", "three", "know", "five"]
    assert spoken[1].start == round(0.95 * SAMPLE_RATE_HZ)


def test_samples_are_those_of_the_files(published, commands_root):
    for n in range(0, len(published.entries), 7):
        path = commands_root / published.entries[n].path
        samples, _ = soundfile.read(path, dtype="int16")
        np.testing.assert_array_equal(published[n], samples)


def test_a_loader_in_another_process_gets_no_copy_of_the_samples(published):
    pickled = pickle.dumps(published)
    assert len(pickled) < 50_000 < published._samples.nbytes
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again[3], published[3])
    assert again.entries == published.entries


def test_decoded_once(own_root, decoded):
    first = open_corpus(own_root, own_words=True)
    assert len(decoded) == 7
    second = open_corpus(own_root, own_words=True)
    assert len(decoded) == 7
    assert first.entries == second.entries
    assert sorted(path.name for path in (own_root / CACHE).iterdir()) == [
        "recordings.int16",
        "recordings.json",
    ]


@pytest.mark.parametrize("change", ["added", "removed", "replaced", "longer", "cache cut short"])
def test_what_changed_is_decoded_again(own_root, decoded, change):
    open_corpus(own_root, own_words=True)
    file = own_root / "door" / "1.wav"
    if change == "added":
        write(own_root / "door" / "new.wav", noise(0.2, RNG))
    elif change == "removed":
        file.unlink()
    elif change == "replaced":  # by as many samples
        date = file.stat().st_mtime_ns + 1_000_000
        write(file, np.zeros(3_200))
        os.utime(file, ns=(date, date))
    elif change == "longer":  # of the same date
        date = file.stat().st_mtime_ns
        write(file, np.zeros(3_201))
        os.utime(file, ns=(date, date))
    else:
        audio = own_root / CACHE / "recordings.int16"
        audio.write_bytes(audio.read_bytes()[:-2])
    decoded.clear()
    corpus = open_corpus(own_root, own_words=True)
    assert len(decoded) == len(corpus.entries)
    for n, entry in enumerate(corpus.entries):
        np.testing.assert_array_equal(corpus[n], read_int16(own_root / entry.path))


@pytest.mark.parametrize("before", [False, True])
def test_an_interrupted_decode_leaves_nothing_broken(own_root, monkeypatch, before):
    if before:
        open_corpus(own_root, own_words=True)
        write(own_root / "door" / "new.wav", noise(0.2, RNG))

    def stopped(path):
        if path.name == "fan.wav":
            raise KeyboardInterrupt
        return read_int16(path)

    with monkeypatch.context() as patch:
        patch.setattr(under_test, "read_int16", stopped)
        with pytest.raises(KeyboardInterrupt):
            open_corpus(own_root, own_words=True)
    assert not list((own_root / CACHE).glob("unfinished-*"))
    corpus = open_corpus(own_root, own_words=True)
    for n, entry in enumerate(corpus.entries):
        np.testing.assert_array_equal(corpus[n], read_int16(own_root / entry.path))


@pytest.mark.parametrize("restored", [False, True])
def test_a_kill_between_samples_and_lengths_is_no_whole_cache(
    own_root, decoded, monkeypatch, restored
):
    """Nor once the file is again what it was when the cache was whole."""
    open_corpus(own_root, own_words=True)
    file = own_root / "door" / "0.wav"
    before, date = file.read_bytes(), file.stat().st_mtime_ns
    write(file, noise(0.2, RNG))
    os.utime(file, ns=(1, 1))
    moves = iter([os.replace])

    def killed(source, target):
        next(moves, _killed)(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            open_corpus(own_root, own_words=True)
    if restored:
        file.write_bytes(before)
        os.utime(file, ns=(date, date))
    decoded.clear()
    open_corpus(own_root, own_words=True)
    assert len(decoded) == 7


def _killed(source, target):
    raise KeyboardInterrupt


def test_what_a_kill_left_is_removed_later(own_root):
    """What is still written to stays, however long ago it was begun."""
    ages_s = {"old": (7_200, 7_200), "now": (0, 0), "long": (7_200, 0)}
    for name, (folder_s, samples_s) in ages_s.items():
        path = own_root / CACHE / f"unfinished-{name}" / "samples"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"12")
        for written, age_s in ((path, samples_s), (path.parent, folder_s)):
            os.utime(written, (time.time() - age_s,) * 2)
    open_corpus(own_root, own_words=True)
    left = {path.name for path in (own_root / CACHE).glob("unfinished-*")}
    assert left == {"unfinished-now", "unfinished-long"}


def test_what_another_process_has_just_finished_with_is_no_failure(own_root, monkeypatch):
    folder, listed = own_root / CACHE / "unfinished-other", Path.iterdir
    folder.mkdir(parents=True)

    def finished(path):
        if path == folder:
            path.rmdir()
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", finished)
    assert len(open_corpus(own_root, own_words=True).entries) == 7
    assert not folder.exists()


def test_what_another_run_has_just_decoded_is_not_taken_for_ones_own(own_root, monkeypatch):
    """Between its own decoding and the opening of the file one more recording came."""
    opened = under_test.Corpus

    def late(*args):
        monkeypatch.setattr(under_test, "Corpus", opened)
        write(own_root / "door" / "3.wav", noise(0.3, RNG))
        open_corpus(own_root, own_words=True)
        return opened(*args)

    monkeypatch.setattr(under_test, "Corpus", late)
    with pytest.raises(ValueError, match="another run has decoded other recordings"):
        open_corpus(own_root, own_words=True)
    assert len(open_corpus(own_root, own_words=True).entries) == 8


def test_any_rate_format_and_number_of_channels(tmp_path):
    t = np.arange(8_820) / 44_100
    tone = 0.5 * np.sin(2 * np.pi * 440 * t)
    write(tmp_path / "door" / "cd.flac", np.stack([tone, tone], axis=1), 44_100)
    write(tmp_path / "door" / "phone.ogg", tone[:1_600], 8_000)
    write(tmp_path / "door" / "wide.wav", np.repeat(tone, 4), 176_400)
    corpus = open_corpus(tmp_path, own_words=True)
    by_name = {entry.path: corpus[n] for n, entry in enumerate(corpus.entries)}
    assert {path: len(x) for path, x in by_name.items()} == {
        "door/cd.flac": 3_200,
        "door/phone.ogg": 3_200,
        "door/wide.wav": 3_200,
    }
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(3_200) / SAMPLE_RATE_HZ)
    inner = slice(400, -400)
    np.testing.assert_allclose(by_name["door/cd.flac"][inner] / 32_768, expected[inner], atol=2e-3)


def test_a_long_recording_of_other_words_is_speech(own_root):
    """Its last part is for validation, in clips of a second; all else stays what it is."""
    long, short = noise(60, RNG), noise(4.9, RNG)
    write(own_root / "_unknown_" / "talk.wav", long)
    write(own_root / "_unknown_" / "word.wav", short)
    write(own_root / "door" / "long.wav", noise(8, RNG))
    corpus = open_corpus(own_root, own_words=True)
    (n,) = corpus.where(source="speech", split="training")
    assert corpus.entries[n].word == UNKNOWN
    assert len(corpus[n]) == 51 * SAMPLE_RATE_HZ
    whole = read_int16(own_root / "_unknown_" / "talk.wav")
    np.testing.assert_array_equal(corpus[n], whole[: 51 * SAMPLE_RATE_HZ])
    clips = corpus.where(source="commands", split="validation")
    held_out = [corpus[n] for n in clips if corpus.entries[n].path == "_unknown_/talk.wav"]
    assert len(held_out) == 9
    np.testing.assert_array_equal(np.concatenate(held_out), whole[51 * SAMPLE_RATE_HZ :])
    lengths = {e.path: e.length for e in corpus.entries if e.source == "commands"}
    assert lengths["_unknown_/word.wav"] == 4.9 * SAMPLE_RATE_HZ
    assert lengths["door/long.wav"] == 8 * SAMPLE_RATE_HZ


def talk_held_out(corpus):
    """Lengths of the clips for validation that are of other words, and of the speech."""
    clips = [corpus.entries[n] for n in corpus.where(source="commands", split="validation")]
    speech = [corpus.entries[n] for n in corpus.where(source="speech", split="training")]
    return [e.length for e in clips if e.word == UNKNOWN], [e.length for e in speech]


@pytest.mark.parametrize(("recordings", "seconds"), [(1, 600), (3, 100), (100, 6), (1, 5)])
def test_talk_is_validated_on_few_clips_and_none_of_it_is_lost(own_root, recordings, seconds):
    for n in range(recordings):
        write(own_root / "_unknown_" / f"{n}.wav", noise(seconds, RNG))
    clips, speech = talk_held_out(open_corpus(own_root, own_words=True))
    assert 1 <= len(clips) <= TALK_HELD_OUT
    assert set(clips) == {SAMPLE_RATE_HZ}
    assert len(speech) == recordings
    held_out = recordings * seconds * SAMPLE_RATE_HZ - sum(speech)
    most = 0.15 * recordings * seconds * SAMPLE_RATE_HZ + recordings
    assert sum(clips) <= held_out <= max(sum(clips), most)


def test_clips_for_validation_are_spread_over_what_is_held_out(own_root):
    write(own_root / "_unknown_" / "talk.wav", noise(200, RNG))
    corpus = open_corpus(own_root, own_words=True)
    clips = [corpus.entries[n] for n in corpus.where(source="commands", split="validation")]
    starts = [e.start for e in clips if e.word == UNKNOWN]
    assert np.diff(starts).tolist() == [1.5 * SAMPLE_RATE_HZ] * (TALK_HELD_OUT - 1)  # of 30 s


def test_talk_of_a_speaker_who_is_held_out_is_not_trained_on(own_root):
    for n in range(8):
        for name in ("door", "_unknown_"):
            write(own_root / name / f"s{n}_nohash_0.wav", noise(6, RNG))
    corpus = open_corpus(own_root, own_words=True)
    heard = {e.speaker for e in corpus.entries if e.split == "training" and e.word == UNKNOWN}
    commands = [corpus.entries[n] for n in corpus.where(source="commands", split="validation")]
    named = {e.speaker for e in commands if e.word == "door" and "nohash" in e.path}
    assert named
    assert not heard & named
    assert named <= {e.speaker for e in commands if e.word == UNKNOWN}


def test_talk_of_the_only_speaker_is_trained_on(tmp_path):
    """Files are held out then, and of talk its last part."""
    for word in ("door", UNKNOWN):
        (tmp_path / word).mkdir()
    for n in range(12):
        write(tmp_path / "door" / f"me_nohash_{n}.wav", noise(1, RNG))
    for n in range(4):
        write(tmp_path / UNKNOWN / f"me_nohash_{n}.wav", noise(20, RNG))
    entries = open_corpus(tmp_path, own_words=True).entries
    heard = sum(entry.length for entry in entries if entry.source == "speech")
    assert heard == pytest.approx(0.85 * 4 * 20 * SAMPLE_RATE_HZ)


def test_full_scale_does_not_wrap_around(tmp_path):
    path = write(tmp_path / "loud.wav", np.array([1.0, -1.0, 1.0]))
    assert read_int16(path).tolist() == [32_767, -32_768, 32_767]
    soundfile.write(path, np.array([2.0, -3.0]), SAMPLE_RATE_HZ, subtype="FLOAT")
    assert read_int16(path).tolist() == [32_767, -32_768]


def test_files_that_cannot_be_read_are_one_line(own_root):
    (own_root / "door" / "1.wav").write_text("no audio")
    with pytest.raises(ValueError, match=r"^\S+door/1\.wav: not audio that can be read[^\n]*$"):
        open_corpus(own_root, own_words=True)
    (own_root / "lamp" / "1.wav").write_bytes(b"")
    (own_root / "lamp" / "2.wav").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"^\S+door/1\.wav: .* \(and 2 more that cannot be read\)$"
    ):
        open_corpus(own_root, own_words=True)


def test_recordings_without_a_sample_are_left_out(own_root):
    write(own_root / "door" / "1.wav", np.zeros(0))
    corpus = open_corpus(own_root, own_words=True)
    assert "door/1.wav" not in {entry.path for entry in corpus.entries}
    for n, entry in enumerate(corpus.entries):
        np.testing.assert_array_equal(corpus[n], read_int16(own_root / entry.path))
    shutil.rmtree(own_root)
    write(own_root / "door" / "1.wav", np.zeros(0))
    with pytest.raises(ValueError, match=r"^\S+: no recording holds a sample$"):
        open_corpus(own_root, own_words=True)


def test_a_folder_that_cannot_be_written_is_one_line(own_root):
    (own_root / CACHE).write_text("in the way")
    with pytest.raises(ValueError, match=rf"^\S+{CACHE}: cannot be written \(.*\)$"):
        open_corpus(own_root, own_words=True)


def test_a_full_disk_is_one_line(own_root, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ValueError, match=r"^\S+: cannot be written \(no space left on device\)$"):
        open_corpus(own_root, own_words=True)


def test_tables_that_are_missing_are_one_line(tmp_path):
    root = make_published(tmp_path)
    (root / "speech" / "words.csv").unlink()
    assert open_corpus(root, own_words=False).words == {}
    (root / "noise" / "rain" / "5-A.wav").unlink()
    with pytest.raises(ValueError, match=r"^\S+5-A\.wav: no such file or directory$"):
        open_corpus(root, own_words=False)
    (root / "noise" / "splits.csv").unlink()
    with pytest.raises(ValueError, match=r"^\S+splits\.csv: no such file or directory$"):
        open_corpus(root, own_words=False)


@pytest.mark.parametrize("table", ["noise/splits.csv", "speech/transcripts.csv"])
def test_a_split_that_is_none_is_one_line(tmp_path, table):
    root = make_published(tmp_path)
    path = root / table
    path.write_text(path.read_text().replace("training", "Training", 1))
    with pytest.raises(ValueError, match=r"^\S+\.csv: row \d+: no split 'Training' \(training, "):
        open_corpus(root, own_words=False)


@pytest.mark.parametrize(
    ("start_s", "said"),
    [("x", "its times are no numbers"), ("nan", "its times are no numbers"),
     ("inf", "its times are no numbers"), ("900", "900 s is not in its recording"),
     ("-1", "-1 s is not in its recording")],
)  # fmt: skip
def test_times_that_cannot_be_are_one_line(tmp_path, start_s, said):
    root = make_published(tmp_path)
    table = root / "speech" / "words.csv"
    with table.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    rows[1]["start_s"] = start_s
    with table.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(ValueError, match=rf"^\S+words\.csv: row 2: {said}$"):
        open_corpus(root, own_words=False)


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"digest": 1, "lengths": ["x"]}'])
def test_a_damaged_table_of_the_cache_is_made_anew(own_root, content):
    lengths = [entry.length for entry in open_corpus(own_root, own_words=True).entries]
    (own_root / ".sssm-cache" / "recordings.json").write_text(content)
    assert [entry.length for entry in open_corpus(own_root, own_words=True).entries] == lengths


def test_a_recording_that_is_cut_short_is_one_line(own_root):
    path = next(own_root.rglob("*.wav"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"^\S+: damaged after \S+ s: the file is cut short$"):
        open_corpus(own_root, own_words=True)


def test_what_stands_beside_speech_commands_may_be_missing(tmp_path):
    for split, speakers in SPEAKERS.items():
        for speaker in speakers:
            write(tmp_path / FOLDER / "yes" / f"{speaker}_nohash_0.wav", noise(0.1, RNG))
        assert split
    corpus = open_corpus(tmp_path, own_words=False)
    assert {entry.source for entry in corpus.entries} == {"commands"}
