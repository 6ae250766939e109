import hashlib

import numpy as np
import pytest
import soxr
import torch
from generated_corpus import SPEAKERS

from sssm.config import ModelConfig
from sssm.int16 import as_float
from sssm.labels import SILENCE, UNKNOWN
from sssm.model import KeywordModel
from sssm.weights import ModelFileError
from training.corpus import BACKGROUND_HELD_OUT, SAMPLE_RATE_HZ, Entry, open_corpus
from training.labels import LabelSet, label_set
from training.scoring import (
    clip_scores,
    figures,
    interval_by_speaker,
    labelled_clips,
    same_length,
)
from training.speech_commands import CORE_WORDS

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def corpus(commands_root):
    return open_corpus(commands_root, own_words=False)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = ModelConfig(labels=("a", "b", "c"), bands=8, channels=8, state_size=2, depth=2)
    return KeywordModel(config).eval()


def noise(length: int) -> np.ndarray:
    return (3_000 * RNG.standard_normal(length)).astype(np.int16)


def counts(clips):
    labels = [clip.label for clip in clips]
    return {label: labels.count(label) for label in dict.fromkeys(labels)}


# Which clips.


def test_all_keyword_clips_and_as_many_of_the_rest_as_an_average_keyword_has(corpus):
    clips = labelled_clips(corpus, label_set("sc12", corpus), "validation", silence_is_zeros=False)
    two = len(SPEAKERS["validation"])
    assert counts(clips) == {word: two for word in CORE_WORDS} | {UNKNOWN: two, SILENCE: two}
    of_people = {clip.speaker for clip in clips if clip.label != SILENCE}
    assert of_people == set(SPEAKERS["validation"])


def test_unknown_clips_are_chosen_by_the_hash_of_their_paths(corpus):
    clips = labelled_clips(corpus, label_set("sc12", corpus), "training", silence_is_zeros=False)
    chosen = [clip.path for clip in clips if clip.label == UNKNOWN]
    others = [
        entry.path
        for entry in corpus.entries
        if entry.word in ("cat", "tree") and entry.split == "training"
    ]
    assert len(others) == 6
    by_hash = sorted(others, key=lambda path: hashlib.sha256(path.encode()).digest())
    assert chosen == by_hash[:3]


def test_the_path_of_an_unknown_clip_may_be_no_utf_8(corpus_of):
    word = (Entry("yes/1.wav", "commands", "validation", "yes", "ann"), noise(100))
    other = (Entry("_unknown_/caf\udce9.wav", "commands", "validation", UNKNOWN, "ann"), noise(100))
    labels = LabelSet(CORE_WORDS, unknown=True, silence=False)
    corpus = corpus_of(*[word] * len(CORE_WORDS), other)
    clips = labelled_clips(corpus, labels, "validation", silence_is_zeros=False)
    assert clips[-1].path == "_unknown_/caf\udce9.wav"


def test_silence_is_cut_at_even_spacing_from_what_is_held_out(corpus_of):
    x = np.arange(10 * SAMPLE_RATE_HZ) // 100
    word = (Entry("w", "commands", "validation", "door", "ann"), noise(100))
    corpus = corpus_of(
        *[word] * 5,
        (Entry("fan", "background", "training", "", ""), x),
        (Entry("hum", "background", "training", "", ""), x),
    )
    labels = LabelSet(("door",), unknown=False, silence=True)
    clips = labelled_clips(corpus, labels, "validation", silence_is_zeros=False)
    silence = [clip for clip in clips if clip.label == SILENCE]
    starts = [(clip.speaker, clip.samples[0] / 160) for clip in silence]
    assert starts == [("fan", 8.0), ("fan", 8.5), ("fan", 9.0), ("hum", 8.0), ("hum", 9.0)]
    assert {len(clip.samples) for clip in silence} == {SAMPLE_RATE_HZ}


@pytest.mark.parametrize("seconds", [0.5, 2.0, 5.0, 5.1])
def test_no_silence_is_cut_from_what_training_hears(corpus_of, seconds):
    x = np.ones(int(seconds * SAMPLE_RATE_HZ), np.int16)
    x[int(len(x) * (1 - BACKGROUND_HELD_OUT)) :] = 2
    word = (Entry("w", "commands", "validation", "door", "ann"), noise(100))
    corpus = corpus_of(*[word] * 4, (Entry("fan", "background", "training", "", ""), x))
    labels = LabelSet(("door",), unknown=False, silence=True)
    clips = labelled_clips(corpus, labels, "validation", silence_is_zeros=False)
    for clip in clips[4:]:
        assert len(clip.samples)
        assert (clip.samples == 2).all()
    assert len(clips) == 8


def test_the_papers_silence_is_zeros(corpus):
    labels = label_set("sc12", corpus)
    clips = labelled_clips(corpus, labels, "validation", silence_is_zeros=True)
    cut = labelled_clips(corpus, labels, "validation", silence_is_zeros=False)
    assert counts(clips) == counts(cut)
    for clip, other in zip(clips, cut, strict=True):
        if clip.label == SILENCE:
            assert clip.samples.shape == (SAMPLE_RATE_HZ,)
            assert not clip.samples.any()
        else:
            assert clip.path == other.path


def test_of_other_label_sets_all_clips_of_the_split_count(corpus, corpus_of):
    every = labelled_clips(corpus, label_set("sc35", corpus), "validation", silence_is_zeros=False)
    assert sum(counts(every).values()) == 24
    assert SILENCE not in counts(every)
    words = ["door", "lamp", UNKNOWN, UNKNOWN, UNKNOWN]
    own = corpus_of(
        *(
            (Entry(f"{n}", "commands", "validation", w, "ann"), noise(9))
            for n, w in enumerate(words)
        )
    )
    clips = labelled_clips(own, label_set("folder", own), "validation", silence_is_zeros=False)
    assert counts(clips) == {"door": 1, "lamp": 1, UNKNOWN: 3}
    core = LabelSet(CORE_WORDS, unknown=True, silence=False)  # no clip is of one of them
    clips = labelled_clips(own, core, "validation", silence_is_zeros=False)
    assert counts(clips) == {UNKNOWN: 5}


def test_zeros_are_as_many_as_an_average_keyword_has_and_each_heard_by_itself(corpus_of):
    words = ("door", "door", "lamp", "fan", "fan")
    rows = (
        (Entry(f"{n}", "commands", "validation", word, "ann"), noise(9))
        for n, word in enumerate(words)
    )
    labels = LabelSet(("door", "lamp", "fan"), unknown=False, silence=True)
    clips = labelled_clips(corpus_of(*rows), labels, "validation", silence_is_zeros=True)
    zeros = [clip for clip in clips if clip.label == SILENCE]
    assert len({clip.speaker for clip in zeros}) == len(zeros) == 2  # 5 / 3
    assert not any(clip.samples.any() for clip in zeros)


# Scores.


def test_batches_are_of_one_length_and_leave_nothing_out():
    lengths = [5, 3, 5, 5, 3, 9]
    batches = same_length([np.zeros(n) for n in lengths], 2)
    assert batches == [[1, 4], [0, 2], [3], [5]]
    assert same_length([], 2) == []


def test_scores_do_not_depend_on_the_batch(model):
    clips = [noise(n) for n in (16_000, 8_000, 16_000, 161, 16_000, 8_000)]
    alone = np.concatenate([clip_scores(model, [clip]) for clip in clips])
    np.testing.assert_allclose(clip_scores(model, clips), alone, atol=1e-5)
    np.testing.assert_allclose(alone.sum(axis=1), 1, atol=1e-5)
    assert np.ptp(alone, axis=0).max() > 1e-4
    assert clip_scores(model, []).shape == (0, 3)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 48_000])
def test_at_another_rate_the_model_hears_resampled_clips(model, rate):
    x = noise(12_345)
    resampled = soxr.resample(as_float(x), SAMPLE_RATE_HZ, rate) if rate != 16_000 else as_float(x)
    with torch.inference_mode():
        _, state = model.at_rate(rate)(torch.from_numpy(resampled)[None, :, None])
        expected = model.clip_logits(state).softmax(dim=1).numpy()
    got = clip_scores(model, [x, x], sample_rate_hz=rate)
    np.testing.assert_allclose(got, np.repeat(expected, 2, axis=0), atol=1e-5)


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_a_clip_shorter_than_a_frame_is_padded_to_one(model, rate):
    x = noise(40)
    padded = np.pad(x, (0, 120))
    assert clip_scores(model, [x, x[:0]], sample_rate_hz=rate).shape == (2, 3)
    np.testing.assert_allclose(clip_scores(model, [x]), clip_scores(model, [padded]), atol=1e-6)


def test_whoever_watches_is_given_the_batches(model):
    seen = []

    def watch(batches):
        for batch in batches:
            seen.append(batch)
            yield batch

    clip_scores(model, [noise(160)] * 3, batch=2, watch=watch)
    assert seen == [[0, 1], [2]]


# What they amount to.


def test_figures_of_a_small_example():
    said = ["a", "a", "a", "b", "c", "c"]
    heard = np.array([0, 1, 1, 1, 2, 0])
    result = figures(["a", "b", "c", "never said"], said, heard, ["x", "x", "y", "y", "z", "z"])
    assert result.accuracy == pytest.approx(3 / 6)
    assert result.per_class == {"a": pytest.approx(1 / 3), "b": 1.0, "c": 0.5}
    assert result.mean_over_classes == pytest.approx((1 / 3 + 1 + 0.5) / 3)
    assert result.confusions == [("a", "b", 2), ("c", "a", 1)]
    np.testing.assert_array_equal(
        result.matrix, [[1, 2, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    )


def test_the_interval_is_that_of_speakers():
    rng = np.random.default_rng(1)
    speakers = np.repeat(np.arange(200), 10)
    alike = rng.random(2_000) < 0.9
    clustered = np.repeat(rng.random(200) < 0.9, 10)  # a speaker is understood, or is not
    names = [str(n) for n in speakers]
    for correct, independent in ((alike, 2_000), (clustered, 200)):
        low, high = interval_by_speaker(correct, names)
        share = correct.mean()
        assert low < share < high
        expected = 2 * 1.96 * np.sqrt(share * (1 - share) / independent)
        assert high - low == pytest.approx(expected, rel=0.15)


def test_the_interval_leaves_out_a_fortieth_at_each_end():
    """Of the binomial distribution, in whole clips of a hundred."""
    correct = np.arange(100) < 50
    low, high = interval_by_speaker(correct, [str(n) for n in range(100)])
    assert (low, high) == pytest.approx((0.40, 0.60), abs=0.011)


def test_the_interval_is_the_same_each_time_and_closed_where_all_is_right():
    correct, speakers = RNG.random(100) < 0.8, [str(n // 7) for n in range(100)]
    assert interval_by_speaker(correct, speakers) == interval_by_speaker(correct, speakers)
    assert interval_by_speaker(np.ones(10, bool), speakers[:10]) == (1.0, 1.0)
    assert interval_by_speaker(np.array([True, False]), ["ann", "ann"]) == (0.5, 0.5)


def test_scores_that_are_no_numbers_are_refused():
    torch.manual_seed(0)
    config = ModelConfig(labels=("a", "b"), bands=8, channels=8, state_size=2, depth=1)
    model = KeywordModel(config).eval()
    torch.nn.init.normal_(model.head.weight, std=1e38)
    with pytest.raises(ModelFileError, match=r"is no number: its weights are damaged$"):
        clip_scores(model, [noise(8_000)])
