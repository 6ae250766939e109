"""A visitor who speaks, without a server."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from page_parts import chunk, shelf

import app.page.visit
from app.page.inbox import Greeting, RefusalError
from app.page.visit import Visit

__all__ = ["shelf"]  # a fixture


class Talk:
    """A socket from which these messages come, and then nothing."""

    def __init__(self, *messages):
        self.said, self._messages = [], iter(messages)
        self.before_each = lambda: None

    async def receive(self):
        self.before_each()
        for message in self._messages:
            kind = "text" if isinstance(message, str) else "bytes"
            return {"type": "websocket.receive", kind: message}
        await asyncio.Event().wait()

    async def send_json(self, message):
        self.said.append(message)


def visited(talk, shelf):
    with ThreadPoolExecutor(1) as pool:
        visit = Visit(talk, Greeting(16_000), shelf, pool)
        asyncio.run(visit.run())


def test_reports_join_and_tell_how_loud_it_was(shelf, monkeypatch):
    monkeypatch.setattr(app.page.visit, "REPORT_S", 0.0)
    x = np.repeat(np.int16([8_192, -4_096, -4_096]), 8_000)
    sound = [chunk(n, 1_600 * n, x[1_600 * n :][:1_600]) for n in range(15)]
    talk = Talk(*sound, '{"end": true}')
    visited(talk, shelf)
    heard = [message for message in talk.said if message["type"] == "heard"]
    lengths = [len(message["scores"]) for message in heard]
    assert len(heard) > 2
    assert [message["frame"] for message in heard] == [sum(lengths[:n]) for n in range(len(heard))]
    assert sum(lengths) == 150
    assert (heard[0]["peak"], heard[0]["rms"]) == (0.25, 0.25)
    assert (heard[-1]["peak"], heard[-1]["rms"]) == (0.125, 0.125)
    power = sum(m["rms"] ** 2 * n for m, n in zip(heard, lengths, strict=True)) / 150
    assert power == pytest.approx((0.25**2 + 2 * 0.125**2) / 3, rel=1e-3)


def test_who_sends_faster_than_is_heard_is_read_more_slowly(shelf):
    waiting = []
    talk = Talk(*(chunk(n, 8_000 * n, np.ones(8_000)) for n in range(20)), '{"end": true}')
    with ThreadPoolExecutor(1) as pool:
        visit = Visit(talk, Greeting(16_000), shelf, pool)
        talk.before_each = lambda: waiting.append(visit._inbox.waiting_s)
        asyncio.run(visit.run())
    assert len(waiting) == 21
    assert 1 < max(waiting) <= app.page.visit.WAITING_S
    assert talk.said[-1]["received_samples"] == 160_000


def test_another_sensitivity_leaves_the_loop_free(shelf, monkeypatch):
    """A model that is asked for may have to be loaded first, and others are listened to."""
    threads, asked = [], shelf.spotter

    def spotter(*arguments):
        threads.append(threading.current_thread())
        return asked(*arguments)

    monkeypatch.setattr(shelf, "spotter", spotter)
    talk = Talk('{"sensitivity": 1}', '{"end": true}')
    visited(talk, shelf)
    assert [message["type"] for message in talk.said] == ["ready", "thresholds"]
    assert len(threads) == 2
    assert threading.main_thread() not in threads


def test_a_socket_that_the_server_has_closed_is_a_visitor_gone(shelf):
    async def closed(_):
        raise RuntimeError("Unexpected ASGI message 'websocket.send'")

    talk = Talk()
    talk.send_json = closed
    with pytest.raises(ConnectionResetError):
        visited(talk, shelf)


def test_who_says_nothing_must_go(shelf, monkeypatch):
    monkeypatch.setattr(app.page.visit, "IDLE_S", 0.01)
    with pytest.raises(RefusalError, match="nothing came for 0 s") as refused:
        visited(Talk(), shelf)
    assert refused.value.code == 1008


def test_who_reads_nothing_must_go(shelf, monkeypatch):
    async def never(_):
        await asyncio.sleep(10)

    monkeypatch.setattr(app.page.visit, "IDLE_S", 0.01)
    talk = Talk()
    talk.send_json = never
    with pytest.raises(ConnectionResetError):
        visited(talk, shelf)
