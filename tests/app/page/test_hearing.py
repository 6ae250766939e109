"""A page hears what a spotter hears, at any sensitivity."""

import numpy as np
import pytest
from page_parts import shelf
from page_server import stream_of

from app.page.hearing import Hearing
from app.page.shelf import MOST_SENSITIVE
from sssm.spotter import KeywordSpotter

__all__ = ["shelf"]  # a fixture


def test_the_page_hears_what_a_spotter_hears(shelf):
    """At a native rate and at one that is resampled; however the sound is cut."""
    for rate in (48_000, 96_000):
        x = stream_of(["yes", "no"], rate)
        hearing = Hearing(shelf.spotter("s4"), rate)
        heard = [hearing.push(x[at : at + 777]) for at in range(0, len(x), 777)]
        expected = KeywordSpotter.load("s4").stream(rate).push(x)
        found = [detection for piece in heard for detection in piece.detections]
        assert [event.keyword for event in expected] == ["yes", "no"]
        assert [event[:1] + event[2:] for event in found] == [
            event[:1] + event[2:] for event in expected
        ]
        smoothed = np.concatenate([piece.smoothed for piece in heard])
        column = shelf.spotter("s4").keywords.index("yes")
        score = smoothed[round(expected[0].time_s * 100) - 1, column]
        assert score == pytest.approx(expected[0].score, abs=1e-5)


def test_sensitivity_shifts_thresholds_and_keeps_the_stream(shelf):
    plain, eager = shelf.spotter("s4"), shelf.spotter("s4", 1.0)
    for word, threshold in plain.thresholds.items():
        odds = threshold / (1 - threshold)
        assert eager.thresholds[word] == pytest.approx(odds / (odds + np.e))
    x = stream_of(["yes"])
    hearing = Hearing(shelf.spotter("s4", -MOST_SENSITIVE), 16_000)
    assert not hearing.push(x[:17_000]).detections
    hearing.take_thresholds(plain)
    (detection,) = hearing.push(x[17_000:]).detections
    assert detection.time_s == plain.stream(16_000).push(x)[0].time_s
    for wrong in (3.1, float("nan")):
        with pytest.raises(ValueError, match="sensitivity must be"):
            shelf.spotter("s4", wrong)


def test_a_detector_of_new_thresholds_counts_at_the_rate_heard(shelf):
    hearing = Hearing(shelf.spotter("s4", -MOST_SENSITIVE), 48_000)
    hearing.take_thresholds(shelf.spotter("s4"))
    x = stream_of(["yes"], 48_000)
    (found,) = hearing.push(x).detections
    (expected,) = KeywordSpotter.load("s4").stream(48_000).push(x)
    assert (found.start_s, found.time_s) == (expected.start_s, expected.time_s)
