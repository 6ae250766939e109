import errno
import os
import threading

import pytest

from sssm.whole_file import whole_file


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "kws.v2"
    path.write_text("old")
    with whole_file(path) as file:
        file.write_text("new")
        assert path.read_text() == "old"
    assert (path.read_text(), os.listdir(tmp_path)) == ("new", ["kws.v2"])


def test_after_an_error_nothing_is_left_of_the_new_one(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text("old")

    def fill_the_disk():
        with whole_file(path) as file:
            file.write_text("ne")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        fill_the_disk()
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["mine.json"])


def test_nothing_beside_it_is_touched_and_two_writers_do_not_mix(tmp_path):
    (tmp_path / "mine.part").write_text("kept")
    path = tmp_path / "mine"
    with whole_file(path) as first, whole_file(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert sorted(os.listdir(tmp_path)) == ["mine", "mine.part"]
    assert (tmp_path / "mine.part").read_text() == "kept"


def test_what_cannot_be_written_is_called_by_its_own_name(tmp_path):
    path = tmp_path / "nowhere" / "mine.json"
    with pytest.raises(FileNotFoundError) as error, whole_file(path) as file:
        file.write_text("new")
    assert error.value.filename == str(path)


def test_a_disk_that_is_full_is_told_with_the_name_of_the_file(tmp_path):
    path = tmp_path / "mine.json"
    with pytest.raises(OSError, match="No space") as error, whole_file(path):
        raise OSError(errno.ENOSPC, "No space left on device")  # as of a write: without a name
    assert error.value.filename == str(path)


def test_a_link_stays_one(tmp_path):
    (tmp_path / "there").mkdir()
    os.symlink("there/file", tmp_path / "link")
    with whole_file(tmp_path / "link") as file:
        file.write_text("new")
    assert os.readlink(tmp_path / "link") == "there/file"
    assert (tmp_path / "there/file").read_text() == "new"


def test_a_link_that_leads_nowhere_but_to_itself_becomes_the_file(tmp_path):
    os.symlink("ring", tmp_path / "ring")
    with whole_file(tmp_path / "ring") as file:
        file.write_text("new")
    assert (tmp_path / "ring").read_text() == "new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_written_and_stays(tmp_path):
    pipe, heard = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    reader.start()
    with whole_file(pipe) as file:
        file.write_text("new")
    reader.join()
    assert (heard, pipe.is_fifo()) == (["new"], True)


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="needs descriptors by name")
def test_a_link_to_a_pipe_is_written():
    reader, writer = os.pipe()
    with whole_file(f"/dev/fd/{writer}") as file:
        file.write_text("new")
    os.close(writer)
    with open(reader) as pipe:
        assert pipe.read() == "new"
