import dataclasses
import itertools
import math

import numpy as np
import pytest

from sssm import traces as under_test
from sssm.calibration import (
    HIGHEST,
    LOWEST,
    best_point,
    choose,
    curve,
    expected_counts,
    logit,
    measurable,
    raise_to_fit,
    shifted,
    threshold_grid,
    thresholds_within,
)
from sssm.detector import Detector
from sssm.intervals import binomial_interval, poisson_interval, poisson_upper
from sssm.traces import Fired, Traces

LABELS = ("yes", "_unknown_", "no", "up", "_silence_")
KEYWORDS = ("yes", "no", "up")


# Intervals.


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # Garwood's table, as in Johnson, Kotz and Kemp, and 0.5 * chi2.ppf of SciPy.
    [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (10, 4.7954, 18.3904), (100, 81.3640, 121.6268)],
)
def test_poisson_interval_is_garwoods(count, low, high):
    assert poisson_interval(count) == pytest.approx((low, high), abs=2e-4)


@pytest.mark.parametrize(("count", "upper"), [(0, 2.9957), (1, 4.7439), (8, 14.4346)])
def test_poisson_upper_is_one_sided(count, upper):
    assert poisson_upper(count) == pytest.approx(upper, abs=2e-4)


@pytest.mark.parametrize(
    ("count", "trials", "low", "high"),
    # beta.ppf of SciPy.
    [(0, 10, 0.0, 0.3085), (1, 10, 0.0025, 0.4450), (10, 10, 0.6915, 1.0),
     (30, 1_000, 0.0203, 0.0426), (0, 0, 0.0, 1.0)],
)  # fmt: skip
def test_binomial_interval_is_cloppers_and_pearsons(count, trials, low, high):
    assert binomial_interval(count, trials) == pytest.approx((low, high), abs=2e-4)


def test_intervals_have_the_tails_that_they_promise():
    low, high = binomial_interval(7, 50)
    tail = [math.comb(50, n) * high**n * (1 - high) ** (50 - n) for n in range(8)]
    assert sum(tail) == pytest.approx(0.025, abs=1e-9)
    head = [math.comb(50, n) * low**n * (1 - low) ** (50 - n) for n in range(7, 51)]
    assert sum(head) == pytest.approx(0.025, abs=1e-9)


# Traces: the detector heard again.


def some_scores(frames, rng):
    """(frames, labels) that rise and fall slowly."""
    walk = np.cumsum(rng.standard_normal((frames, len(LABELS))), axis=0) * 0.7
    walk -= walk.mean(axis=0) if frames else 0
    powers = np.exp(walk - walk.max(axis=1, keepdims=True, initial=-99))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def live(detector, recordings):
    """What the detector says of each recording from its start to its end."""
    return [
        Fired(number, round(event.time_s * 100), event.keyword)
        for number, scores in enumerate(recordings)
        for _, event in detector.run(scores[None], detector.init_state(1))[0]
    ]


def traced(detector, recordings, lowest, rng):
    """The same recordings in pieces."""
    traces = Traces(detector, lowest)
    for scores in recordings:
        trace, cut = traces.begin(), int(rng.integers(len(scores) + 1))
        smoothed = [trace.push(scores[:cut]), trace.push(scores[cut:])]
        assert sum(map(len, smoothed)) == len(scores)
    return traces


@pytest.mark.parametrize("refractory", [0, 1, 40])
@pytest.mark.parametrize("min_frames", [1, 3])
@pytest.mark.parametrize(("smoothing", "release"), [(0.0, 0.5), (0.7, 0.6), (0.7, 0.0), (0.5, 1.0)])
def test_traces_say_what_the_live_detector_says(smoothing, release, min_frames, refractory):
    rng = np.random.default_rng([min_frames, refractory, int(10 * release)])
    settings = {"smoothing": smoothing, "release": release, "min_frames": min_frames, "caution": 2}
    detector = Detector(labels=LABELS, refractory=refractory, **settings)
    recordings = [some_scores(frames, rng) for frames in (400, 0, 3, 700)]
    traces = traced(detector, recordings, 0.2, rng)
    for thresholds in ((0.2, 0.2, 0.2), (0.9, 0.5, 0.3), (0.7, 0.7, 1.0)):
        named = dict(zip(KEYWORDS, thresholds, strict=True))
        want = live(dataclasses.replace(detector, thresholds=named), recordings)
        assert traces.fired(named) == want
        assert want or thresholds[2] == 1.0
    assert traces.frames == [400, 0, 3, 700]
    assert traces.hours == pytest.approx(1_103 / 360_000)


def test_traces_say_what_each_keyword_would_do_alone():
    rng = np.random.default_rng(1)
    detector = Detector(labels=LABELS, min_frames=2, caution=2)
    recordings = [some_scores(500, rng) for _ in range(3)]
    want = []
    for keyword in KEYWORDS:
        others_never = dict.fromkeys(KEYWORDS, 1.0)  # which a mean that began at zero never is
        alone = dataclasses.replace(detector, thresholds=others_never | {keyword: 0.4})
        want += live(alone, recordings)
    assert traced(detector, recordings, 0.1, rng).fired_alone(0.4) == sorted(want)


def test_traces_may_grow_by_turns_and_be_asked_in_between():
    rng = np.random.default_rng(3)
    named = dict.fromkeys(KEYWORDS, 0.3)
    detector = Detector(labels=LABELS, thresholds=named)
    recordings = [some_scores(400, rng) for _ in range(2)]
    traces = Traces(detector, 0.2)
    both = [traces.begin() for _ in recordings]
    for end in range(100, 500, 100):
        for trace, scores in zip(both, recordings, strict=True):
            trace.push(scores[end - 100 : end])
        want = live(detector, [scores[:end] for scores in recordings])
        assert traces.fired(named) == want
    assert {fired.recording for fired in want} == {0, 1}


def test_traces_keep_little_of_quiet():
    traces = Traces(Detector(labels=LABELS, smoothing=0.7, min_frames=3), 0.2)
    quiet = np.full((10_000, len(LABELS)), 0.01, np.float32)
    quiet[5_000:5_050, 0] = 1
    traces.begin().push(quiet)
    assert traces.fired(dict.fromkeys(KEYWORDS, 0.5)) == [Fired(0, 5_004, "yes")]
    assert len(traces._kept().frame) < 100


def test_traces_of_nothing_say_nothing():
    traces = Traces(Detector(labels=LABELS), 0.2)
    assert traces.fired(dict.fromkeys(KEYWORDS, 0.5)) == [] == traces.fired_alone(0.5)
    assert traces.hours == 0


def test_traces_refuse_what_they_have_not_kept():
    traces = Traces(Detector(labels=LABELS), 0.2)
    with pytest.raises(ValueError, match=r"no threshold below 0\.2"):
        traces.fired(dict.fromkeys(KEYWORDS, 0.5) | {"up": 0.1})
    with pytest.raises(ValueError, match=r"no threshold below 0\.2"):
        traces.fired_alone(0.19)
    with pytest.raises(ValueError, match="a threshold for each of yes, no, up"):
        traces.fired({"yes": 0.5})
    with pytest.raises(ValueError, match="in \\(0, 1\\]"):
        Traces(Detector(labels=LABELS), 0.0)


def test_a_long_excursion_beside_short_ones_is_heard_too(monkeypatch):
    """Rows go together while their array is small; a single one may be larger."""
    monkeypatch.setattr("sssm.traces.MOST_ROW_FRAMES", 100)
    rng = np.random.default_rng(2)
    detector = Detector(labels=LABELS, thresholds=dict.fromkeys(KEYWORDS, 0.3))
    recordings = [some_scores(frames, rng) for frames in (30, 2_000, 60)]
    traces = traced(detector, recordings, 0.3, rng)
    assert traces.fired(dict(detector.thresholds)) == live(detector, recordings)


def test_rows_go_together_while_their_array_is_small(monkeypatch):
    monkeypatch.setattr(under_test, "MOST_ROW_FRAMES", 100)
    assert [under_test._fitting(np.array(n)) for n in ([10, 20, 60], [30, 50], [200])] == [2, 2, 1]


# Thresholds.


def test_the_grid_is_even_in_logit():
    grid = threshold_grid()
    assert (grid[0], grid[-1]) == (LOWEST, HIGHEST)
    steps = np.diff([logit(x) for x in grid])
    assert steps.max() < 0.11
    assert steps.min() > 0.08


def test_a_shift_moves_all_thresholds_alike_within_what_is_sensible():
    thresholds = {"yes": 0.5, "no": 0.9}
    moved = shifted(thresholds, 1.0, 0.2)
    assert [logit(moved[k]) - logit(thresholds[k]) for k in moved] == pytest.approx(
        [1, 1], abs=1e-3
    )
    assert shifted(thresholds, -50, 0.2) == {"yes": 0.2, "no": 0.2}
    assert shifted({"yes": 1.0}, 50, 0.2) == {"yes": HIGHEST}


def test_a_rate_needs_hours():
    assert measurable(0.5, 6)
    assert not measurable(0.5, 5.9)


GRID = [0.2, 0.4, 0.6, 0.8]
FINE = threshold_grid()
PLACES = np.array([logit(x) for x in FINE])


def columns(*of_keywords):
    return np.array(of_keywords).T


def counted(places):
    """(grid,) how many of the scores, in logit, each threshold lets through."""
    return (np.asarray(places)[:, None] >= PLACES).sum(axis=0)


def test_where_there_are_enough_the_count_is_what_to_expect():
    rng = np.random.default_rng(0)
    counts = counted(PLACES[0] + rng.exponential(0.8, 4_000))
    enough = counts >= 25
    found = expected_counts(FINE, counts[:, None])[:, 0]
    assert 20 < enough.sum() < len(FINE)
    np.testing.assert_array_equal(found[enough], counts[enough])


def test_the_line_goes_on_where_there_are_few():
    """Half of the scores, of a distribution that is known, tell how many of the others reach up."""
    rng = np.random.default_rng(1)
    mean, total = 0.7, 3_000
    found = expected_counts(FINE, counted(PLACES[0] + rng.exponential(mean, total))[:, None])[:, 0]
    truth = total * np.exp(-(PLACES - PLACES[0]) / mean)
    few = (truth < 20) & (truth > 0.01)
    assert few.sum() > 30
    assert abs(np.log(found[few] / truth[few])).max() < 1.0  # a count is none at half of them
    assert (np.diff(found) <= 0).all()


def test_a_keyword_of_which_little_is_known_falls_as_the_others_do():
    rng = np.random.default_rng(2)
    many = [counted(PLACES[0] + rng.exponential(0.4, 500)) for _ in range(3)]
    found = expected_counts(FINE, columns(*many, counted([PLACES[0]]), counted([])))
    slopes = np.diff(np.log(found[-10:]), axis=0).mean(axis=0) / np.diff(PLACES[-10:]).mean()
    assert slopes == pytest.approx([-1 / 0.4] * 5, rel=0.25)
    assert found[0, 3:] == pytest.approx([1, 0.5])


def test_with_nothing_seen_at_all_there_is_still_something_to_expect():
    found = expected_counts(FINE, np.zeros((len(FINE), 2), int))
    assert found[0] == pytest.approx([0.5, 0.5])
    assert np.diff(np.log(found), axis=0)[:, 0] == pytest.approx(-np.diff(PLACES), rel=1e-6)


def test_false_accepts_that_come_back_at_a_higher_threshold_count():
    """A lower threshold may fire once where a higher one fires twice."""
    counts = counted(np.linspace(PLACES[0], PLACES[40], 90))
    dented = counts.copy()
    dented[3] = 0
    np.testing.assert_allclose(expected_counts(FINE, dented[:, None])[3], counts[4])


def test_without_positives_each_keyword_has_its_share():
    fire = columns([8, 4, 2, 0], [8, 2, 1, 0], [0, 0, 0, 0])
    assert choose(GRID, fire, None, 0) == [3, 3, 0]
    assert choose(GRID, fire, None, 5) == [3, 2, 0]
    assert choose(GRID, fire, None, 6) == [2, 1, 0]


def test_a_keyword_without_recordings_has_its_share_beside_those_with():
    fire = columns([8, 4, 2, 0], [8, 2, 1, 0], [8, 2, 1, 0])
    missed = columns([1, 2, 9, 20], [0, 0, 0, 0], [0, 1, 3, 9])
    assert choose(GRID, fire, missed, 9)[1] == choose(GRID, fire, None, 9)[1] == 1


def test_a_share_of_a_false_accept_is_not_aimed_at():
    """Nothing that was heard can tell it from one, and words would be made deaf for it."""
    expected = columns([2.0, 0.9, 0.5, 0.1])
    missed = columns([0, 1, 5, 9])
    for misses in (None, missed):
        few = choose(GRID, expected, misses, 0.01)
        assert few == choose(GRID, expected, misses, 1)
    assert choose(GRID, expected, None, 0) == [1]


def test_a_keyword_that_fires_at_every_threshold_has_the_highest():
    assert choose(GRID, columns([9, 9, 9, 5]), None, 1) == [3]
    assert choose(GRID, columns([9, 9, 9, 5], [0, 0, 0, 0]), None, 1) == [3, 0]
    assert choose(GRID, columns([9, 9, 9, 5]), columns([0, 0, 1, 2]), 1) == [3]


def test_what_is_allowed_goes_where_it_saves_most_misses():
    """Both fire alike; of the second keyword ten times as many are missed at high thresholds."""
    fire = 30 * np.exp(PLACES[0] - PLACES)
    missed = np.linspace(0, 20, len(FINE)).astype(int)
    few, many = choose(FINE, columns(fire, fire), columns(missed, 10 * missed), 4)
    assert many < few
    assert 3 < fire[few] + fire[many] <= 4
    assert choose(FINE, columns(fire, fire), columns(missed, 10 * missed), 1e6)[1] < 5


def test_thresholds_within_heed_misses_and_count_all_keywords_together():
    fire = np.rint(3_000 * np.exp(2 * (PLACES[0] - PLACES))).astype(int)
    missed = np.linspace(0, 20, len(FINE)).astype(int)

    for together in (1, 2):  # times as many as the keywords alone

        def count(thresholds, together=together):
            return together * np.array([fire[FINE.index(x)] for x in thresholds.values()])

        chosen = thresholds_within(
            ("few", "many"), FINE, columns(fire, fire), columns(missed, 10 * missed), count, 40
        )
        assert chosen["many"] < chosen["few"]
        assert count(chosen).sum() <= 40


def test_thresholds_within_expect_more_than_was_seen():
    """None was seen from the fourth on, which is luck where thirty were at the third."""
    seen = np.zeros((len(FINE), 1), int)
    seen[:3] = 30
    chosen = thresholds_within(("yes",), FINE, seen, None, lambda _: np.array([0]), 1)
    assert chosen["yes"] > FINE[5]


def test_a_threshold_keeps_away_from_the_edge_of_what_it_finds():
    """Thresholds below 0.5 find all, and nothing fires: the highest of them would be luck."""
    missed = (np.array(FINE) > 0.5).astype(int)
    edge = int(missed.argmax())
    (chosen,) = choose(FINE, 1e-3 * np.exp(-PLACES)[:, None], missed[:, None], 1)
    assert edge - 5 < chosen < edge - 1


def test_thresholds_rise_until_all_keywords_together_keep_to_it():
    asked = []

    def count(thresholds):
        asked.append(dict(thresholds))
        return np.array([int(thresholds["yes"] < 0.6) * 3, 1])

    raised = raise_to_fit(("yes", "no"), GRID, [0, 0], count, 1)
    assert raised == {"yes": 0.6, "no": 0.2}
    assert len(asked) == 3


def test_thresholds_stop_at_the_highest():
    raised = raise_to_fit(("yes",), GRID, [0], lambda _: np.array([7]), 1)
    assert raised == {"yes": 0.8}
    # The one with the most false accepts is there already: the other has to rise.
    raised = raise_to_fit(
        ("yes", "no"), GRID, [3, 0], lambda x: np.array([5, 3 * int(x["no"] < 0.6)]), 5
    )
    assert raised == {"yes": 0.8, "no": 0.6}


def test_a_curve_goes_from_few_false_accepts_to_many_and_stops():
    def count(thresholds):
        low = sum(x < 0.5 for x in thresholds.values())
        return np.array([low, low]), np.array([5 - low])

    points = curve({"yes": 0.7, "no": 0.8}, count, lowest=0.1, most=3)
    assert set(points[0].thresholds.values()) == {HIGHEST}
    assert [int(p.false_accepts.sum()) for p in points][-2:] == [2, 4]
    assert all(a.thresholds["yes"] > b.thresholds["yes"] or a.thresholds["yes"] == HIGHEST
               for a, b in itertools.pairwise(points))  # fmt: skip
    assert best_point(points, 2).misses.sum() == 4
    assert best_point(points, 0).misses.sum() == 5
    assert best_point(points, -1) is None
    whole = curve({"yes": 0.7, "no": 0.8}, count, lowest=0.1, most=99)
    assert set(whole[-1].thresholds.values()) == {0.1}
