import math

import numpy as np
import pytest
import torch
from generated_corpus import WORDS

from sssm.labels import SILENCE, UNKNOWN
from training import augment
from training.corpus import BACKGROUND_HELD_OUT, SAMPLE_RATE_HZ, Corpus, Entry, open_corpus
from training.examples import Batch, Examples
from training.labels import LabelSet, label_set
from training.recipe import Recipe
from training.speech_commands import CORE_WORDS
from training.vocabulary import BLANK, Vocabulary

ALWAYS = 1 - 1e-9  # as a probability of a recipe
RECIPE = Recipe(batch=8, steps=50, vocabulary=10)


@pytest.fixture(scope="module")
def corpus(commands_root):
    return open_corpus(commands_root, own_words=False)


def examples_of(
    corpus: Corpus, recipe: Recipe = RECIPE, rank: int = 0, labels: LabelSet | None = None
) -> Examples:
    labels = labels or label_set("sc12", corpus)
    return Examples(corpus, labels, Vocabulary.of(corpus, recipe.vocabulary), recipe, rank)


def assert_equal(one: Batch, other: Batch) -> None:
    for mine, theirs in zip(one, other, strict=True):
        assert torch.equal(mine, theirs)


def test_a_batch_has_the_shapes_it_says(corpus):
    batch = examples_of(corpus)[0]
    assert batch.samples.shape == (8, SAMPLE_RATE_HZ, 1)
    assert batch.samples.dtype == torch.float32
    assert batch.samples.abs().max() <= 1
    assert batch.label.shape == batch.word.shape == batch.bandwidth_hz.shape == (8,)
    assert ((batch.label >= 0) & (batch.label < 12)).all()
    assert batch.phones.shape[0] == 8
    for row, count in zip(batch.phones, batch.phone_count, strict=True):
        assert (row[:count] != BLANK).all()
        assert (row[count:] == BLANK).all()


def test_a_batch_is_a_function_of_its_number(corpus):
    in_order, other = examples_of(corpus), examples_of(corpus)
    first = [in_order[step] for step in range(4)]
    for step in (3, 0, 2, 2, 1):
        assert_equal(other[step], first[step])
    assert_equal(examples_of(corpus)[3], first[3])


def test_batches_differ_by_seed_rank_and_number(corpus):
    seed_1 = Recipe(batch=8, steps=50, vocabulary=10, seed=1)
    batches = [
        examples_of(corpus)[0],
        examples_of(corpus)[1],
        examples_of(corpus, rank=1)[0],
        examples_of(corpus, seed_1)[0],
    ]
    for n, one in enumerate(batches):
        for other in batches[n + 1 :]:
            assert not torch.equal(one.samples, other.samples)


def test_nothing_of_another_split_is_ever_drawn(corpus, monkeypatch):
    drawn: set[int] = set()
    original = Corpus.__getitem__

    def noted(self, n):
        drawn.add(n)
        return original(self, n)

    monkeypatch.setattr(Corpus, "__getitem__", noted)
    examples = examples_of(corpus)
    for step in range(40):
        _ = examples[step]
    entries = [corpus.entries[n] for n in drawn]
    assert {entry.split for entry in entries} == {"training"}
    sources = {"commands", "speech", "phrases", "noise", "background"}
    assert {entry.source for entry in entries} == sources
    assert {entry.word for entry in entries if entry.source == "commands"} == set(WORDS)


def test_what_is_held_out_of_a_background_recording_is_never_heard(corpus_of):
    noise = np.zeros(3 * SAMPLE_RATE_HZ, np.int16)
    noise[int(len(noise) * (1 - BACKGROUND_HELD_OUT)) :] = 20_000
    corpus = corpus_of(
        (Entry("fan", "background", "training", "", ""), noise),
        (Entry("a", "commands", "training", "a", ""), np.zeros(SAMPLE_RATE_HZ, np.int16)),
    )
    recipe = Recipe(
        batch=16, steps=50, noise=ALWAYS, vocabulary=0, silence_share=0.5, gain_low_db=0.0,
        gain_high_db=0.0,
    )  # fmt: skip
    examples = examples_of(corpus, recipe, labels=LabelSet(("a",), unknown=False, silence=True))
    for step in range(20):
        assert examples[step].samples.abs().max() < 0.01


def test_classes_have_their_shares(corpus):
    recipe = Recipe(batch=8, unknown_share=0.2, silence_share=0.1)
    examples = examples_of(corpus, recipe)
    np.testing.assert_allclose(examples.shares, [0.07] * 10 + [0.2, 0.1])
    prior = examples.log_prior()
    assert prior.shape == (12,)
    assert prior[0].item() == pytest.approx(math.log(0.07 * 12), abs=1e-6)
    assert prior[10].item() == pytest.approx(math.log(0.2 * 12), abs=1e-6)
    assert torch.exp(prior).mean().item() == pytest.approx(1.0, abs=1e-6)


def clips_of(corpus_of, *besides: tuple[Entry, np.ndarray], **counts: int) -> Corpus:
    second = np.zeros(SAMPLE_RATE_HZ, np.int16)
    return corpus_of(
        *besides,
        *(
            (Entry(f"{word}{n}", "commands", "training", word, str(n)), second)
            for word, count in counts.items()
            for n in range(count)
        ),
    )


@pytest.mark.parametrize(("balance", "ratio"), [(0.0, 1.0), (0.5, 3.0), (1.0, 9.0)])
def test_words_are_balanced_by_the_exponent_of_their_count(corpus_of, balance, ratio):
    corpus = clips_of(corpus_of, few=2, many=18)
    labels = LabelSet(("few", "many"), unknown=False, silence=False)
    examples = examples_of(corpus, Recipe(balance=balance, vocabulary=0), labels=labels)
    few, many = examples.shares
    assert many / few == pytest.approx(ratio)
    assert few + many == pytest.approx(1.0)


def test_labels_are_drawn_as_often_as_their_shares(corpus):
    recipe = Recipe(
        batch=400, unknown_share=0.3, silence_share=0.2, speed=0.0, pitch=0.0, room=0.0, noise=0.0
    )
    label = examples_of(corpus, recipe)[0].label
    assert (label == 10).float().mean().item() == pytest.approx(0.3, abs=0.07)
    assert (label == 11).float().mean().item() == pytest.approx(0.2, abs=0.06)


def test_auxiliary_targets_are_what_is_said(corpus):
    examples = examples_of(corpus, Recipe(batch=16, vocabulary=10, unknown_share=0.7))
    vocabulary, labels = examples.vocabulary, examples.labels.labels
    kinds = set()
    for step in range(30):
        batch = examples[step]
        for label, word, phones, count in zip(
            batch.label.tolist(), batch.word.tolist(), batch.phones, batch.phone_count, strict=True
        ):
            name = labels[label]
            if name in CORE_WORDS:
                assert vocabulary.words[word] == name
                assert phones[:count].tolist() == vocabulary.phones([name])
            elif name == SILENCE:
                assert (word, int(count)) == (-1, 0)
            else:
                kinds.add((word >= 0, int(count) > 0))
                assert word < 0 or vocabulary.words[word] not in CORE_WORDS
    assert (True, True) in kinds  # a word alone
    assert (False, True) in kinds  # words in a row
    assert (False, False) in kinds  # whatever falls into a second


def test_a_folder_of_other_words_is_no_word_of_its_own(corpus_of):
    corpus = clips_of(corpus_of, door=3, _unknown_=3)
    labels = label_set("folder", corpus)
    batch = examples_of(corpus, Recipe(batch=16, vocabulary=0), labels=labels)[0]
    unknown = batch.label == labels.labels.index(UNKNOWN)
    assert unknown.any()
    assert (batch.word[unknown] == -1).all()
    assert (batch.phone_count[unknown] == 0).all()


@pytest.mark.parametrize(("others", "share"), [(3, 0.45), (0, 1.0)])
def test_other_words_come_from_talk_too(corpus_of, others, share):
    """Half of them, and all where no word was recorded alone."""
    talk = Entry("talk", "speech", "training", UNKNOWN, "talk"), np.full(80_000, 7, np.int16)
    corpus = clips_of(corpus_of, talk, door=3, _unknown_=others)
    labels = label_set("folder", corpus)
    assert labels.unknown
    examples = examples_of(corpus, Recipe(vocabulary=0), labels=labels)
    rng = np.random.default_rng(0)
    clips = [examples._clip(UNKNOWN, rng) for _ in range(1_000)]
    from_talk = [clip for clip in clips if round(float(clip.samples[0]) * 32_768) == 7]
    assert len(from_talk) / 1_000 == pytest.approx(share, abs=0.05)
    assert {len(clip.samples) for clip in from_talk} == {SAMPLE_RATE_HZ}
    assert {clip.words for clip in from_talk} == {None}


def test_band_limited_clips_say_so(corpus):
    everything = Recipe(batch=8, low_pass=ALWAYS, vocabulary=0)
    assert (examples_of(corpus, everything)[0].bandwidth_hz == augment.HALF_BAND_HZ).all()
    nothing = Recipe(batch=8, low_pass=0.0, vocabulary=0)
    assert (examples_of(corpus, nothing)[0].bandwidth_hz >= SAMPLE_RATE_HZ / 2).all()


@pytest.mark.parametrize("clip_s", [0.4, 2.5])
def test_clips_of_another_length(corpus, clip_s):
    recipe = Recipe(batch=8, clip_s=clip_s, room=ALWAYS, low_pass=ALWAYS, vocabulary=0)
    samples = examples_of(corpus, recipe)[0].samples
    assert samples.shape == (8, int(clip_s * SAMPLE_RATE_HZ), 1)
    assert samples.isfinite().all()


def test_a_long_recording_is_cut_where_it_is_loud(corpus_of):
    """Not around its middle: a word may stand anywhere in it."""
    x = np.zeros(int(1.45 * SAMPLE_RATE_HZ), np.int16)
    x[800:8_800] = 8_000
    corpus = corpus_of((Entry("door1", "commands", "training", "door", "ann"), x))
    recipe = Recipe(batch=32, vocabulary=0).override(PLAIN[2:])
    batch = examples_of(corpus, recipe, labels=LabelSet(("door",), False, False))[0]
    assert ((batch.samples > 0.2).sum(dim=1) == 8_000).all()


def test_a_phrase_that_holds_a_keyword_is_not_unknown(corpus_of):
    second = np.zeros(SAMPLE_RATE_HZ, np.int16)
    corpus = corpus_of(
        (Entry("a", "commands", "training", "left", "ann"), second),
        (Entry("b", "commands", "training", "dog", "ann"), second),
        (Entry("c", "phrases", "training", "turn left", "ann"), second),
        (Entry("d", "phrases", "training", "turn on", "ann"), second),
    )
    examples = examples_of(corpus, labels=LabelSet(("left",), True, False))
    assert examples.phrases.words(avoid=()) == ["turn on"]


def test_a_class_without_recordings_is_one_line(corpus_of):
    corpus = clips_of(corpus_of, door=3)
    for labels, missing in [
        (LabelSet(("door", "lamp", "fan"), unknown=False, silence=False), "lamp, fan"),
        (LabelSet(("door",), unknown=True, silence=False), "_unknown_"),
        (LabelSet((), unknown=False, silence=True), "no word"),
    ]:
        with pytest.raises(ValueError, match=f"^no recordings for training: {missing}$"):
            examples_of(corpus, labels=labels)


@pytest.mark.parametrize(("unknown", "silence"), [(0.0, 0.1), (0.6, 0.4), (0.9, 0.2)])
def test_shares_that_leave_a_class_nothing_are_one_line(corpus, unknown, silence):
    recipe = Recipe(unknown_share=unknown, silence_share=silence)
    with pytest.raises(ValueError, match=r"must leave every class a share$"):
        examples_of(corpus, recipe)


def test_silence_without_noise_is_next_to_nothing(corpus_of):
    corpus = clips_of(corpus_of, door=3)
    recipe = Recipe(batch=32, silence_share=0.5, vocabulary=0)
    batch = examples_of(corpus, recipe, labels=LabelSet(("door",), False, True))[0]
    quiet = batch.samples[batch.label == 1]
    assert 0 < quiet.abs().max() < 0.01
    assert (quiet == 0).all(dim=1).any()


# What a setting does to a plain second that sounds all along, with a click in its middle.

PLAIN = (
    "batch=32", "vocabulary=0", "speed=0", "pitch=0", "noise=0", "room=0", "low_pass=0", "notch=0",
    "tilt=0", "time_mask=0", "shift_s=0", "gain_low_db=0", "gain_high_db=0",
)  # fmt: skip
LEVEL = 0.25


def click_at(x: np.ndarray) -> float:
    """Seconds from the middle."""
    return (int(x.argmax()) - len(x) // 2) / SAMPLE_RATE_HZ


def silenced(x: np.ndarray) -> float:
    """Seconds."""
    return int((abs(x) < 0.01).sum()) / SAMPLE_RATE_HZ


def sounding(x: np.ndarray) -> float:
    """Seconds."""
    return int((abs(x) > LEVEL / 2).sum()) / SAMPLE_RATE_HZ


def gain_db(x: np.ndarray) -> float:
    return 20 * math.log10(np.median(x) / LEVEL)


def snr_db(x: np.ndarray) -> float:
    return 10 * math.log10(LEVEL**2 / np.var(x[: len(x) // 3]))


@pytest.mark.parametrize(
    ("settings", "measured", "least", "most", "exact_to"),
    [
        (["shift_s=0"], click_at, 0, 0, 1e-3),
        (["shift_s=0.2"], click_at, -0.2, 0.2, 1e-3),
        (["time_mask=0"], silenced, 0, 0, 1e-3),
        (["time_mask=1"], silenced, 0, 0.1, 1e-3),
        (["speed=1", "speed_range=0"], sounding, 1, 1, 5e-3),
        (["speed=1", "speed_range=0.2"], sounding, 1 / 1.2, 1, 5e-3),
        (["noise=1", "snr_low_db=12", "snr_high_db=12"], snr_db, 12, 12, 0.5),
        (["noise=1", "snr_low_db=12", "snr_high_db=22"], snr_db, 12, 22, 0.5),
        (["gain_low_db=-12", "gain_high_db=6"], gain_db, -12, 6, 1e-3),
    ],
)
def test_what_a_setting_does(corpus_of, settings, measured, least, most, exact_to):
    x = np.full(SAMPLE_RATE_HZ, LEVEL)
    x[SAMPLE_RATE_HZ // 2] = 0.9
    fan = 3_000 * np.random.default_rng(0).standard_normal(3 * SAMPLE_RATE_HZ)
    corpus = corpus_of(
        (Entry("a", "commands", "training", "a", ""), (32_768 * x).astype(np.int16)),
        (Entry("fan", "noise", "training", "", ""), fan.astype(np.int16)),
    )
    recipe = Recipe().override((*PLAIN, *settings))
    examples = examples_of(corpus, recipe, labels=LabelSet(("a",), unknown=False, silence=False))
    values = [measured(x) for x in examples[0].samples[..., 0].numpy()]
    assert least - exact_to <= min(values) <= max(values) <= most + exact_to
    assert max(values) - min(values) >= (most - least) / 2


def test_each_effect_has_its_own_probability(corpus, monkeypatch):
    asked, shares = {}, {"room": 0.14, "low_pass": 0.15, "notch": 0.16, "tilt": 0.17}

    def speed_or_pitch(x, _, **settings):
        asked.update(settings)
        return x

    def random_system(_, **settings):
        asked.update(settings)
        return augment.Spectrum(np.zeros(augment.FFT_SIZE // 2 + 1), SAMPLE_RATE_HZ)

    monkeypatch.setattr(augment, "speed_or_pitch", speed_or_pitch)
    monkeypatch.setattr(augment, "random_system", random_system)
    recipe = Recipe(speed=0.11, pitch=0.12, speed_range=0.13, vocabulary=0, **shares)
    assert not examples_of(corpus, recipe)[0].samples.any()  # went through it
    assert asked == shares | {"speed_share": 0.11, "pitch_share": 0.12, "most": 0.13}


def test_a_recording_shorter_than_a_clip_stands_anywhere_in_it(corpus_of):
    x = np.full(SAMPLE_RATE_HZ // 2, 8_000)
    corpus = corpus_of((Entry("a", "commands", "training", "a", ""), x))
    examples = examples_of(corpus, Recipe().override(PLAIN), labels=LabelSet(("a",), False, False))
    sounds = examples[0].samples[..., 0] > 0.2
    assert (sounds.sum(dim=1) == len(x)).all()
    starts = sounds.int().argmax(dim=1) / SAMPLE_RATE_HZ
    assert starts.min() < 0.05
    assert starts.max() > 0.45


@pytest.mark.parametrize("clip_s", [0.5, 2.0])
def test_talk_and_silence_fill_a_clip_of_any_length(corpus_of, clip_s):
    talk = Entry("talk", "speech", "training", UNKNOWN, "talk"), np.ones(80_000)
    corpus = clips_of(corpus_of, talk, door=3)
    recipe = Recipe(clip_s=clip_s, vocabulary=0)
    examples = examples_of(corpus, recipe, labels=LabelSet(("door",), True, True))
    for label in (UNKNOWN, SILENCE):
        clip = examples._clip(label, np.random.default_rng(0))
        assert len(clip.samples) == clip_s * SAMPLE_RATE_HZ


@pytest.mark.parametrize(
    ("sentence_share", "phrase_share", "sources"),
    [
        (1.0, 0.0, {"speech"}),
        (0.0, 1.0, {"phrases"}),
        (0.0, 0.0, {"commands"}),
        (0.3, 0.3, {"speech", "phrases", "commands"}),
    ],
)
def test_what_is_unknown_comes_from(corpus, monkeypatch, sentence_share, phrase_share, sources):
    recipe = Recipe(sentence_share=sentence_share, phrase_share=phrase_share, vocabulary=0)
    examples, drawn = examples_of(corpus, recipe), []
    original = Corpus.__getitem__

    def noted(self, n):
        drawn.append(self.entries[n].source)
        return original(self, n)

    monkeypatch.setattr(Corpus, "__getitem__", noted)
    rng = np.random.default_rng(0)
    for _ in range(40):
        examples._clip(UNKNOWN, rng)
    assert set(drawn) == sources
