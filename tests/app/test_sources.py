"""Recordings in the place of a microphone."""

from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from listening import folder

import app.sources
from app.sources import RecordingSource

__all__ = ["folder"]  # a fixture


def test_in_real_time_a_piece_comes_when_it_is_due_and_the_end_is_not_waited_for(
    folder, monkeypatch
):
    clock = SimpleNamespace(now_s=100.0)

    def sleep(seconds):
        clock.now_s += seconds

    still = SimpleNamespace(monotonic=lambda: clock.now_s, sleep=sleep)
    monkeypatch.setattr(app.sources, "time", still)
    soundfile.write("short.wav", np.ones(4_410) / 2, 44_100)
    source = RecordingSource("short.wav", real_time=True)
    clock.now_s = 200.0
    source.start()
    came = [(len(p.samples), p.is_after, clock.now_s) for p in iter(source.read, None)]
    source.close()
    sound = [(length, now_s) for length, is_after, now_s in came if not is_after]
    assert [length for length, _ in sound] == [441] * 10
    assert [now_s for _, now_s in sound] == pytest.approx([200 + n / 100 for n in range(1, 11)])
    assert {now_s for _, _, now_s in came[10:]} == {sound[-1][1]}
    assert sum(length for length, _, _ in came[10:]) == round(0.75 * 44_100)


def test_who_is_late_in_real_time_does_not_wait(folder, monkeypatch):
    clock = SimpleNamespace(now_s=100.0, slept=[])
    still = SimpleNamespace(monotonic=lambda: clock.now_s, sleep=clock.slept.append)
    monkeypatch.setattr(app.sources, "time", still)
    source = RecordingSource("chirps.wav", real_time=True)
    source.start()
    clock.now_s += 0.015  # what the first piece took
    source.read()
    source.read()
    source.close()
    assert clock.slept == pytest.approx([0.0, 0.005])
