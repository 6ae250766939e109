import numpy as np
import pytest

from sssm.labels import UNKNOWN
from training.corpus import BACKGROUND_HELD_OUT, SAMPLE_RATE_HZ, Entry, Spoken
from training.pools import (
    EDGE_S,
    FEW,
    QUIET,
    SEAM,
    TALKER_RMS,
    NoisePool,
    SentencePool,
    TalkPool,
    WordPool,
    hiss,
    sentences_without,
    spliced,
)
from training.word_end import word_span

HALF_SECOND = SAMPLE_RATE_HZ // 2


def entry(path: str, source: str, split: str = "training", word: str = "") -> Entry:
    return Entry(path, source, split, word, path)


def constant(value: int, seconds: float) -> np.ndarray:
    return np.full(int(seconds * SAMPLE_RATE_HZ), value, np.int16)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def words(corpus_of):
    """`cat` once, `dog` nine times, `no` four times; the value of a sample says which."""
    names = ["cat"] + ["dog"] * 9 + ["no"] * 4
    return corpus_of(
        *(
            (entry(f"{n}", "commands", word=word), constant(100 + n, 0.1))
            for n, word in enumerate(names)
        )
    )


@pytest.mark.parametrize(("balance", "share"), [(0.0, 0.5), (0.5, 0.25), (1.0, 0.1)])
def test_balance_is_the_exponent_of_a_words_count(words, rng, balance, share):
    pool = WordPool(words, list(range(14)), balance)
    drawn = [pool.draw_word(rng, avoid=("no",)) for _ in range(2_000)]
    assert set(drawn) == {"cat", "dog"}
    assert drawn.count("cat") / 2_000 == pytest.approx(share, abs=0.03)


def test_a_word_is_drawn_from_its_own_recordings_and_from_all_of_them(words, rng):
    pool = WordPool(words, [0, 1, 2, 5, 12, 13], 0.0)
    assert pool.exists
    assert (pool.count("cat"), pool.count("dog"), pool.count("no"), pool.count("up")) == (
        1,
        3,
        2,
        0,
    )
    assert pool.words(avoid=("no",)) == ["cat", "dog"]
    values = {round(float(pool.draw("dog", rng)[0]) * 32_768) for _ in range(60)}
    assert values == {101, 102, 105}
    assert not WordPool(words, [], 0.0).exists


def test_of_a_long_recording_the_loudest_second_is_drawn(corpus_of, rng):
    x = constant(10, 3)
    x[20_000:36_000] = 1_000
    corpus = corpus_of((entry("long", "commands", word="dog"), x))
    drawn = WordPool(corpus, [0], 0.0).draw("dog", rng)
    np.testing.assert_array_equal(drawn, np.float32(1_000 / 32_768))
    assert len(drawn) == SAMPLE_RATE_HZ
    short = corpus_of((entry("short", "commands", word="dog"), constant(10, 1.4)))
    assert len(WordPool(short, [0], 0.0).draw("dog", rng)) == 1.4 * SAMPLE_RATE_HZ


def test_longer_clips_are_drawn_from_longer_recordings(corpus_of, rng):
    x = constant(10, 4)
    x[10_000:42_000] = 1_000
    corpus = corpus_of((entry("long", "commands", word="dog"), x))
    drawn = WordPool(corpus, [0], 0.0, clip_s=2.0).draw("dog", rng)
    np.testing.assert_array_equal(drawn, np.full(32_000, 1_000 / 32_768, np.float32))
    short = corpus_of((entry("short", "commands", word="dog"), constant(10, 2.9)))
    assert len(WordPool(short, [0], 0.0, clip_s=2.0).draw("dog", rng)) == 2.9 * SAMPLE_RATE_HZ


def test_noise_never_reads_what_is_held_out_nor_another_split(corpus_of, rng):
    x = constant(1, 3)
    x[int(len(x) * (1 - BACKGROUND_HELD_OUT)) :] = 2
    corpus = corpus_of(
        (entry("fan", "background"), x),
        (entry("rain", "noise"), constant(3, 2)),
        (entry("dog", "noise", "validation"), constant(4, 2)),
        (entry("word", "commands", word="dog"), constant(5, 2)),
    )
    pool = NoisePool(corpus, 0.0)
    values = [np.unique(pool.draw(HALF_SECOND, rng) * 32_768) for _ in range(200)]
    assert {float(v) for row in values for v in row} == {1, 3}
    for length in (0, 1, SAMPLE_RATE_HZ, 5 * SAMPLE_RATE_HZ):  # the last is longer than any
        assert pool.draw(length, rng).shape == (length,)
        assert set(np.unique(pool.draw(length, rng) * 32_768)) <= {1, 3}


def test_noise_of_one_kind_or_none(corpus_of, rng):
    fan = (entry("fan", "background"), constant(1, 2))
    rain = (entry("rain", "noise"), constant(3, 2))
    word = (entry("word", "commands", word="dog"), constant(5, 2))
    for only, value in ((fan, 1), (rain, 3)):
        pool = NoisePool(corpus_of(only, word), 0.0)
        assert pool.exists
        assert {float(pool.draw(10, rng)[0] * 32_768) for _ in range(20)} == {value}
    nothing = NoisePool(corpus_of(word), 0.0)
    assert not nothing.exists
    assert all(nothing.is_quiet(rng) for _ in range(20))
    pool = NoisePool(corpus_of(fan, word), 0.0)
    quiet = sum(pool.is_quiet(rng) for _ in range(1_000))
    assert quiet / 1_000 == pytest.approx(QUIET, abs=0.05)


def test_next_to_nothing_is_zeros_or_white_noise_that_nobody_hears(rng):
    loudest = [float(np.abs(hiss(100, rng)).max()) for _ in range(400)]
    assert loudest.count(0) / 400 == pytest.approx(0.5, abs=0.1)
    assert max(loudest) < 6 * 10**-3.5


SENTENCE = ("see", "one", "tree", "house", "a")


def spoken(*said: str, first: int) -> tuple[np.ndarray, list[Spoken]]:
    """Half a second of zeros before and after; a word's samples are 100 times its place."""
    x, words = [constant(0, 0.5)], []
    start = len(x[0])
    for n, word in enumerate(said, start=first):
        x.append(constant(100 * n, 0.1 if word == "a" else 0.3))
        words.append(Spoken(word, start, start + len(x[-1])))
        start += len(x[-1])
    return np.concatenate([*x, constant(0, 0.5)]), words


@pytest.fixture
def sentences(corpus_of):
    """A sentence a split, and two that hold "no" or what sounds like it."""
    samples, words = spoken(*SENTENCE, first=1)
    no, words_with_no = spoken("see", "no", "evil", first=11)
    knows, words_with_knows = spoken("who", "knows", first=21)
    return corpus_of(
        (entry("training", "speech"), samples),
        (entry("no", "speech"), no),
        (entry("knows", "speech"), knows),
        (entry("validation", "speech", "validation"), samples + 1),
        (entry("not aligned", "speech"), constant(7, 1)),
        words={
            "training": words, "no": words_with_no, "knows": words_with_knows, "validation": words,
        },
    )  # fmt: skip


def test_pieces_of_sentences_are_of_those_without_a_word_to_avoid(sentences, rng):
    pool = SentencePool(sentences, avoid=("no",))
    said, kinds = set(), set()
    for _ in range(400):
        x, words = pool.draw(rng)
        values = x * 32_768
        edge = int(EDGE_S * SAMPLE_RATE_HZ)
        inner = set(np.unique(values[edge : len(x) - edge])) if words else set(np.unique(values))
        assert inner <= {0, 100, 200, 300, 400, 500}
        assert len(x) <= 1.1 * SAMPLE_RATE_HZ
        if words is None:
            kinds.add("a second")
        else:
            assert x[0] == x[-1] == 0  # faded
            kinds.add("a word" if len(words) == 1 else "words")
            said.update(words)
            places = {100 * (SENTENCE.index(word) + 1) for word in words}
            assert places <= inner <= places | {0}
    assert said == set(SENTENCE)  # `a` is too short to be drawn alone
    assert kinds == {"a second", "a word", "words"}


def test_a_sentence_counts_as_a_whole(sentences):
    assert sentences_without(sentences, ("no",)) == [0]
    assert sentences_without(sentences, ("evil", "who")) == [0]
    assert sentences_without(sentences, ("tree",)) == [1, 2]
    assert sentences_without(sentences, ()) == [0, 1, 2]


def test_short_words_are_not_drawn_alone(sentences, rng):
    pool = SentencePool(sentences, avoid=())
    assert ["a"] not in [pool.draw(rng)[1] for _ in range(200)]


def test_a_word_of_sentences_is_drawn_by_the_root_of_its_count(corpus_of, rng):
    samples, words = spoken("one", *["tree"] * 16, first=1)
    pool = SentencePool(corpus_of((entry("a", "speech"), samples), words={"a": words}), avoid=())
    firsts = [said[0] for said in (pool.draw(rng)[1] for _ in range(1_000)) if said]
    assert firsts.count("one") / len(firsts) == pytest.approx(0.2, abs=0.05)


def test_without_sentences_there_is_no_pool(words):
    assert not SentencePool(words, avoid=()).exists


def recording(value: float, before: int, length: int, after: int) -> np.ndarray:
    return np.pad(np.full(length, value, np.float32), (before, after))


def test_a_spliced_word_is_the_start_of_one_and_the_rest_of_another():
    one = recording(0.1, before=800, length=4_000, after=1_000)
    two = recording(0.4, before=3_200, length=8_000, after=500)
    x = spliced(one, two, 0.25)
    cut, at = (int(0.75 * start + 0.25 * end) for start, end in (word_span(one), word_span(two)))
    half = SEAM // 2
    np.testing.assert_array_equal(x[: cut - half], one[: cut - half])
    np.testing.assert_allclose(x[cut + half :], two[at + half :] / 4, rtol=0.02)  # as loud
    np.testing.assert_allclose(x[cut - half : cut + half], 0.1, rtol=0.02)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_recording_without_a_word_is_not_spliced(share):
    one, zeros = recording(0.1, 800, 4_000, 1_000), np.zeros(3_000, np.float32)
    np.testing.assert_array_equal(spliced(one, zeros, share), one)
    np.testing.assert_array_equal(spliced(zeros, one, share), zeros)


@pytest.mark.parametrize(("count", "least", "most"), [(1, 0, 0), (2, 60, 140), (FEW, 0, 0)])
def test_of_few_recordings_every_other_is_spliced(corpus_of, count, least, most):
    rows = [(entry(f"{n}", "commands", word="few"), constant(100 + n, 0.1)) for n in range(count)]
    pool = WordPool(corpus_of(*rows), list(range(count)), 0.0)
    rng = np.random.default_rng(0)
    mixed = sum(len(np.unique(pool.draw("few", rng))) > 1 for _ in range(200))
    assert least <= mixed <= most


def share_of(said: np.ndarray, together: np.ndarray) -> float:
    """How much of what is heard is one sentence, wherever it starts: 1 if it is alone."""
    spectrum = np.fft.rfft(together) * np.fft.rfft(said / said.std()).conj()
    return abs(np.fft.irfft(spectrum)).max() / (len(said) * together.std())


def test_many_people_are_noise_in_which_nobody_stands_out(corpus_of, rng):
    spoken = [
        (entry(f"{n}", "speech"), rng.integers(-3_000, 3_000, SAMPLE_RATE_HZ).astype(np.int16))
        for n in range(9)
    ]
    rain = (entry("rain", "noise"), constant(3, 2))
    pool = NoisePool(corpus_of(*spoken, rain), 1.0)
    x = pool.draw(2 * SAMPLE_RATE_HZ, rng)
    first, second = np.split(x, 2)
    np.testing.assert_array_equal(first, second)  # a sentence of a second, repeated
    shares = [share_of(said, first) for _, said in spoken]
    assert 3 <= sum(share > 0.3 for share in shares) <= 7  # who talk
    assert max(shares) < 0.65  # 1 if one was alone
    assert set(NoisePool(corpus_of(rain), 1.0).draw(10, rng) * 32_768) == {3}  # nobody to talk
    talk = (entry("talk", "speech", word=UNKNOWN), constant(5, 2))  # may be understood
    assert set(NoisePool(corpus_of(talk, rain), 1.0).draw(10, rng) * 32_768) == {3}


def test_people_are_alike_in_loudness_and_start_anywhere(corpus_of, rng):
    """Each says something in the first half of a second, with 20 dB from one to the next."""
    said = [
        np.pad(rng.integers(-most, most, HALF_SECOND), (0, HALF_SECOND))
        for most in (200, 2_000, 20_000)
    ]
    rows = [(entry(f"{n}", "speech"), x) for n, x in enumerate(said)]
    pool = NoisePool(corpus_of(*rows, (entry("rain", "noise"), constant(3, 2))), 1.0)
    for _ in range(3):
        x = pool.draw(SAMPLE_RATE_HZ, rng)
        assert min(share_of(sentence, x) for sentence in said) > 0.4
        assert x.std() == pytest.approx(TALKER_RMS * np.sqrt(3), rel=0.05)
        assert x[HALF_SECOND:].any()


def test_every_second_of_talk_is_as_likely_as_any_other(corpus_of, rng):
    """Of the aligned sentences without a keyword, and of what a user calls other words."""
    corpus = corpus_of(
        (entry("said.wav", "speech"), constant(1, 2)),
        (entry("keyword.wav", "speech"), constant(2, 50)),
        (entry("not aligned.wav", "speech"), constant(3, 50)),
        (entry("talk.wav", "speech", word=UNKNOWN), constant(4, 6)),
        (entry("held out.wav", "speech", "validation", UNKNOWN), constant(5, 50)),
        words={
            "said.wav": [Spoken("cat", 0, HALF_SECOND)],
            "keyword.wav": [Spoken("know", 0, HALF_SECOND)],
        },
    )
    pool = TalkPool(corpus, avoid=("no",))
    assert pool.exists
    drawn = [pool.draw(HALF_SECOND, rng) for _ in range(1_000)]
    assert {len(x) for x in drawn} == {HALF_SECOND}
    values = [round(float(x[0]) * 32_768) for x in drawn]
    assert set(values) == {1, 4}
    assert values.count(4) / 1_000 == pytest.approx(6 / 8, abs=0.05)
    assert len(pool.draw(100 * SAMPLE_RATE_HZ, rng)) in (2 * SAMPLE_RATE_HZ, 6 * SAMPLE_RATE_HZ)


def test_talk_is_drawn_from_anywhere(corpus_of, rng):
    x = np.arange(20_000, dtype=np.int16)
    pool = TalkPool(corpus_of((entry("talk", "speech", word=UNKNOWN), x)), avoid=())
    firsts = [round(float(pool.draw(4_000, rng)[0]) * 32_768) for _ in range(500)]
    assert min(firsts) < 500
    assert 15_500 < max(firsts) < 16_000


def test_no_talk_is_none(words):
    assert not TalkPool(words, avoid=()).exists
