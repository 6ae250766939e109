"""`sssm demo`: the web page, on this machine unless asked otherwise."""

import errno
import os
from pathlib import Path
from typing import Annotated

import typer

from app.spotting import Model, Thresholds
from app.terminal import fail, refuse, say, tell
from sssm.reason import reason_of

ACCOUNTS = "SSSM_AUTH"  # environment variable
INSTALL = "the page needs more packages: pip install 'sssm[web]'"


def demo(
    model: Model = "s4",
    thresholds: Thresholds = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="0.0.0.0 serves every machine around.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, metavar="N", help="0 takes any that is free.")
    ] = 7860,
    auth: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help=f"Lines of name:password, asked of every visitor; or set {ACCOUNTS}.",
        ),
    ] = None,
    max_visitors: Annotated[
        int, typer.Option(min=1, metavar="N", help="Who are listened to at once.")
    ] = 16,
    max_upload_mb: Annotated[int, typer.Option(min=1, metavar="MB", help="Largest file.")] = 64,
    max_minutes: Annotated[int, typer.Option(min=1, metavar="MIN", help="Longest file.")] = 60,
) -> None:
    """Open a page: live microphone, files, and the model's pictures."""
    accounts = _accounts(auth)
    try:
        from app.page.limits import Limits
        from app.page.server import Server, bind, build, is_local
        from app.page.shelf import Shelf
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("app", "sssm"):
            raise
        fail(f"{INSTALL} ({error.name} is missing)")
    try:
        listening = bind(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            fail(f"port {port} is in use: choose another one with --port")
        fail(f"{host}:{port}: {reason_of(error)}")
    with listening:
        try:
            shelf = Shelf(model, thresholds)
        except ValueError as error:
            refuse(str(error))
        limits = Limits(max_visitors, max_upload_mb, max_minutes)
        page = build(shelf, limits, accounts=accounts, local_only=is_local(host))
        shown = f"[{host}]" if ":" in host else host
        say(f"http://{shown}:{listening.getsockname()[1]}")
        tell("Ctrl-C ends it" if accounts or is_local(host) else "anybody may come in: see --auth")
        Server(page).run(sockets=[listening])


def _accounts(file: str | None) -> dict[str, str]:
    """Name -> password, from the file or else the environment; none where nothing is asked."""
    from app.page.accounts import read_accounts

    source, text = f"--auth {file}", os.environ.get(ACCOUNTS)
    if file is not None:
        try:
            text = Path(file).read_text(encoding="utf-8-sig")  # a mark where Windows made it
        except (OSError, UnicodeDecodeError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else "not text in UTF-8"
            refuse(f"{source}: {reason}")
    elif text is not None:
        source = ACCOUNTS
    else:
        return {}
    try:
        return read_accounts(text)
    except ValueError as error:
        refuse(f"{source}: {error}")
