"""What a terminal shows while it listens."""

import io
import sys

import pytest

from app.display import Lines, Picture, Reading


@pytest.mark.parametrize(
    ("term", "encoding", "kind"),
    [("xterm", "utf-8", Picture), ("dumb", "utf-8", Lines), ("xterm", "iso-8859-1", Lines)],
)
def test_a_terminal_that_cannot_show_the_picture_gets_lines(monkeypatch, term, encoding, kind):
    from rich.console import Console

    from app import display

    screen = io.TextIOWrapper(io.BytesIO(), encoding)
    console = Console(file=screen, force_terminal=True, _environ={"TERM": term})
    monkeypatch.setattr(display, "Console", lambda **_: console)
    assert type(display.display(as_json=False)) is kind


@pytest.mark.parametrize("as_json", [False, True])
def test_a_terminal_without_a_standard_output_gets_the_picture_alone(monkeypatch, as_json):
    """`sssm listen >&-`, of which Python makes None."""
    from rich.console import Console

    from app import display

    file = io.StringIO()
    monkeypatch.setattr(
        display,
        "Console",
        lambda **_: Console(file=file, force_terminal=True, _environ={"TERM": "xterm"}),
    )
    monkeypatch.setattr(sys, "stdout", None)
    screen = display.display(as_json=as_json)
    assert type(screen) is Picture
    screen.event("yes")
    assert file.getvalue() == ""


@pytest.mark.parametrize("columns", [200, 40, 24, 9])
def test_the_picture_fits_the_terminal(columns):
    from rich.console import Console

    console = Console(file=io.StringIO(), force_terminal=True, width=columns, height=40)
    scores = [("yes", 0.9, 0.7), ("a long keyword", 0.2, 0.5)]
    with Picture(console) as picture:
        picture.show(Reading("a microphone with a long name, 48000 Hz, 12 s", -20.0, scores))
        lines = console.render_lines(picture._live.renderable, pad=False)
    assert len(lines) == 4
    assert ("┃" in "".join(segment.text for segment in lines[3])) == (columns >= 24)
