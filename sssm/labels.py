"""Names that say more than a word: of classes, and of folders of recordings."""

import unicodedata
from collections.abc import Collection

SILENCE, UNKNOWN = "_silence_", "_unknown_"
"""Classes for no word, and for a word other than the model's own."""

TALK_S = 5.0
"""A recording in `_unknown_` that is at least so long is running speech, not one word."""

BACKGROUND = "_background_noise_"
WORDLESS = (BACKGROUND, SILENCE)
"""Folders of sound without a word."""


def spelled(word: str) -> str:
    """The one spelling (Unicode's NFC) of a word: macOS names folders with accents apart."""
    return unicodedata.normalize("NFC", word)


def label_of(folder: str, labels: Collection[str]) -> str | None:
    """What a model with these labels should answer; None where it has no answer that is right."""
    own = {spelled(label): label for label in labels}
    meant = SILENCE if folder in WORDLESS else own.get(spelled(folder), UNKNOWN)
    return meant if meant in labels else None
