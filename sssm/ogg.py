"""Ogg files that hold recordings one after another, of which libsndfile reads the first alone."""

import contextlib
import os

HEADER_BYTES = 27  # of a page, before the lengths of its segments
BEGINS = 2  # in the header's flags: a stream's first page


def goes_on(path: str | os.PathLike[str]) -> bool:
    """Whether a stream begins after the pages of another one, as where songs of a radio follow.

    Streams side by side begin before any of them goes on.

    Source: RFC 3533, sections 4 and 6.
    """
    any_went_on = False
    with contextlib.suppress(OSError), open(path, "rb") as file:
        while (header := file.read(HEADER_BYTES))[:4] == b"OggS" and len(header) == HEADER_BYTES:
            begins = bool(header[5] & BEGINS)
            if begins and any_went_on:
                return True
            any_went_on |= not begins
            file.seek(sum(file.read(header[26])), os.SEEK_CUR)
    return False
