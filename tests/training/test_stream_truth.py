import numpy as np
import pytest

from training.corpus import SAMPLE_RATE_HZ
from training.stream_trials import Said, Session, Utterance
from training.stream_truth import Event, around, counted_s, is_said, match

SECOND = SAMPLE_RATE_HZ
SAID = [Said("yes", 1 * SECOND, 2 * SECOND), Said("no", 2 * SECOND + 1_600, 3 * SECOND)]


@pytest.mark.parametrize(
    ("frame", "found"),
    [(100, False), (101, True), (200, True), (275, True), (276, False)],
)
def test_a_word_is_found_from_its_start_until_its_end_and_three_quarters(frame, found):
    matched = match(SAID, [Event("yes", frame)])
    assert matched.found == ({0: frame} if found else {})
    assert matched.false == ([] if found else [Event("yes", frame)])


def test_a_word_that_is_as_long_as_any_is_found_to_its_last():
    said = [Said("yes", 0, 4 * SECOND + 4_000)]
    assert match(said, [Event("yes", 500)]).found == {0: 500}
    assert match(said, [Event("yes", 501)]).found == {}


def test_a_word_is_found_once_and_other_words_are_false():
    events = [Event("no", 150), Event("yes", 190), Event("yes", 230), Event("no", 250)]
    matched = match(SAID, events)
    assert matched.found == {0: 190, 1: 250}
    assert matched.false == [Event("no", 150), Event("yes", 230)]


def test_the_same_word_twice_is_found_in_its_order():
    said = [Said("go", 0, SECOND), Said("go", SECOND + 1_600, 2 * SECOND)]
    assert match(said, [Event("go", 80), Event("go", 150)]).found == {0: 80, 1: 150}
    assert match(said, [Event("go", 150)]).found == {0: 150}


def spoken_session():
    said = [
        Said("i", 0, 8_000),
        Said("know", SECOND, 2 * SECOND),
        Said("up", 5 * SECOND, 6 * SECOND),
    ]
    utterances = [
        Utterance(0, 3 * SECOND, frozenset({"i", "know"}), True),
        Utterance(4 * SECOND, 7 * SECOND, frozenset({"up"}), True),
        Utterance(8 * SECOND, 10 * SECOND, frozenset({"stop", "it"}), False),
    ]
    return Session("reader", np.zeros(12 * SECOND, np.int16), said, utterances)


@pytest.mark.parametrize(
    ("keyword", "frame", "homophones", "said"),
    [
        ("up", 400, True, False),
        ("up", 401, True, True),  # wherever the alignment has it in the utterance
        ("up", 775, True, True),
        ("up", 776, True, False),
        ("no", 180, True, True),
        ("no", 180, False, False),
        ("stop", 810, True, True),  # no times
        ("stop", 1_070, True, True),
        ("stop", 700, True, False),
        ("go", 810, True, False),
    ],
)
def test_a_word_is_said_where_it_stands_in_the_transcript(keyword, frame, homophones, said):
    assert is_said(spoken_session(), Event(keyword, frame), homophones=homophones) is said


def test_an_utterance_that_holds_a_word_does_not_count_to_its_hours():
    session = spoken_session()
    seconds = [counted_s(session, keyword) for keyword in ("up", "no", "stop", "go")]
    assert seconds == [9, 9, 10, 12]


def test_what_was_said_around_an_error_is_told():
    session = spoken_session()
    assert around(session, 120) == "i know"
    assert around(session, 400) == ""
    assert around(session, 850) == "?"
    session.said.append(Said("and", 7 * SECOND, 8 * SECOND))  # heard before the one without times
    assert around(session, 850) == "and"
