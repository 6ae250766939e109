"""Chunks of a visitor's sound in their order, and what a visitor may wish."""

import numpy as np
import pytest
from page_parts import chunk

from app.page.inbox import HEADER, MOST_BYTES, Inbox, RefusalError, read_greeting, read_wish


def test_chunks_come_out_in_order():
    inbox = Inbox(8_000)
    inbox.put(chunk(0, 0, [1, 2]), 0.0)
    inbox.put(chunk(1, 2, []), 0.0)
    inbox.put(chunk(2, 2, [3]), 0.1)
    assert inbox.waiting_s == 3 / 8_000
    assert inbox.take(1.0, 0.2).tolist() == [1, 2, 3]
    assert inbox.take(1.0, 0.2).tolist() == []
    assert inbox.counters() == {
        "received_samples": 3, "lost_samples": 0, "late_samples": 0, "lost_chunks": 0,
    }  # fmt: skip


def test_what_is_missing_is_silence_and_counted():
    inbox = Inbox(8_000)
    inbox.put(chunk(0, 0, [1]), 0.0)
    inbox.put(chunk(3, 4, [2]), 0.0)
    assert inbox.take(1.0, 9.0).tolist() == [1, 0, 0, 0, 2]
    counted = inbox.counters()
    assert counted["lost_samples"] == 3
    assert counted["lost_chunks"] == 2
    assert counted["late_samples"] == 5
    assert counted["received_samples"] == 2


def test_numbers_start_anew_after_32_bits():
    inbox = Inbox(48_000)
    inbox._number = inbox._index = 2**32 - 1
    inbox.put(chunk(2**32 - 1, 2**32 - 1, [1, 2]), 0.0)
    inbox.put(chunk(0, 1, [3]), 0.0)
    assert inbox.take(1.0, 0.0).tolist() == [1, 2, 3]
    assert inbox.lost_samples == 0


def test_the_largest_message_and_the_longest_gap_are_taken():
    inbox = Inbox(8_000)
    longest = (MOST_BYTES - HEADER.size) // 2
    inbox.put(chunk(0, 0, np.ones(longest)), 0.0)
    inbox.put(chunk(3, longest + 80_000, [1]), 0.0)
    inbox.put(chunk(5, longest + 80_002, [1]), 0.1)
    assert inbox.waiting_s == (longest + 80_003) / 8_000
    assert len(inbox.take(60.0, 0.5)) == longest + 80_003
    assert (inbox.waiting_s, inbox.lost_samples, inbox.lost_chunks) == (0, 80_001, 3)
    assert inbox.late_samples == 0  # half a second is not late


def test_a_turn_is_no_longer_than_asked():
    inbox = Inbox(8_000)
    for n in range(10):
        inbox.put(chunk(n, 800 * n, np.full(800, n)), 0.0)
    assert len(inbox.take(0.2, 0.0)) == 1_600
    assert inbox.waiting_s == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        (b"1234567", 1003, "a chunk is 8 bytes"),
        (chunk(0, 0, [1]) + b"x", 1003, "got 11 bytes"),
        (bytes(MOST_BYTES + 2), 1009, "at most 65,536 bytes"),
        (chunk(5, 2, [1]), 1008, "out of order"),  # a chunk that was there already
        (chunk(1, 4, [1]), 1008, "out of order"),
        (chunk(2, 6, [1]), 1008, "out of order"),  # by its number alone, or by its place
        (chunk(3, 5, [1]), 1008, "out of order"),
        (chunk(9, 6 + 80_001, [1]), 1008, "10 s of sound are missing"),
        (chunk(9, 100_000, [1]), 1008, "12 s of sound are missing"),
    ],
)
def test_what_is_no_next_chunk_is_refused(message, code, reason):
    inbox = Inbox(8_000)
    for n in range(3):
        inbox.put(chunk(n, 2 * n, [0, 0]), 0.0)
    with pytest.raises(RefusalError) as refused:
        inbox.put(message, 0.0)
    assert refused.value.code == code
    assert reason in refused.value.reason


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"sample_rate_hz": "x"}', '{"sample_rate_hz": true}', '{"rate": 1}', "[" * 999,
     '{"sample_rate_hz": 8000, "model": 3}', '{"sample_rate_hz": 8000, "sensitivity": null}',
     '{"sample_rate_hz": 8000' + " " * 1_000 + "}"],
)  # fmt: skip
def test_what_is_no_greeting_is_refused(text):
    with pytest.raises(RefusalError) as refused:
        read_greeting(text)
    assert refused.value.code == 1003
    assert len(refused.value.reason.encode()) <= 123


def test_wishes():
    assert read_greeting('{"sample_rate_hz": 44100}') == (44_100, None, 0.0)
    assert read_wish('{"sensitivity": 1}') == (1.0, False)
    assert read_wish('{"end": true}') == (None, True)
    assert read_wish('{"end": 1}') == (None, False)
    with pytest.raises(RefusalError):
        read_wish('{"sensitivity": "high"}')


def test_wishes_and_reasons_that_are_no_text_or_number():
    with pytest.raises(RefusalError, match="sensitivity must be a number"):
        read_wish('{"sensitivity": 1' + 400 * "0" + "}")
    assert RefusalError(1003, 100 * "ü").reason == 61 * "ü"  # 123 bytes end within a letter
    assert RefusalError(1003, "no model '\ud800' here").reason == r"no model '\ud800' here"
