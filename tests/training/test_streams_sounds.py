"""The sounds that stand in streams, and what they are called."""

from dataclasses import replace

import numpy as np
import pytest
from generated_words import SAMPLE_RATE_HZ, WORDS
from recorded_words import corpus, labels, recorded

from sssm.labels import SILENCE
from training import augment
from training.corpus import Entry, Spoken
from training.labels import LabelSet
from training.recipe import Recipe
from training.streams_sounds import EDGE, Sound, SoundPool, _joined
from training.word_end import FRAME

__all__ = ["corpus", "labels"]  # fixtures


def test_sounds_are_of_every_kind(corpus, labels):
    pool, rng = SoundPool(corpus, labels, Recipe(labels="folder")), np.random.default_rng(0)
    sounds = [pool.draw(rng) for _ in range(100)]
    assert {sound.label for sound in sounds} == {*WORDS, "_unknown_"}
    for sound in sounds:
        assert 0 <= sound.start < sound.end <= len(sound.samples)
        assert sound.samples.dtype == np.float32
        assert np.isfinite(sound.samples).all()


STILL = Recipe(labels="folder", speed=0.0, pitch=0.0)


def value_of(sound: Sound) -> int:
    return round(float(sound.samples.max()) * 32_768)


def test_some_of_what_stands_around_a_word_is_kept(corpus_of):
    x = np.full(2 * SAMPLE_RATE_HZ, 50, np.int16)
    x[12_800:19_200] = 8_000
    corpus = corpus_of((Entry("a", "commands", "training", "go", "ann"), x))
    recipe = replace(STILL, clip_s=2.0)
    pool, rng = SoundPool(corpus, LabelSet(("go",), True, False), recipe), np.random.default_rng(0)
    sounds = [pool._word("go", True, rng) for _ in range(50)]
    before = [sound.start / SAMPLE_RATE_HZ for sound in sounds]
    after = [(len(sound.samples) - sound.end) / SAMPLE_RATE_HZ for sound in sounds]
    for seconds, least, most in ((before, 0.05, 0.35), (after, 0.1, 0.6)):
        assert least - 1e-3 <= min(seconds) < least + 0.1
        assert most - 0.1 < max(seconds) <= most
    for sound in sounds:
        assert sound.samples[0] == sound.samples[-1] == 0  # faded
        assert sound.end - sound.start == pytest.approx(6_400, abs=2 * FRAME)
    beginnings = [pool._beginning(rng) for _ in range(10)]
    assert all(sound.start > 0.04 * SAMPLE_RATE_HZ for sound in beginnings)


def test_another_word_is_never_a_keyword(corpus_of):
    rows = (recorded("commands", n, word) for n, word in enumerate(("go", "cat", SILENCE)))
    pool = SoundPool(corpus_of(*rows), LabelSet(("go",), True, False), STILL)
    rng = np.random.default_rng(0)
    assert {pool._other(rng) for _ in range(50)} == {"cat"}
    assert {value_of(pool._part(rng)) for _ in range(50)} == {0, 1}


def test_a_word_that_starts_with_the_same_consonant_is_no_other_start(corpus_of):
    """Of "say" and "stop" would come "sop"."""
    rows = (recorded("commands", n, word) for n, word in enumerate(("stop", "say", "down")))
    pool = SoundPool(corpus_of(*rows), LabelSet(("stop",), True, False), STILL)
    assert pool._blends == [("down", "stop")]


def test_what_is_said_varies_as_the_recipe_says(corpus_of, monkeypatch):
    asked = []

    def speed_or_pitch(x, _, **settings):
        asked.append(settings)
        return x

    monkeypatch.setattr(augment, "speed_or_pitch", speed_or_pitch)
    talk = recorded("speech", 3)
    corpus = corpus_of(
        recorded("commands", 1, "go"), talk, words={"speech 3": [Spoken("fall", 0, 9_000)]}
    )
    recipe = replace(STILL, speed=0.11, pitch=0.12, speed_range=0.13)
    pool, rng = SoundPool(corpus, LabelSet(("go",), True, False), recipe), np.random.default_rng(0)
    pool._word("go", True, rng)
    pool._cut(rng)
    pool._speech(rng)
    assert asked == [{"speed_share": 0.11, "pitch_share": 0.12, "most": 0.13}] * 3


def test_keywords_are_drawn_alike_however_often_they_are_recorded(corpus_of):
    rows = [recorded("commands", n, "go" if n else "no") for n in range(10)]
    pool = SoundPool(corpus_of(*rows), LabelSet(("go", "lamp", "no"), True, False), STILL)
    rng = np.random.default_rng(0)
    words = [pool._keyword(rng) for _ in range(400)]
    assert set(words) == {"go", "no"}  # of the lamp there is nothing
    assert words.count("no") == pytest.approx(200, abs=30)


def test_two_sounds_are_joined_where_one_ends_and_the_other_starts():
    x = np.full(4 * EDGE, 0.1, np.float32)
    sound = _joined(Sound(x, 100, 3 * EDGE, "go"), Sound(2 * x, EDGE, 3 * EDGE, "no"))
    assert (sound.start, sound.end, sound.label) == (100, 5 * EDGE, "_unknown_")
    assert sound.samples[0] == sound.samples[-1] == 0
    inner = np.repeat(np.float32([0.1, 0.2]), (2 * EDGE, 2 * EDGE))
    np.testing.assert_array_equal(sound.samples[EDGE : 5 * EDGE], inner)
    assert len(sound.samples) == 6 * EDGE


def test_parts_of_a_word_are_not_the_word(corpus_of):
    """What follows the o of "on" is "on", so only "go" has an ending; a beginning is short."""
    corpus = corpus_of(recorded("commands", 1, "go"), recorded("commands", 2, "on"))
    pool, rng = (
        SoundPool(corpus, LabelSet(("go", "on"), True, False), STILL),
        np.random.default_rng(0),
    )
    endings = [pool._ending(rng) for _ in range(50)]
    beginnings = [pool._beginning(rng) for _ in range(50)]
    assert {value_of(sound) for sound in endings} == {1}
    assert {value_of(sound) for sound in beginnings} == {1, 2}
    for sounds, (least, most) in ((endings, (0.4, 0.65)), (beginnings, (0.2, 0.4))):
        assert all(least <= (s.end - s.start) / SAMPLE_RATE_HZ <= most for s in sounds)
        assert {sound.label for sound in sounds} == {"_unknown_"}


def test_a_keyword_that_starts_with_other_consonants_is_not_the_word(corpus_of):
    """What "d" and "go" give is no keyword; "n" and "go" are "no", "g" and "no" are "go"."""
    corpus = corpus_of(
        recorded("commands", 1, "go"), recorded("commands", 2, "no"),
        recorded("commands", 3, "down"), recorded("commands", 4, "get"),
    )  # fmt: skip
    pool = SoundPool(corpus, LabelSet(("go", "no"), True, False), STILL)
    assert pool._blends == [("down", "go"), ("down", "no")]
    rng = np.random.default_rng(0)
    for sound in (pool._blend(rng) for _ in range(50)):
        said = np.rint(sound.samples[sound.start : sound.end] * 32_768)
        assert said[len(said) // 10] == 3  # of "down"
        assert said[len(said) * 6 // 10] in (1, 2)  # of the keyword
        assert sound.label == "_unknown_"


@pytest.mark.parametrize(("clip_s", "longest_s"), [(0.4, 1.0), (2.0, 1.8)])
def test_words_are_whole_however_long_clips_are(corpus_of, clip_s, longest_s):
    x = np.full(int(longest_s * SAMPLE_RATE_HZ), 1_000, np.int16)
    corpus = corpus_of((Entry("a", "commands", "training", "go", "ann"), x))
    recipe = replace(STILL, clip_s=clip_s)
    pool = SoundPool(corpus, LabelSet(("go",), True, False), recipe)
    sound = pool._word("go", True, np.random.default_rng(0))
    assert len(sound.samples) == len(x)


def test_bursts_are_as_long_as_a_word_and_where_a_sound_is_loud(corpus_of):
    x = np.zeros(5 * SAMPLE_RATE_HZ, np.int16)
    x[20_000:20_800] = 8_000
    entry = Entry("bark", "noise", "training", "", "")
    corpus = corpus_of(recorded("commands", 1, "go"), (entry, x))
    pool = SoundPool(corpus, LabelSet(("go",), True, False), STILL)
    rng = np.random.default_rng(0)
    bursts = [pool._burst(rng) for _ in range(100)]
    lengths = [len(sound.samples) / SAMPLE_RATE_HZ for sound in bursts]
    assert 0.14 < min(lengths) < 0.25
    assert 0.8 < max(lengths) < 0.91
    assert all(sound.samples.max() > 0.1 for sound in bursts)
    assert {sound.label for sound in bursts} == {"_unknown_"}
    loud = [np.count_nonzero(sound.samples > 0.1) / SAMPLE_RATE_HZ for sound in bursts]
    assert min(loud) < 0.03  # 0.05 s of it, up to 1.7 times as fast
    assert max(loud) > 0.08  # and as slow


def test_made_sounds_stand_in_streams_even_where_there_is_no_noise(corpus_of):
    pool = SoundPool(
        corpus_of(recorded("commands", 1, "go")), LabelSet(("go",), True, False), STILL
    )
    rng = np.random.default_rng(0)
    made = [s for s in (pool.draw(rng) for _ in range(200)) if len(np.unique(s.samples)) > 2_000]
    assert 0.05 < len(made) / 200 < 0.3  # a recording of a word holds one value
    assert {sound.label for sound in made} == {"_unknown_"}


def test_sentences_without_keywords_and_noise_stand_in_streams(corpus_of, monkeypatch):
    """Each by its value: words 1, sentences 2 with a keyword and 3 without, noise 4, made 5."""
    made = np.full(8_000, 5 / 32_768, np.float32)
    monkeypatch.setattr("training.streams_sounds.made_sound", lambda rng: made)
    corpus = corpus_of(
        recorded("commands", 1, "rise"), recorded("speech", 2), recorded("speech", 3),
        recorded("noise", 4),
        words={"speech 2": [Spoken("rise", 0, 9_000)], "speech 3": [Spoken("fall", 0, 9_000)]},
    )  # fmt: skip
    pool = SoundPool(corpus, LabelSet(("rise",), True, False), STILL)
    rng, heard = np.random.default_rng(0), {}
    for sound in (pool.draw(rng) for _ in range(200)):
        heard.setdefault(value_of(sound), set()).add(sound.label)
    nothing = {"_unknown_"}
    assert heard == {1: {"rise", "_unknown_"}, 3: nothing, 4: nothing, 5: nothing}
