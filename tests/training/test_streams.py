"""Streams: what is heard, what its frames are called, and that step k is a function of k."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from generated_words import SAMPLE_RATE_HZ, WORDS, make_words

from sssm.config import ModelConfig
from sssm.labels import SILENCE
from sssm.layers.contract import leaves
from sssm.model import KeywordModel
from training import augment, pools
from training import streams as under_test
from training.augment import at_level
from training.carried import detach, from_leaves, restart
from training.corpus import Entry, Spoken, open_corpus
from training.labels import LabelSet, label_set
from training.recipe import Recipe
from training.streams import NOTHING, Streams, maybe
from training.streams_sounds import EDGE, Sound, SoundPool, _joined
from training.word_end import FRAME, word_span

RECIPE = Recipe(
    labels="folder", stream_rows=3, stream_s=0.5, session_s=4.0, room=0.0, low_pass=0.0, notch=0.0,
    tilt=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = make_words(tmp_path_factory.mktemp("words") / "all", clips=8)
    return open_corpus(root, own_words=True)


@pytest.fixture(scope="module")
def labels(corpus):
    return label_set("folder", corpus)


@pytest.fixture
def streams(corpus, labels):
    return Streams(corpus, labels, RECIPE, 0)


# Where a word ends.


def tone(length: int) -> np.ndarray:
    return np.sin(0.3 * np.arange(length)).astype(np.float32)


def test_a_word_is_where_it_is_loud():
    x = np.zeros(16_000, np.float32)
    x[3_200:8_000] = tone(4_800)
    assert abs(word_span(x)[0] - 3_200) <= FRAME
    assert abs(word_span(x)[1] - 8_000) <= FRAME


@pytest.mark.parametrize(("below_db", "counts"), [(19.0, True), (21.0, False)])
def test_what_is_within_20_db_of_the_loudest_counts(below_db, counts):
    x = tone(16_000)
    x[8_000:] *= 10 ** (-below_db / 20)
    assert (word_span(x)[1] == 16_000) == counts
    if not counts:
        assert abs(word_span(x)[1] - 8_000) <= FRAME


def test_one_click_is_smoothed_over_30_ms():
    x = np.zeros(16_000, np.float32)
    x[8_000:8_160] = tone(160)
    assert np.diff(word_span(x)) == 3 * FRAME


def test_a_recording_in_whole_numbers_has_its_word_where_it_is():
    x = np.zeros(16_000, np.int16)
    x[3_200:8_000] = 256  # its square is 0 in 16 bits
    assert word_span(x) == word_span(x.astype(np.float32)) == (3_040, 8_160)


@pytest.mark.parametrize("length", [0, 1, 159, 161, 400])
def test_silence_and_short_recordings(length):
    assert word_span(np.zeros(length, np.float32))[1] == length
    assert word_span(tone(length) + np.float32(0.1))[1] == length
    assert word_span(tone(length) + np.float32(0.1))[0] == 0


# Sounds.


def test_sounds_are_of_every_kind(corpus, labels):
    pool, rng = SoundPool(corpus, labels, Recipe(labels="folder")), np.random.default_rng(0)
    sounds = [pool.draw(rng) for _ in range(100)]
    assert {sound.label for sound in sounds} == {*WORDS, "_unknown_"}
    for sound in sounds:
        assert 0 <= sound.start < sound.end <= len(sound.samples)
        assert sound.samples.dtype == np.float32
        assert np.isfinite(sound.samples).all()


def recorded(source: str, value: int, word: str = "") -> tuple[Entry, np.ndarray]:
    """Three seconds of one value, or one of a word, by which it can be told from the others."""
    x = np.full((1 if word else 3) * SAMPLE_RATE_HZ, value, np.int16)
    return Entry(f"{source} {value}", source, "training", word, "somebody"), x


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


# The state that is carried.


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


def test_a_row_that_restarts_hears_its_session_alone(streams):
    """Carried from piece to piece with the others, a session sounds as it does from silence."""
    model = KeywordModel(ModelConfig(labels=("a", "b"), bands=8, channels=8, state_size=2, depth=2))
    model.eval()
    state, heard = model.init_state(3), []
    with torch.no_grad():
        for step in range(12):
            piece = streams[step]
            state = restart(state, model.init_state(3), piece.fresh)
            logits, state = model(piece.samples, detach(state))
            heard.append(logits)
        fresh = torch.stack([streams[k].fresh for k in range(12)])
        first = int(fresh[:, 1].nonzero()[0])
        assert first > 0  # another session went before
        session = torch.cat([streams[k].samples[1:2] for k in range(first, 12)], dim=1)
        alone, _ = model(session)
    together = torch.cat([logits[1:2] for logits in heard[first:]], dim=1)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_a_state_survives_as_tensors():
    model = KeywordModel(ModelConfig(labels=("a", "b"), bands=8, channels=8, state_size=2, depth=2))
    _, state = model(torch.randn(2, 800, 1))
    tensors = leaves(detach(state))
    again = from_leaves(model.init_state(2), [tensor.clone() for tensor in tensors])
    assert type(again) is type(state)
    assert all(torch.equal(a, b) for a, b in zip(leaves(again), tensors, strict=True))
    assert not any(tensor.requires_grad for tensor in tensors)
