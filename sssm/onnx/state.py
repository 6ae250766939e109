"""A state tensor of an exported model."""

from typing import NamedTuple


class State(NamedTuple):
    """Its name, its shape after the batch axis, and what it starts with."""

    name: str
    shape: tuple[int, ...]
    fill: float = 0.0
