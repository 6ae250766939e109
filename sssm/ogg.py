"""What libsndfile does not say of an Ogg file.

Of recordings one after another it reads the first alone, and a damaged page it leaves out.
"""

import contextlib
import os
import zlib
from collections.abc import Iterator

HEADER_BYTES = 27  # of a page, before the lengths of its segments
BEGINS = 2  # in the header's flags: a stream's first page
CHECKSUM = slice(22, 26)  # in the header
TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # bits of a byte


def goes_on(path: str | os.PathLike[str]) -> bool:
    """Whether a stream begins after the pages of another one, as where songs of a radio follow.

    Streams side by side begin before any of them goes on.

    Source: RFC 3533, sections 4 and 6.
    """
    any_went_on = False
    for page in _pages(path):
        begins = bool(page[5] & BEGINS)
        if begins and any_went_on:
            return True
        any_went_on |= not begins
    return False


def is_damaged(path: str | os.PathLike[str]) -> bool:
    """Whether a page is not what its checksum says: a second or so of sound is not heard."""
    return any(_checksum(page) != page[CHECKSUM] for page in _pages(path))


def _pages(path: str | os.PathLike[str]) -> Iterator[bytes]:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        while (header := file.read(HEADER_BYTES))[:4] == b"OggS" and len(header) == HEADER_BYTES:
            lengths = file.read(header[26])
            yield header + lengths + file.read(sum(lengths))


def _checksum(page: bytes) -> bytes:
    """Of a page whose own is zeros.  It takes bits from the highest on, zlib from the lowest.

    Source: RFC 3533, section 6, field 7.
    """
    blank = page[: CHECKSUM.start] + bytes(4) + page[CHECKSUM.stop :]
    turned = zlib.crc32(blank.translate(TURNED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return turned.to_bytes(4, "big").translate(TURNED)
