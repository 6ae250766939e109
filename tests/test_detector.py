import ast
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sssm import detector as module
from sssm import evidence, labels, talk, timing
from sssm.detector import DEFAULT_THRESHOLD, Detector

LABELS = ("yes", "_unknown_", "no", "_silence_")
SHARP = {"smoothing": 0.0, "min_frames": 1, "refractory": 0, "release": 0.5}


def frames(**columns):
    """(1, frames, labels) scores, zero where none is given."""
    length = max(map(len, columns.values()))
    scores = np.zeros((1, length, len(LABELS)), np.float32)
    for label, values in columns.items():
        scores[0, : len(values), LABELS.index(label)] = values
    return scores


def heard(detector, scores):
    """(keyword, frame that fired) of the first row."""
    events, _ = detector.run(scores, detector.init_state(len(scores)))
    return [(event.keyword, round(event.time_s * 100)) for row, event in events if row == 0]


def test_a_keyword_fires_once_until_it_is_released():
    detector = Detector(labels=LABELS, thresholds={"yes": 0.8}, **SHARP)
    yes = [0.1, 0.9, 0.9, 0.5, 0.9, 0.3, 0.9]  # 0.5 is above the release 0.4, 0.3 is not
    assert heard(detector, frames(yes=yes)) == [("yes", 2), ("yes", 7)]


def test_each_keyword_has_its_threshold_and_its_release():
    detector = Detector(labels=LABELS, thresholds={"yes": 0.8, "no": 0.4}, **SHARP)
    values = [0.45, 0.3, 0.45, 0.1, 0.45, 0.9]
    assert heard(detector, frames(yes=values)) == [("yes", 6)]
    assert heard(detector, frames(no=values)) == [("no", 1), ("no", 5)]


def test_a_keyword_without_a_threshold_has_the_default():
    detector = Detector(labels=LABELS, **SHARP)
    below = np.nextafter(DEFAULT_THRESHOLD, 0)
    scores = np.zeros((1, 2, 4))
    scores[0, :, 0] = below, DEFAULT_THRESHOLD
    assert heard(detector, scores) == [("yes", 2)]


def test_it_starts_where_its_score_last_rose_above_the_release_threshold():
    detector = Detector(labels=LABELS, thresholds={"yes": 0.8}, **SHARP)
    scores = frames(yes=[0.5, 0.3, 0.3, 0.5, 0.6, 0.9])
    ((_, event),), _ = detector.run(scores, detector.init_state(1))
    assert (event.keyword, event.start_s, event.time_s) == ("yes", 0.03, 0.06)
    assert event.score == pytest.approx(0.9)


def test_times_are_exact_in_samples():
    """At 11,025 Hz frame 5 ends at sample 551, frame 1 at sample 110."""
    detector = Detector(labels=LABELS, sample_rate_hz=11_025, **SHARP | {"min_frames": 4})
    ((_, event),), _ = detector.run(frames(yes=[0, 1, 1, 1, 1]), detector.init_state(1))
    assert (event.start_s, event.time_s) == (110 / 11_025, 551 / 11_025)


def test_a_minimum_of_frames_in_a_row():
    detector = Detector(labels=LABELS, **SHARP | {"min_frames": 3})
    assert heard(detector, frames(yes=[1, 1, 0.6, 1, 1, 1, 1])) == [("yes", 6)]


def test_smoothing_is_a_leaky_mean():
    detector = Detector(labels=LABELS, thresholds={"yes": 0.7}, **SHARP | {"smoothing": 0.5})
    ((_, event),), state = detector.run(frames(yes=[1, 1, 1]), detector.init_state(1))
    assert event.time_s == 0.02  # 0.5, 0.75, 0.875
    assert state.smoothed[0, 0] == 0.875


def test_in_the_refractory_time_nothing_fires():
    detector = Detector(labels=LABELS, **SHARP | {"refractory": 3})
    assert heard(detector, frames(yes=[1, 0, 0, 0, 1], no=[0, 0, 1, 1])) == [("yes", 1), ("yes", 5)]
    assert heard(detector, frames(yes=[1], no=[0, 0, 1, 1, 1])) == [("yes", 1), ("no", 5)]


def test_of_two_ready_keywords_the_one_furthest_above_its_threshold_fires():
    detector = Detector(labels=LABELS, thresholds={"yes": 0.8, "no": 0.4}, **SHARP)
    assert heard(detector, frames(yes=[0.9], no=[0.8])) == [("no", 1)]


def test_silence_and_unknown_never_fire():
    detector = Detector(labels=LABELS, **SHARP)
    assert detector.keywords == ("yes", "no")
    assert heard(detector, frames(_silence_=[1.0] * 9)) == []
    assert heard(detector, frames(_unknown_=[1.0] * 9)) == []
    silent = Detector(labels=("_unknown_", "_silence_"))
    assert silent.run(np.ones((2, 3, 2)), silent.init_state(2))[0] == []


def test_defaults_hear_a_word_and_not_a_click():
    detector = Detector(labels=LABELS)
    ((keyword, frame),) = heard(detector, frames(yes=[0.0] * 20 + [1.0] * 20 + [0.0] * 50))
    assert keyword == "yes"
    assert frame - 20 <= 15
    assert heard(detector, frames(yes=[0.0] * 20 + [1.0] * 2 + [0.0] * 50)) == []


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 60), max_size=6),
    st.sampled_from([1.0, 0.6, 0.2]),  # nearly always low, and hardly ever
    st.sampled_from([0, 2]),
)
def test_any_chunking_and_any_row_gives_the_same_detections(seed, cuts, loudest, caution):
    random = np.random.default_rng(seed)
    scores = np.repeat(loudest * random.random((3, 12, len(LABELS))), 5, axis=1)
    detector = Detector(
        labels=LABELS, min_frames=2, refractory=4, smoothing=0.3, thresholds={"yes": 0.5},
        caution=caution,
    )  # fmt: skip
    whole, last = detector.run(scores, detector.init_state(3))
    state, found = detector.init_state(3), []
    for piece in np.split(scores, sorted(cuts), axis=1):
        events, state = detector.run(piece, state)
        found += events
    assert found == whole
    assert all(map(np.array_equal, state, last))
    for row in range(3):
        alone, _ = detector.run(scores[row : row + 1], detector.init_state(1))
        assert [event for _, event in alone] == [event for r, event in whole if r == row]


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("caution", [0, 2])
def test_one_stream_frame_by_frame_is_the_whole(rows, caution):
    """As any other cut is, with something said again after a silence."""
    detector = Detector(
        labels=LABELS, min_frames=2, refractory=4, smoothing=0.3, thresholds={"yes": 0.5},
        caution=caution,
    )  # fmt: skip
    for seed, loudest in itertools.product(range(10), (1.0, 0.6, 0.2)):
        random = np.random.default_rng(seed)
        said = np.repeat(loudest * random.random((rows, 12, len(LABELS))), 5, axis=1)
        scores = np.concatenate([said, 0 * said[:, :20], said], axis=1)
        whole, last = detector.run(scores, detector.init_state(rows))
        for cuts in (range(140), range(7, 140, 7), sorted(random.integers(0, 140, 40))):
            state, found = detector.init_state(rows), []
            for piece in np.split(scores, cuts, axis=1):
                events, state = detector.run(piece, state)
                found += events
            assert found == whole
            assert all(map(np.array_equal, state, last))


def test_a_score_at_its_threshold_fires_where_the_release_is_the_threshold():
    detector = Detector(labels=LABELS, **SHARP | {"release": 1.0}, thresholds={"yes": 0.5})
    scores = frames(yes=[0.5, 0.5, 0.2])
    whole, _ = detector.run(scores, detector.init_state(1))
    state, found = detector.init_state(1), []
    for piece in np.split(scores, 3, axis=1):
        events, state = detector.run(piece, state)
        found += events
    assert found == whole
    assert [(event.start_s, event.time_s) for _, event in whole] == [(0.0, 0.01)]


def test_numbers_may_be_numpys():
    detector = Detector(labels=LABELS, thresholds={"yes": np.float32(0.5), "no": np.float64(0.3)})
    assert detector.thresholds == {"yes": 0.5, "no": 0.3}
    with pytest.raises(ValueError, match=r"got (np\.)?True"):
        Detector(labels=LABELS, thresholds={"yes": np.bool_(True)})


def test_thresholds_are_its_own():
    chosen = {"yes": 0.5}
    detector = Detector(labels=LABELS, thresholds=chosen)
    chosen["yes"] = 0.9
    assert detector.thresholds == {"yes": 0.5, "no": DEFAULT_THRESHOLD}


def test_parts_of_a_state_share_no_memory():
    detector = Detector(labels=LABELS, **SHARP)
    for share in (0.0, 0.5, 1.0):  # nothing, something short of the threshold, a word
        _, state = detector.run(np.full((2, 3, len(LABELS)), share), detector.init_state(2))
        for n, part in enumerate(state):
            assert not any(np.shares_memory(part, other) for other in state[n + 1 :])


def test_a_state_is_a_value():
    detector = Detector(labels=LABELS, **SHARP)
    state = detector.init_state(2)
    before = [part.copy() for part in state]
    first = detector.run(np.ones((2, 5, 4)), state)
    assert all(map(np.array_equal, state, before))
    assert detector.run(np.ones((2, 5, 4)), state)[0] == first[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thresholds": {"maybe": 0.5}}, r"no keyword 'maybe' .*keywords: yes, no"),
        ({"thresholds": {"_silence_": 0.5}}, "no keyword '_silence_'"),
        ({"thresholds": {"yes": 0}}, r"threshold of 'yes' must be in \(0, 1\], got 0"),
        ({"thresholds": {"yes": 1.1}}, "got 1.1"),
        ({"thresholds": {"yes": math.nan}}, "got nan"),
        ({"thresholds": {"yes": "high"}}, "got 'high'"),
        ({"release": 1.5}, r"release must be in \[0, 1\]"),
        ({"smoothing": 1.0}, r"smoothing in \[0, 0.999\]"),
        ({"min_frames": 0}, "min_frames must be a whole number from 1, got 0"),
        ({"refractory": 0.5}, "refractory must be a whole number from 0, got 0.5"),
        ({"refractory": 2_000_000}, "refractory must be at most 1,000,000, got 2,000,000"),
        ({"caution": 9}, "caution must be at most 8, got 9"),
        ({"caution": 1.5}, "caution must be a whole number from 0, got 1.5"),
        ({"sample_rate_hz": 0}, "sample_rate_hz must be a whole number from 1, got 0"),
    ],
)
def test_what_makes_no_sense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Detector(labels=LABELS, **change)


@pytest.mark.parametrize("file", [module, evidence, talk, labels, timing])
def test_it_imports_nothing_but_numpy_and_the_standard_library(file):
    tree = ast.parse(Path(file.__file__).read_text(encoding="utf-8"))
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    pure = {
        "collections.abc", "dataclasses", "functools", "operator", "typing", "numpy",
        "numpy.typing", "unicodedata",
    }  # fmt: skip
    ours = {"sssm", "sssm.evidence", "sssm.labels", "sssm.timing"}  # `sssm` is `talk`: all pure
    assert names - pure == (ours if file is module else set())
