"""A stream as bytes, to go on later or elsewhere: versioned, checksummed, tied to its model.

    "SSSM" | version, 1 byte | SHA-256 of the rest | length of the header, 4 bytes | header | data

The header is JSON: the model's fingerprint, what its writer put there, and type and shape of every
array of the data, little-endian.
"""

import hashlib
import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAGIC, VERSION = b"SSSM", 3
_DIGEST = hashlib.sha256().digest_size
_START = len(MAGIC) + 1 + _DIGEST


class Snapshot(NamedTuple):
    """What a snapshot holds."""

    facts: dict[str, Any]  # numbers and lists
    arrays: list[NDArray[Any]]


def pack(snapshot: Snapshot, model: str) -> bytes:
    """Bytes of a snapshot of a stream of the model with this fingerprint."""
    arrays = [np.asarray(a, np.dtype(a.dtype).newbyteorder("<")) for a in snapshot.arrays]
    header = {
        "model": model,
        "facts": snapshot.facts,
        "arrays": [[array.dtype.str, list(array.shape)] for array in arrays],
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    body = len(text).to_bytes(4, "little") + text + b"".join(a.tobytes() for a in arrays)
    return MAGIC + bytes([VERSION]) + hashlib.sha256(body).digest() + body


def unpack(data: bytes, model: str) -> Snapshot:
    """What `pack` was given.

    Raises:
        ValueError: these are not the bytes of a snapshot of this version, they are damaged, or
            they are of a stream of another model.
    """
    if data[: len(MAGIC)] != MAGIC or len(data) < _START + 4:
        raise ValueError("not a snapshot of a stream")
    version = data[len(MAGIC)]
    if version != VERSION:
        raise ValueError(f"a snapshot of version {version}, this program reads {VERSION}")
    body = data[_START:]
    if hashlib.sha256(body).digest() != data[_START - _DIGEST : _START]:
        raise ValueError("a damaged snapshot: its checksum does not match")
    length = int.from_bytes(body[:4], "little")
    header = json.loads(bytes(body[4 : 4 + length]))
    if header["model"] != model:
        raise ValueError(f"a snapshot of a stream of another model ({header['model']})")
    arrays, at = [], 4 + length
    for dtype, shape in header["arrays"]:
        array = np.frombuffer(body, dtype, int(np.prod(shape)), at).reshape(shape)
        arrays.append(array.astype(array.dtype.newbyteorder("=")))
        at += array.nbytes
    return Snapshot(header["facts"], arrays)
