"""What is said on a screen, and what of one that takes no more."""

import errno
import os
import sys
from types import SimpleNamespace

import pytest

from app.terminal import say


@pytest.mark.parametrize(
    ("system", "number", "expected", "message"),
    [
        ("posix", errno.EPIPE, BrokenPipeError, "Broken pipe"),
        ("nt", errno.EINVAL, BrokenPipeError, "Broken pipe"),
        ("posix", errno.EINVAL, OSError, "Invalid argument"),
        ("nt", errno.ENOSPC, OSError, "No space left"),
    ],
)
def test_a_reader_who_left_is_a_broken_pipe_whatever_windows_calls_it(
    monkeypatch, system, number, expected, message
):
    def write(_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as there:
        there.setattr(sys, "stdout", SimpleNamespace(write=write, flush=lambda: None))
        there.setattr(os, "name", system)
        with pytest.raises(expected, match=message):
            say("yes")
