"""The checksum of an exported file: SHA-256 of its bytes, with zeros in the checksum's own place.

It stands in the metadata as JSON.  It is found by the bytes around it, so a file is checked before
anything else reads it, and without a reader of ONNX.
"""

import hashlib

ZEROS = "0" * 64  # stand in for the hexadecimal digits

# Protobuf writes 10 and a length before a key, 18 and a length before its value.  No value holds
# these bytes: in JSON a line feed is escaped.
_BEFORE = b'\x0a\x08checksum\x12\x42"'


def sealed(data: bytes) -> bytes:
    """The file with its checksum in the place that was kept for it."""
    at = _place(data)
    return b"".join((data[:at], _digest(data, at), data[at + len(ZEROS) :]))


def check(data: bytes) -> None:
    """Nothing, if this is a whole file.

    Raises:
        ValueError: its checksum is missing, or does not match.
    """
    at = _place(data)
    if data[at : at + len(ZEROS)] != _digest(data, at):
        raise ValueError("damaged, its checksum does not match")


def _place(data: bytes) -> int:
    """Of the first digit; sought from the end, since metadata follow the weights."""
    at = data.rfind(_BEFORE)
    if at < 0:
        raise ValueError("not a whole model of sssm, its checksum is missing")
    return at + len(_BEFORE)


def _digest(data: bytes, at: int) -> bytes:
    digest, view = hashlib.sha256(), memoryview(data)  # a view, so that nothing is copied
    for part in (view[:at], ZEROS.encode(), view[at + len(ZEROS) :]):
        digest.update(part)
    return digest.hexdigest().encode()
