"""Streams: what their frames are called, and that step k is a function of k."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from generated_words import SAMPLE_RATE_HZ, WORDS, make_words
from recorded_words import RECIPE, corpus, labels, recorded, streams

from training import augment, pools
from training import streams as under_test
from training.augment import at_level
from training.corpus import Entry, open_corpus
from training.labels import LabelSet
from training.streams import NOTHING, Streams, maybe
from training.streams_sounds import Sound
from training.word_end import FRAME

__all__ = ["corpus", "labels", "streams"]  # fixtures


# Labels.


def test_frames_of_a_word(streams, labels):
    label = np.full(200, NOTHING)
    word = Sound(np.zeros(16_000, np.float32), 1_600, 8_000, "rise")
    streams._mark(label, word, 3_200)
    number = labels.labels.index("rise")
    assert (label[:30] == NOTHING).all()
    assert (label[30:87] == maybe(number)).all()  # until 0.17 s after its end
    assert (label[87:117] == number).all()  # for 0.3 s
    assert (label[117:] == NOTHING).all()


def test_no_frame_of_another_sound_holds_a_keyword(streams, labels):
    label = np.zeros(200, np.int64)
    streams._mark(label, Sound(np.zeros(16_000, np.float32), 1_600, 16_000, "_unknown_"), 0)
    assert (label[:10] == 0).all()
    assert (label[10:] == NOTHING).all()  # nor is the word before it to be heard any longer


def test_a_word_that_may_be_heard_is_no_other_label():
    numbers = {maybe(keyword) for keyword in range(10)}
    assert len(numbers) == 10
    assert NOTHING not in numbers
    assert max(numbers) < 0


def test_a_label_follows_its_word(streams, labels):
    """A word ends 0.1 s before its label begins."""
    keywords = set(range(len(labels.keywords)))
    words = 0
    for number in range(60):
        session = streams.session(0, number)
        energy = np.square(session.samples).reshape(-1, FRAME).mean(axis=1)
        starts = np.flatnonzero(np.diff(session.label) != 0) + 1
        for start in starts:
            if session.label[start] in keywords and start + 30 < len(energy):
                assert session.label[start - 1] == maybe(session.label[start])
                words += energy[start - 20 : start - 10].max() > energy[start - 8 : start].max()
    assert words > 20


def test_words_of_a_keyword_end_within_the_session(streams, labels):
    session = streams.session(0, 0)
    assert len(session.samples) == len(session.label) * FRAME == 4 * SAMPLE_RATE_HZ
    assert np.abs(session.samples).max() <= 1
    keywords = range(len(labels.keywords))
    assert set(session.label) <= {NOTHING, *keywords, *map(maybe, keywords)}


@pytest.mark.parametrize(("unknown", "silence"), [(True, False), (False, True)])
def test_one_class_stands_for_all_that_is_no_keyword(corpus, unknown, silence):
    streams = Streams(corpus, LabelSet(("rise",), unknown, silence), RECIPE, 0)
    assert set(streams.session(0, 0).label) <= {NOTHING, 0, maybe(0)}


def test_streams_need_a_class_for_what_is_no_keyword(corpus):
    with pytest.raises(ValueError, match="_unknown_ or _silence_"):
        Streams(corpus, LabelSet(("rise", "fall"), False, False), RECIPE, 0)


def test_ten_clips_a_word_are_enough(tmp_path):
    """No noise, no other words, no speech: halves of words are still there to be told apart."""
    root = make_words(tmp_path / "bare", clips=10, others=False)
    corpus = open_corpus(root, own_words=True)
    session = Streams(corpus, LabelSet(tuple(WORDS), True, False), RECIPE, 0).session(0, 0)
    assert np.isfinite(session.samples).all()


# Levels.


def level_db(x: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.mean(np.square(x), axis=-1))


def test_background_and_sounds_are_at_their_levels(streams, monkeypatch):
    monkeypatch.setattr(pools, "QUIET", 0.0)
    background = streams._background(20 * SAMPLE_RATE_HZ, -40.0, np.random.default_rng(0))
    assert level_db(background) == pytest.approx(-40, abs=0.2)
    x = np.repeat(np.array([0.5, 0.01, 0.3], np.float32), 1_000)
    loud = at_level(x, x[1_000:2_000], -20.0)
    assert level_db(loud[1_000:2_000]) == pytest.approx(-20, abs=0.01)  # of what is said
    for name, value in (("LEVEL_DB", -20.0), ("SPREAD_DB", 0.0), ("SNR_DB", 20.0)):
        monkeypatch.setattr(under_test, name, (value, value))
    x = np.concatenate([streams.session(0, number).samples for number in range(10)])
    quiet, loud = np.percentile(level_db(x.reshape(-1, FRAME)), [5, 98])
    assert (quiet, loud) == pytest.approx((-40, -20), abs=3)


def test_a_session_never_leaves_full_scale(streams, monkeypatch):
    monkeypatch.setattr(under_test, "LEVEL_DB", (10.0, 10.0))
    assert np.abs(streams.session(0, 0).samples).max() == 1


def test_people_talk_in_the_background(corpus_of):
    rng = np.random.default_rng(0)
    lengths = {"speech": SAMPLE_RATE_HZ, "noise": 5 * SAMPLE_RATE_HZ}
    rows = [
        (Entry(source, source, "training", "", ""), rng.integers(-9_000, 9_000, length))
        for source, length in lengths.items()
    ]
    corpus = corpus_of(*rows, recorded("commands", 1, "rise"))
    recipe = replace(RECIPE, babble=1.0)
    streams = Streams(corpus, LabelSet(("rise",), True, False), recipe, 0)
    first, again = np.split(streams._background(2 * SAMPLE_RATE_HZ, -40.0, rng), 2)
    np.testing.assert_array_equal(first, again)  # a sentence of a second, repeated


@pytest.mark.parametrize("part", ["room", "low_pass", "notch", "tilt"])
def test_each_part_of_the_system_is_heard(corpus, labels, streams, part):
    plain = streams.session(0, 0)
    session = Streams(corpus, labels, replace(RECIPE, **{part: 1.0}), 0).session(0, 0)
    assert np.array_equal(session.label, plain.label)
    assert np.abs(session.samples - plain.samples).max() > 1e-3
    is_limited = part == "low_pass"
    assert session.bandwidth_hz == (augment.HALF_BAND_HZ if is_limited else SAMPLE_RATE_HZ)
    if is_limited:
        power = np.square(np.abs(np.fft.rfft(session.samples)))
        above = np.fft.rfftfreq(len(session.samples), 1 / SAMPLE_RATE_HZ) > 4_600
        assert power[above].sum() < 0.02 * power.sum()


# Steps.


def test_a_step_is_a_function_of_its_number(corpus, labels, streams):
    for step in range(12):
        went_through = streams[step]
    starts_here = Streams(corpus, labels, RECIPE, 0)[11]
    for one, other in zip(went_through, starts_here, strict=True):
        assert torch.equal(one, other)


def test_seeds_ranks_and_rows_hear_different_streams(corpus, labels, streams):
    others = [(RECIPE, 1), (replace(RECIPE, seed=RECIPE.seed + 1), 0)]
    pieces = [streams[5], *(Streams(corpus, labels, recipe, rank)[5] for recipe, rank in others)]
    samples = torch.cat([piece.samples for piece in pieces])
    assert len({row.numpy().tobytes() for row in samples}) == 9


def test_pieces_join_to_sessions_and_rows_start_at_different_steps(streams):
    steps = [streams[k] for k in range(16)]
    fresh = torch.stack([step.fresh for step in steps])
    assert (fresh.sum(dim=0) == 2).all()  # a session has 8 pieces
    assert (fresh.sum(dim=1) <= 1).all()
    for row in range(3):
        first = int(fresh[:, row].nonzero()[0])
        pieces = torch.cat([step.samples[row, :, 0] for step in steps[first : first + 8]])
        labels = torch.cat([step.label[row] for step in steps[first : first + 8]])
        session = streams.session(row, 0 if first == 0 else 1)
        assert np.array_equal(pieces.numpy(), session.samples)
        assert np.array_equal(labels.numpy(), session.label)


def test_loaders_take_turns_with_rows_of_their_own(corpus, labels, streams):
    shared = Streams(corpus, labels, replace(RECIPE, loaders=2), 0)
    pieces = [shared[step] for step in range(8)]
    alone = [streams[step] for step in range(4)]
    for step, piece in enumerate(alone):  # the first loader's rows are those of a single one
        assert torch.equal(pieces[2 * step].samples, piece.samples)
        assert torch.equal(pieces[2 * step].fresh, pieces[2 * step + 1].fresh)
        assert not torch.equal(pieces[2 * step + 1].samples, piece.samples)
    session = shared.session(RECIPE.stream_rows, 0)  # the first row of the second loader
    heard = torch.cat([pieces[step].samples[0, :, 0] for step in (1, 3, 5, 7)])
    np.testing.assert_array_equal(heard.numpy(), session.samples[: len(heard)])
