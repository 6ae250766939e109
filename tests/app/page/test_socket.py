"""The websocket, by a client that does as it should, and by many that do not."""

import base64
import functools
import gc
import json
import struct
import time
import weakref
from contextlib import ExitStack, suppress
from socket import create_connection
from urllib.request import HTTPError, Request, urlopen

import numpy as np
import pytest
import uvicorn
from page_server import LIMITS, serving, stream_of, wait_for
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from app.page.gate import WRONG_S
from app.page.hearing import Hearing
from sssm.spotter import KeywordSpotter

GREETING = json.dumps({"sample_rate_hz": 16_000})
MOST_VISITORS = 3


@pytest.fixture(scope="module")
def served():
    with serving(limits=LIMITS._replace(max_visitors=MOST_VISITORS)) as served:
        yield served


def chunks(x, length=320):
    for number, at in enumerate(range(0, len(x), length)):
        yield struct.pack("<II", number, at) + x[at : at + length].tobytes()


def hears(socket, x, greeting=GREETING):
    """All that the server says to some sound."""
    socket.send(greeting)
    for message in chunks(x):
        socket.send(message)
    socket.send('{"end": true}')
    return [json.loads(message) for message in socket]


def closing(url, *messages, **options):
    """Code and reason with which the server ends a conversation."""
    with connect(url, proxy=None, **options) as socket:
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012
            for message in messages:
                socket.send(message)
            while True:
                socket.recv(timeout=60)
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason


def works(served):
    """Whether the next visitor is served as ever."""
    with connect(served.socket, proxy=None) as socket:
        said = hears(socket, stream_of(["no"]))
    return [message["keyword"] for message in said if message["type"] == "word"] == ["no"]


def test_a_stream_is_heard_as_a_spotter_hears_it(served):
    x = stream_of(["yes", "left"])
    with connect(served.socket, proxy=None) as socket:
        said = hears(socket, x)
        assert socket.close_code == 1000
    assert said[0]["type"] == "ready"
    assert said[0]["keywords"][0] == "yes"
    assert said[0]["thresholds"] == KeywordSpotter.load("s4").thresholds
    expected = KeywordSpotter.load("s4").stream(16_000).push(x)
    words = [message for message in said if message["type"] == "word"]
    assert [word["keyword"] for word in words] == ["yes", "left"]
    for word, event in zip(words, expected, strict=True):
        assert word["time_s"] == event.time_s
        assert word["score"] == pytest.approx(event.score, abs=1e-4)
    heard = [message for message in said if message["type"] == "heard"]
    frames = sum(len(message["scores"]) for message in heard)
    assert heard[0]["frame"] == 0
    assert frames == len(x) // 160
    assert heard[-1]["received_samples"] == len(x)
    assert heard[-1]["lost_samples"] == 0
    assert 0.1 < max(message["peak"] for message in heard) <= 1


def test_a_gap_is_counted_and_times_stay_right(served):
    x = stream_of(["yes", "left"])
    expected = KeywordSpotter.load("s4").stream(16_000).push(x)
    with connect(served.socket, proxy=None) as socket:
        socket.send(GREETING)
        for number, message in enumerate(chunks(x)):
            if not 20 <= number < 30:  # of the quiet before the first word
                socket.send(message)
        socket.send('{"end": true}')
        said = [json.loads(message) for message in socket]
    heard = [message for message in said if message["type"] == "heard"][-1]
    assert (heard["lost_samples"], heard["lost_chunks"]) == (3_200, 10)
    times = [message["time_s"] for message in said if message["type"] == "word"]
    assert times == pytest.approx([event.time_s for event in expected], abs=0.02)


def test_sensitivity_changes_while_it_listens(served):
    with connect(served.socket, proxy=None) as socket:
        socket.send(json.dumps({"sample_rate_hz": 16_000, "model": "s4", "sensitivity": -2}))
        ready = json.loads(socket.recv())
        plain = KeywordSpotter.load("s4").thresholds
        assert all(ready["thresholds"][word] > plain[word] for word in plain)
        socket.send('{"sensitivity": 0}')
        said = json.loads(socket.recv())
        assert said == {"type": "thresholds", "thresholds": plain}
        socket.send('{"sensitivity": 9}')
        with pytest.raises(ConnectionClosed, match="sensitivity must be"):
            socket.recv()


SOUND = struct.pack("<II", 0, 0) + bytes(640)
WRONG = {
    "no greeting": (["hello"], 1003, "text is a JSON object"),
    "sound before it": ([SOUND], 1003, "the first message is JSON"),
    "no rate": (["{}"], 1003, "the first message is JSON"),
    "no such rate": (['{"sample_rate_hz": 1}'], 1008, "rate must be a whole number"),
    "no such model": (['{"sample_rate_hz": 8000, "model": "/etc/passwd"}'], 1008, "no model"),
    "garbage": ([GREETING, b"\x00" * 9], 1003, "a chunk is 8 bytes"),
    "text": ([GREETING, "garbage"], 1003, "text is a JSON object"),
    "too big": ([GREETING, bytes(65_538)], 1009, "at most 65,536 bytes"),
    "out of order": ([GREETING, SOUND, SOUND], 1008, "out of order"),
    "a hole": ([GREETING, SOUND, struct.pack("<II", 2, 2**30)], 1008, "are missing"),
}


@pytest.mark.parametrize(("messages", "code", "reason"), WRONG.values(), ids=WRONG)
def test_what_breaks_the_protocol_is_closed_with_a_reason(served, messages, code, reason):
    got, why = closing(served.socket, *messages)
    assert got == code
    assert reason in why


def test_who_sends_faster_than_is_heard_is_not_cut_off(monkeypatch):
    """Its answers to pings wait behind its sound."""
    impatient = functools.partial(uvicorn.Config, ws_ping_interval=0.1, ws_ping_timeout=0.1)
    monkeypatch.setattr(uvicorn, "Config", impatient)
    push = Hearing.push

    def slowly(hearing, samples):
        time.sleep(0.5)
        return push(hearing, samples)

    monkeypatch.setattr(Hearing, "push", slowly)
    with serving() as served, connect(served.socket, proxy=None, ping_interval=None) as socket:
        said = hears(socket, np.ones(5 * 16_000, np.int16))
        assert (socket.close_code, said[-1]["received_samples"]) == (1000, 5 * 16_000)


def test_a_huge_message_is_not_even_read(served):
    """The server hangs up when it sees how long it will be, so its reason may not arrive."""
    with connect(served.socket, proxy=None) as socket:
        socket.send(GREETING)
        socket.recv()
        with suppress(ConnectionClosed):
            socket.send(bytes(10_000_000))
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=60)
    assert works(served)


def test_visitors_harm_nobody_else(served):
    """One who broke the protocol, one in mid-stream who vanishes, one too many."""
    wait_for(lambda: not served.page.visitors.present)
    x = stream_of(["yes"])
    with connect(served.socket, proxy=None) as good:
        good.send(GREETING)
        good.recv()
        for messages, _, _ in list(WRONG.values())[5:]:
            closing(served.socket, *messages)
        with ExitStack() as others:
            for _ in range(MOST_VISITORS - 1):
                other = others.enter_context(connect(served.socket, proxy=None))
                other.send(GREETING)
                other.recv()
            assert closing(served.socket) == (
                1013, f"{MOST_VISITORS} visitors are listened to already: try again later",
            )  # fmt: skip
        for message in chunks(x):
            good.send(message)
        good.send('{"end": true}')
        said = [json.loads(message) for message in good]
    assert [message["keyword"] for message in said if message["type"] == "word"] == ["yes"]


def test_what_a_visitor_leaves_is_freed(served):
    wait_for(lambda: not served.page.visitors.present)
    with connect(served.socket, proxy=None) as socket:
        socket.send(GREETING)
        socket.recv()
        for message in list(chunks(stream_of(["yes"])))[:40]:
            socket.send(message)
        (visit,) = served.page.visitors.present
        hearing = weakref.ref(visit._hearing)
        del visit
        socket.socket.shutdown(2)  # as when a machine is switched off: no farewell
        wait_for(lambda: not served.page.visitors.present)
        wait_for(lambda: gc.collect() >= 0 and hearing() is None)


def test_a_foreign_page_may_not_listen(served):
    foreign = "http://evil.example", "null", served.url + "0", "https://127.0.0.1", "http://["
    for origin in foreign:
        code, reason = closing(served.socket, origin=origin)
        assert code == 1008
        assert reason.startswith("foreign origin")
    host = served.url.removeprefix("http://")
    with connect(served.socket, proxy=None, origin=f"http://{host}") as socket:
        ready, *heard = hears(socket, np.zeros(1_600, np.int16))
    assert ready["type"] == "ready"
    assert {message["type"] for message in heard} == {"heard"}
    frames = 1_600 * 100 // json.loads(GREETING)["sample_rate_hz"]
    assert sum(len(message["scores"]) for message in heard) == frames > 0


def test_a_name_that_was_made_to_lead_here_is_foreign(served):
    """DNS rebinding: origin and host agree, but are not of this machine."""
    host, port = served.url.removeprefix("http://").split(":")
    there = f"evil.example:{port}"
    with create_connection((host, int(port))) as sock:
        code, reason = closing(f"ws://{there}/listen", origin=f"http://{there}", sock=sock)
    assert (code, reason) == (1008, "foreign origin: this server is for its own machine")


def test_pages_too_are_of_this_machine_alone(served):
    port = served.url.rpartition(":")[2]

    def config(host):
        return urlopen(Request(served.url + "/config", headers={"Host": f"{host}:{port}"}))

    for host in ("localhost", "[::1]"):
        with config(host) as answer:
            assert answer.status == 200
    with pytest.raises(HTTPError) as refused:
        config("evil.example")
    assert refused.value.code == 403
    refused.value.close()


def basic(name, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_credentials_are_asked_of_everybody(model_file):
    with serving(str(model_file), accounts={"ann": "secret"}) as served:
        for headers in ({}, basic("ann", "wrong"), basic("bob", "secret"), {"Authorization": "x"},
                        {"Cookie": "sssm=x"}):  # fmt: skip
            for path in ("/", "/sssm/live.js", "/config", "/gradio_api/info"):
                if headers and path != "/config":
                    continue  # wrong ones take a second
                with pytest.raises(HTTPError) as refused:
                    urlopen(Request(served.url + path, headers=headers))
                assert refused.value.code == 401
                refused.value.close()
            began_s = time.monotonic()
            assert closing(served.socket, additional_headers=headers) == (
                1008, "no credentials, or wrong ones",
            )  # fmt: skip
            if "Authorization" in headers:
                assert time.monotonic() - began_s >= WRONG_S
        with urlopen(Request(served.url, headers=basic("ann", "secret"))) as answer:
            cookie = answer.headers["Set-Cookie"].split(";")[0]
            assert "HttpOnly; SameSite=Strict" in answer.headers["Set-Cookie"]
        x = np.zeros(1_600, np.int16)
        for headers in (basic("ann", "secret"), {"Cookie": cookie}):
            with connect(served.socket, proxy=None, additional_headers=headers) as socket:
                assert hears(socket, x)[0]["type"] == "ready"
        address = served.socket.replace("//", "//ann:secret@")
        with connect(address, proxy=None) as socket:
            assert hears(socket, x)[0]["type"] == "ready"
