"""Who is let in, and what a browser is told."""

import asyncio
import base64

import pytest

import app.page.gate
from app.page.gate import Gate


def at_the_gate(headers, accounts=None, *, local_only=False):
    """Status and headers of the answer to a request."""

    async def inside(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    said = []

    async def send(message):
        said.append(message)

    gate = Gate(inside, accounts=accounts or {}, local_only=local_only)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(gate({"type": "http", "headers": raw}, None, send))
    return said[0]["status"], {name.decode() for name, _ in said[0]["headers"]}


@pytest.mark.parametrize(
    ("scheme", "credentials", "status"),
    [
        ("Basic", b"ann:a:b", 200),
        ("bASIC", b"ann:a:b", 200),
        ("Bearer", b"ann:a:b", 401),
        ("Basic", b"ann:a", 401),
        ("Basic", b"bob:", 401),
        ("Basic", b"ann", 401),
        ("Basic", b"", 401),
        ("Basic", b"\xff:a:b", 401),
    ],
)
def test_who_is_known(monkeypatch, scheme, credentials, status):
    monkeypatch.setattr(app.page.gate, "WRONG_S", 0.0)
    value = f"{scheme} {base64.b64encode(credentials).decode()}"
    headers = {"authorization": value, "cookie": "no,name=x"}
    assert at_the_gate(headers, {"ann": "a:b"})[0] == status
    assert at_the_gate({"authorization": value[:8] + "!" + value[8:]}, {"ann": "a:b"})[0] == 401


@pytest.mark.parametrize("other", ['theme={"a": 1}; ', "no,name=x; ", "bare; ", ""])
def test_a_visitor_is_known_again_beside_other_programs_cookies(other):
    """A browser sends all cookies of a host, whichever port they come from."""

    async def inside(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    gate, said = Gate(inside, accounts={"ann": "a"}, local_only=False), []

    async def send(message):
        said.append(message)

    def ask(name, value):
        said.clear()
        asyncio.run(gate({"type": "http", "headers": [(name, value)]}, None, send))
        return said.pop(0)

    answer = ask(b"authorization", b"Basic " + base64.b64encode(b"ann:a"))
    cookie = dict(answer["headers"])[b"set-cookie"].split(b";")[0]
    assert ask(b"cookie", other.encode() + cookie)["status"] == 200
    assert ask(b"cookie", other.encode() + cookie[:-1])["status"] == 401


def test_what_the_browser_is_told():
    always = {"content-security-policy", "x-content-type-options"}
    assert at_the_gate({}) == (200, always)
    known = {"authorization": "Basic " + base64.b64encode(b"ann:a").decode()}
    assert at_the_gate(known, {"ann": "a"}) == (200, always | {"set-cookie"})


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:80", 200), ("[::1]:80", 200), ("[", 403), ("", 403)],
)
def test_a_host_that_is_no_name_is_foreign(host, status):
    assert at_the_gate({"host": host}, local_only=True)[0] == status
