import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import chirps, sensitive

from sssm import KeywordSpotter
from sssm.hearing import Health
from sssm.rows import MOST_ROWS

SIZE = 5


@pytest.fixture(scope="module")
def spotter(model_file, tmp_path_factory):
    return KeywordSpotter.load(sensitive(model_file, tmp_path_factory.mktemp("batch")))


def sounds(rate, seconds):
    return np.stack([chirps(seconds, rate, seed=row) for row in range(SIZE)])


def strip(events):
    return [(row, event._replace(score=0)) for row, event in events]


@settings(deadline=None, max_examples=12)
@given(
    rate=st.sampled_from([4_000, 8_000, 11_025, 16_000, 22_050, 44_100, 96_000]),
    plan=st.lists(
        st.tuples(st.integers(0, 2_500), st.lists(st.booleans(), min_size=SIZE, max_size=SIZE)),
        min_size=1,
        max_size=8,
    ),
    scores=st.booleans(),
)
def test_a_batch_is_its_streams(spotter, rate, plan, scores):
    batch, streams = spotter.batch(SIZE, rate), [spotter.stream(rate) for _ in range(SIZE)]
    x = sounds(rate, 2.5)
    at = np.zeros(SIZE, int)
    for n, active in plan:
        part = np.stack([x[row, at[row] : at[row] + n] for row in range(SIZE)])
        at += np.where(active, n, 0)
        if scores:
            got = batch.push_scores(part, np.array(active))
            for row, stream in enumerate(streams):
                expected = stream.push_scores(part[row] if active[row] else part[row, :0])
                np.testing.assert_allclose(got[row], expected, atol=1e-6)
        else:
            got = batch.push(part, np.array(active))
            expected = [
                (row, event)
                for row, stream in enumerate(streams)
                if active[row]
                for event in stream.push(part[row])
            ]
            assert sorted(strip(got)) == sorted(strip(expected))
            times = [event.time_s for _, event in got]
            assert times == sorted(times)
        np.testing.assert_allclose(batch.scores, [s.scores for s in streams], atol=1e-6)
        assert batch.time_s.tolist() == [s.time_s for s in streams]


def test_rows_whose_next_frame_is_longer_go_apart(spotter):
    """At 11,025 Hz a frame has 110 samples or 111: by turns, which rows take each on their own."""
    batch, x = spotter.batch(SIZE, 11_025), sounds(11_025, 0.5)
    first = np.array([220, 0, 110, 330, 110])
    for n in (110, 220, 330):
        batch.push_scores(x[:, :n], first == n)
    rest = np.stack([row[n : n + 3_000] for row, n in zip(x, first, strict=True)])
    scores = batch.push_scores(rest)
    for row, n in enumerate(first):
        expected = spotter.stream(11_025).push_scores(x[row, : n + 3_000])
        np.testing.assert_allclose(scores[row], expected[n // 110 :], atol=1e-6)


@pytest.mark.parametrize(("rate", "first"), [(11_025, (120, 11)), (16_000, (160, 1))])
def test_rows_that_wait_unlike_go_apart_wherever_they_are(spotter, rate, first):
    """What waits and how many frames were heard differ, and add up to the same."""
    batch, x = spotter.batch(2, rate), sounds(rate, 0.2)[:2]
    for row, n in enumerate(first):
        batch.push_scores(x[:, :n], np.arange(2) == row)
    rest = np.stack([of[n : n + 1_000] for of, n in zip(x, first, strict=True)])
    scores = batch.push_scores(rest)
    for row, n in enumerate(first):
        expected = spotter.stream(rate).push_scores(x[row, : n + 1_000])
        np.testing.assert_allclose(scores[row], expected[-len(scores[row]) :], atol=1e-6)


def test_a_batch_may_have_more_rows_than_go_together(spotter):
    x = np.resize(sounds(16_000, 0.3), (MOST_ROWS + 3, 4_800))
    batch = spotter.batch(len(x))
    scores = batch.push_scores(x)
    for row in (0, MOST_ROWS - 1, MOST_ROWS, len(x) - 1):
        expected = spotter.stream().push_scores(x[row])
        np.testing.assert_allclose(scores[row], expected, atol=1e-6)
    assert (batch.time_s == 0.3).all()
    np.testing.assert_array_equal(batch.scores, [of[-1] for of in scores])


@pytest.mark.parametrize("rows", [1, 2])
def test_the_latest_scores_are_those_of_the_last_whole_frame(spotter, rows):
    batch, x = spotter.batch(rows), sounds(16_000, 0.1)[:rows]
    np.testing.assert_array_equal(batch.scores, np.full((rows, 4), 0.25))
    scores = batch.push_scores(x[:, :1_000])
    np.testing.assert_array_equal(batch.scores, [of[5] for of in scores])
    batch.push_scores(x[:, 1_000:1_100])  # ends no frame
    np.testing.assert_array_equal(batch.scores, [of[5] for of in scores])


@pytest.mark.parametrize("rows", [1, 2])
def test_a_push_may_end_with_the_frame_that_was_waited_for(spotter, rows):
    batch, x = spotter.batch(rows), sounds(16_000, 0.1)[:rows]
    whole = spotter.batch(rows).push_scores(x)
    parts = [batch.push_scores(part) for part in np.split(x, [200, 320, 500], axis=1)]
    for row in range(rows):
        found = np.concatenate([part[row] for part in parts])
        np.testing.assert_allclose(found, whole[row], atol=1e-6)


def test_rows_fire(spotter):
    events = spotter.batch(SIZE).push(sounds(16_000, 3.0))
    assert {row for row, _ in events} == set(range(SIZE))


def test_an_inactive_row_keeps_its_state_bit_for_bit(spotter):
    batch, x = spotter.batch(SIZE), sounds(16_000, 0.5)
    batch.push(x[:, :1_234])
    kept = [batch.snapshot(row) for row in range(SIZE)]
    active = np.array([True, False, True, False, False])
    batch.push(x[:, 1_234:], active)
    assert [batch.snapshot(row) == kept[row] for row in range(SIZE)] == (~active).tolist()
    batch.push(x[:, :500], np.zeros(SIZE, bool))
    assert batch.snapshot(1) == kept[1]


def test_reset_is_of_some_rows(spotter):
    batch, x = spotter.batch(SIZE, 11_025), sounds(11_025, 1.0)
    batch.push(x[:, :4_000])
    kept, fresh = batch.snapshot(0), spotter.batch(SIZE, 11_025).snapshot(3)
    batch.reset([3, 1])
    assert batch.snapshot(0) == kept
    assert batch.snapshot(3) == batch.snapshot(1) == fresh
    assert batch.time_s.tolist() == [4_000 / 11_025, 0, 4_000 / 11_025, 0, 4_000 / 11_025]
    batch.reset(0)
    assert batch.snapshot(0) == fresh
    with pytest.raises(ValueError, match=r"numbers of rows, got int64 of shape \(1, 2\)"):
        batch.reset(np.array([[0, 1]]))
    scores = batch.push_scores(x)
    np.testing.assert_allclose(scores[3], spotter.stream(11_025).push_scores(x[3]), atol=1e-6)


def test_rows_move_between_batches_and_streams(spotter):
    x = sounds(22_050, 1.0)
    x[4, 10] = np.nan
    batch, stream = spotter.batch(SIZE, 22_050), spotter.stream(22_050)
    batch.push(x[:, :5_000])
    stream.push(x[4, :5_000])
    moved = spotter.restore(batch.snapshot(4))
    assert (moved.time_s, moved.sample_rate_hz) == (stream.time_s, 22_050)
    expected = stream.push_scores(x[4, 5_000:])
    np.testing.assert_allclose(moved.push_scores(x[4, 5_000:]), expected, atol=1e-6)
    other = spotter.batch(2, 22_050)
    other.push(x[:2, :3_333])
    other.restore(1, batch.snapshot(4))
    assert other.time_s.tolist() == [3_333 / 22_050, 5_000 / 22_050]
    assert [other.health(0), other.health(1)] == [Health(), Health(replaced_samples=1)]
    scores = other.push_scores(np.stack([x[0], x[4]])[:, 5_000:])
    np.testing.assert_allclose(scores[1], expected, atol=1e-6)


@pytest.mark.parametrize("rate", [6_000, 96_000])
def test_rows_are_resampled_each_for_itself(spotter, rate):
    batch, x = spotter.batch(SIZE, rate), sounds(rate, 1.0)
    batch.push(x[:, : rate // 3], np.array([True, False, True, True, False]))
    batch.reset(2)
    moved, alone = spotter.restore(batch.snapshot(0)), spotter.stream(rate)
    alone.push(x[0, : rate // 3])
    batch.restore(4, alone.snapshot())
    assert batch.time_s.tolist() == [1 / 3, 0, 0, 1 / 3, 1 / 3]
    rest = np.stack([x[0, rate // 3 :]] * SIZE)
    scores = batch.push_scores(rest)
    fresh, expected = spotter.stream(rate).push_scores(rest[0]), alone.push_scores(rest[0])
    for row, of_row in ((0, expected), (1, fresh), (2, fresh), (4, expected)):
        frames = min(len(scores[row]), len(of_row))  # a restored resampler may be behind or ahead
        assert frames > 40
        np.testing.assert_allclose(scores[row][:frames], of_row[:frames], atol=1e-4)
    frames = min(len(expected), len(after := moved.push_scores(rest[0])))
    np.testing.assert_allclose(after[:frames], expected[:frames], atol=1e-4)
    before = batch.snapshot(1)
    with pytest.raises(ValueError, match="a snapshot at 16000 Hz"):
        batch.restore(1, spotter.stream().snapshot())
    assert batch.snapshot(1) == before


def test_health_is_of_each_row(spotter):
    batch, x = spotter.batch(SIZE), sounds(16_000, 0.1) + np.float32(1e-6)
    x[1, :10], x[2, :7], x[3, :3] = np.nan, 1.5, 0
    batch.push(x, np.array([True, True, True, False, True]))
    assert [batch.health(row) for row in range(SIZE)] == [
        Health(), Health(replaced_samples=10), Health(clipped_samples=7), Health(), Health()
    ]  # fmt: skip
    assert np.isfinite(batch.scores).all()
    assert spotter.restore(batch.snapshot(1)).health == Health(replaced_samples=10)
    batch.reset(1)
    assert batch.health(1) == Health()


def test_health_adds_up(spotter):
    x = chirps(0.05, 16_000) + np.float32(1e-6)
    x[[10, 300]], x[500], x[[20, 600]] = np.nan, 1.0, 0
    batch, stream = spotter.batch(2), spotter.stream()
    for part in np.split(x, [200, 400]):
        batch.push(np.stack([part, part]))
        stream.push(part)
    assert batch.health(1) == stream.health == Health(2, 1, 2)


def test_int16_rows(spotter):
    x = (sounds(16_000, 0.3) * 32_768).astype(np.int16)
    scores = spotter.batch(SIZE).push_scores(x)
    np.testing.assert_allclose(scores[2], spotter.stream().push_scores(x[2]), atol=1e-6)


@pytest.mark.parametrize(
    ("samples", "active", "message"),
    [
        (np.zeros((4, 9), np.float32), None, r"shape \(5, n\), got \(4, 9\)"),
        (np.zeros(5, np.float32), None, r"got \(5,\)"),
        (np.zeros((5, 9), int), None, "int16 or floats"),
        (np.zeros((5, 9), np.float32), np.ones(4, bool), r"bool of shape \(5,\), got bool \(4,\)"),
        (np.zeros((5, 9), np.float32), np.ones(5, int), "got int64"),
    ],
)
def test_other_samples_are_refused_and_change_nothing(spotter, samples, active, message):
    batch = spotter.batch(SIZE)
    before = batch.snapshot(0)
    with pytest.raises(ValueError, match=message):
        batch.push(samples, active)
    assert batch.snapshot(0) == before


def test_what_is_no_batch_is_refused(spotter):
    with pytest.raises(ValueError, match="a batch has at least one stream, got 0"):
        spotter.batch(0)
    with pytest.raises(ValueError, match="from 2000 to 1000000 Hz, got 1999"):
        spotter.batch(2, 1_999)
    batch = spotter.batch(2)
    with pytest.raises(IndexError, match="row 2 of a batch of 2"):
        batch.reset([0, 2])
    for mask in ([False, True], [1.0]):
        with pytest.raises(ValueError, match=r"numbers of rows, got (bool|float64)"):
            batch.reset(mask)
    batch.reset([])
    with pytest.raises(IndexError, match="row -1 of a batch of 2"):
        batch.snapshot(-1)
    with pytest.raises(ValueError, match="a snapshot at 8000 Hz, this batch is at 16000 Hz"):
        batch.restore(0, spotter.stream(8_000).snapshot())


def test_a_push_that_fails_is_not_counted(spotter, monkeypatch):
    def fail(*_):
        raise MemoryError

    x = sounds(16_000, 0.1)
    x[:, :5] = np.nan
    batch, stream = spotter.batch(SIZE), spotter.stream()
    before = batch.snapshot(0), stream.snapshot()
    for heard, samples in ((batch, x), (stream, x[0])):
        with monkeypatch.context() as broken:
            broken.setattr(heard._rows.engine, "run", fail)
            with pytest.raises(MemoryError):
                heard.push(samples)
    assert (batch.snapshot(0), stream.snapshot()) == before
