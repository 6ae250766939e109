"""Who may come in: credentials for every request, and for websockets the page they come from.

Decided here: HTTP Basic, because every browser and client has it.  A visitor who gave credentials
also gets a cookie, because not every browser repeats them for a websocket.
"""

import asyncio
import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.page.inbox import POLICY

LOOPBACK = ("localhost", "127.0.0.1", "::1")
WRONG_S = 1.0  # before wrong credentials are answered: guessing takes time
# What the page may load and ask: nothing of the outside, whatever a library would like.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "media-src 'self' data: blob:; connect-src 'self' ws: wss:; worker-src 'self' blob:; "
    "frame-ancestors 'self'"
)


class Gate:
    """Lets who may come in through to the app; the others it answers itself.

    Args:
        app: what is behind it.
        accounts: name -> password; nobody is asked where there are none.
        local_only: the server is for this machine: a name that leads here from elsewhere (DNS
            rebinding) is foreign, too.
    """

    def __init__(self, app: ASGIApp, *, accounts: Mapping[str, str], local_only: bool):
        self._app, self._accounts, self._local_only = app, accounts, local_only
        self._token = secrets.token_urlsafe(32)
        self._cookie = f"sssm-{secrets.token_hex(4)}"  # other demos run on other ports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            headers = Headers(scope=scope)
            if reason := self._objection(headers):
                await self._slow_down(headers)
                await _close(receive, send, reason)
                return
        elif scope["type"] == "http":
            headers = Headers(scope=scope)
            host = _parts("//" + headers.get("host", "")).hostname
            if self._local_only and host not in LOOPBACK:
                reason = "foreign host: this server is for its own machine\n"
                await PlainTextResponse(reason, 403)(scope, receive, send)
                return
            if not self._is_known(headers):
                await self._slow_down(headers)
                challenge = {"WWW-Authenticate": 'Basic realm="sssm", charset="UTF-8"'}
                await PlainTextResponse("who are you?\n", 401, challenge)(scope, receive, send)
                return
            send = self._marked(send)
        await self._app(scope, receive, send)

    def _objection(self, headers: Headers) -> str:
        """Why a websocket may not come in; nothing if it may."""
        if not self._is_known(headers):
            return "no credentials, or wrong ones"
        host = headers.get("host", "")
        origin = headers.get("origin")  # programs have none
        if origin is not None and _parts(origin).netloc != host:
            return "foreign origin: the page is not from this server"
        if origin is not None and self._local_only and _parts(origin).hostname not in LOOPBACK:
            return "foreign origin: this server is for its own machine"
        return ""

    async def _slow_down(self, headers: Headers) -> None:
        """Of who may not come in: a guess of a password is answered late."""
        if "authorization" in headers and not self._is_known(headers):
            await asyncio.sleep(WRONG_S)

    def _is_known(self, headers: Headers) -> bool:
        if not self._accounts:
            return True
        # Not `http.cookies`, which of another program's odd cookie on this host takes none at all.
        cookies = cookie_parser(headers.get("cookie", ""))
        if _same(cookies.get(self._cookie, ""), self._token):
            return True
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return False
        return name in self._accounts and _same(password, self._accounts[name])

    def _marked(self, send: Send) -> Send:
        """The same answer, with what the browser should know."""

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = CONTENT_POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                if self._accounts:
                    cookie = f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
                    headers.append("Set-Cookie", cookie)
            await send(message)

        return send_marked


def _parts(address: str) -> SplitResult:
    """Of an address; none where it is none, as `http://[`."""
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _same(given: str, kept: str) -> bool:
    """Compared in a time that tells nothing."""
    return hmac.compare_digest(given.encode(), kept.encode())


async def _close(receive: Receive, send: Send, reason: str) -> None:
    """Accepted first: a browser does not show why a handshake failed."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": POLICY, "reason": reason})
