import subprocess
import sys
import types
from urllib.error import URLError

import pytest
from generated_corpus import SPEAKERS, WORDS, write

from training import speech_commands
from training.speech_commands import FOLDER, official_split, recordings

# Names of clips of the data set, and the lists that they stand in.
OFFICIAL = {
    "bed/012c8314_nohash_1.wav": "training",
    "cat/21832144_nohash_0.wav": "training",
    "down/9886d8bf_nohash_1.wav": "training",
    "eight/14872d06_nohash_0.wav": "training",
    "left/1cc80e39_nohash_0.wav": "training",
    "bed/105e72bb_nohash_0.wav": "validation",
    "left/44c201dd_nohash_0.wav": "validation",
    "two/fa7895de_nohash_1.wav": "validation",
    "backward/0c540988_nohash_0.wav": "testing",
    "happy/20d3f11f_nohash_2.wav": "testing",
    "on/47d01978_nohash_0.wav": "testing",
    "two/0c40e715_nohash_0.wav": "testing",
}


@pytest.mark.parametrize(("path", "split"), OFFICIAL.items())
def test_the_rule_gives_the_official_lists(path, split):
    assert official_split(path) == split


def test_without_lists_the_rule_decides(commands_root):
    found = recordings(commands_root, download=False)
    assert {r.word for r in found} == set(WORDS)
    for split, speakers in SPEAKERS.items():
        there = [r for r in found if r.split == split]
        assert {r.speaker for r in there} == set(speakers)
        assert len(there) == len(speakers) * len(WORDS)
    assert all(r.path.is_file() for r in found)
    assert found == sorted(found)


def test_lists_go_before_the_rule(tmp_path):
    for speaker in ("012c8314", "105e72bb", "47d01978"):
        write(tmp_path / FOLDER / "yes" / f"{speaker}_nohash_0.wav", [0.0] * 16)
    (tmp_path / FOLDER / "validation_list.txt").write_text("yes/012c8314_nohash_0.wav\n")
    (tmp_path / FOLDER / "testing_list.txt").write_text("")
    found = recordings(tmp_path, download=False)
    splits = {r.speaker: r.split for r in found}
    assert splits == {"012c8314": "validation", "105e72bb": "training", "47d01978": "training"}


def test_missing_data_is_one_line(tmp_path):
    with pytest.raises(
        ValueError, match=r"^\S+ is not there; training.train --download fetches .*$"
    ):
        recordings(tmp_path, download=False)


def test_a_download_that_fails_is_one_line(tmp_path, monkeypatch):
    def offline(root, download, subset):
        raise URLError("no network")

    datasets = types.SimpleNamespace(SPEECHCOMMANDS=offline)
    fake = types.SimpleNamespace(datasets=datasets)
    monkeypatch.setattr(speech_commands, "_import_torchaudio", lambda: fake)
    with pytest.raises(
        ValueError, match=r"^\S+: Speech Commands cannot be had \(.*no network.*\)$"
    ):
        recordings(tmp_path, download=True)


BESIDE_A_CPU_BUILD = """
import sys
from importlib.abc import MetaPathFinder

class Linked(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torchaudio._extension":
            raise OSError("libcudart.so.12: cannot open shared object file")

sys.meta_path.insert(0, Linked())
from training.speech_commands import _import_torchaudio
print(_import_torchaudio().datasets.SPEECHCOMMANDS.__name__)
assert _import_torchaudio() is sys.modules["torchaudio"]
"""


def test_torchaudio_imports_where_its_extension_does_not_load():
    command = [sys.executable, "-W", "ignore", "-c", BESIDE_A_CPU_BUILD]
    assert subprocess.check_output(command, text=True).strip() == "SPEECHCOMMANDS"
