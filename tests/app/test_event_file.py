"""Events in a file that is whole after each of them."""

import csv
import errno
import os
import resource
from pathlib import Path

import pytest
from written_events import KEYS, read

from app.event_file import Event, EventFile


def test_two_that_write_one_file_would_lose_both(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("of yesterday\n" * 99)
    file = EventFile(str(path))
    file.start()
    with pytest.raises(OSError, match="Another program writes to it"):
        EventFile(str(path))
    file.write(Event("a.wav", "yes", 0.1, 0.2, 0.9))
    file.close()
    assert path.read_text().splitlines()[1:] == ["a.wav,yes,0.1,0.2,0.9"]
    EventFile(str(path)).close()


def test_a_system_of_files_without_locks_takes_events_too(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("app.event_file.fcntl.flock", none)
    path = tmp_path / "out.csv"
    path.write_text("of yesterday\n" * 99)
    file = EventFile(str(path))
    file.start()
    file.close()
    assert path.read_text() == ",".join(KEYS) + "\n"


def test_a_name_with_a_carriage_return_alone_is_one_field(tmp_path):
    path = str(tmp_path / "events.csv")
    file = EventFile(path)
    file.start()
    file.write(Event("in/Icon\r.wav", "yes", 0.5, 1.0, 0.9))
    file.close()
    with open(path, encoding="utf-8", newline="") as written:
        assert [row["path"] for row in csv.DictReader(written)] == ["in/Icon\r.wav"]
    assert Path(path).read_bytes().count(b"\r") == 1


@pytest.mark.parametrize("name", ["events.csv", "events.json", "events.jsonl"])
def test_a_disk_that_fills_up_keeps_the_events_before(tmp_path, name):
    """Also when the system takes the beginning of a row."""
    path = str(tmp_path / name)
    file = EventFile(path)
    event = Event("ä.wav", "yes", 1.0, 1.5, 0.75)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (444, before[1]))
    try:
        file.start()
        with pytest.raises(OSError, match=r"(?i)file"):  # noqa: PT012
            while True:
                file.write(event)
                written += 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    file.close()
    assert written > 3
    assert read(path) == [event._asdict()] * written


def test_a_disk_that_is_full_at_once_leaves_an_empty_file(tmp_path):
    file = EventFile(str(tmp_path / "events.json"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    try:
        with pytest.raises(OSError, match=r"(?i)file"):
            file.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    file.close()
    assert (tmp_path / "events.json").read_bytes() == b""


@pytest.mark.parametrize("name", ["pipe.csv", "pipe.jsonl"])
def test_events_go_into_a_pipe(tmp_path, name):
    path, event = tmp_path / name, Event("a.wav", "yes", 1.0, 1.5, 0.75)
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = EventFile(str(path))
    file.start()
    file.write(event)
    file.close()
    came = os.read(reader, 999)
    os.close(reader)
    path.unlink()
    path.write_bytes(came)
    assert read(str(path)) == [event._asdict()]


@pytest.mark.parametrize("name", ["events.csv", "events.json", "events.jsonl"])
def test_the_file_is_whole_after_every_event(tmp_path, name):
    path = str(tmp_path / name)
    file = EventFile(path)
    file.start()
    assert read(path) == []
    for number in range(3):
        file.write(Event("a", "yes", 1.0, float(number), 0.5))
        assert [row["time_s"] for row in read(path)] == list(range(number + 1))
    file.close()
