"""Thresholds of keywords as a file, tied to the model whose scores they were chosen for.

{"format_version": 1, "model": fingerprint, "thresholds": {keyword: score}}
"""

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from sssm.reason import reason_of
from sssm.whole_file import whole_file

FORMAT_VERSION = 1


class ThresholdsError(ValueError):
    """A file of thresholds cannot be used; one line says which file and why."""


def read_thresholds(
    path: str | os.PathLike[str], *, fingerprint: str, keywords: Collection[str]
) -> dict[str, float]:
    """Keyword -> threshold, of the model with this fingerprint and these keywords.

    Raises:
        ThresholdsError: no such file, no thresholds in (0, 1] in it, those of another model, or for
            what is no keyword of it.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ThresholdsError(f"{path}: {reason_of(error)}") from None
    except (ValueError, RecursionError):
        raise ThresholdsError(f"{path}: not a file of thresholds (no JSON)") from None
    if not isinstance(content, dict) or set(content) != {"format_version", "model", "thresholds"}:
        raise ThresholdsError(f"{path}: not a file of thresholds")
    version = content["format_version"]
    if version != FORMAT_VERSION:
        raise ThresholdsError(f"{path}: version {version!r}, this program reads {FORMAT_VERSION}")
    if content["model"] != fingerprint:
        raise ThresholdsError(f"{path}: thresholds of another model ({content['model']!r})")
    thresholds = content["thresholds"]
    if not isinstance(thresholds, dict) or not all(
        type(value) in (int, float) for value in thresholds.values()
    ):
        raise ThresholdsError(f"{path}: a threshold is no number")
    unknown = [keyword for keyword in thresholds if keyword not in keywords]
    if unknown:
        known = ", ".join(keywords)
        raise ThresholdsError(f"{path}: no keyword {unknown[0]!r} (keywords: {known})")
    beyond = [keyword for keyword, value in thresholds.items() if not 0 < value <= 1]
    if beyond:
        raise ThresholdsError(f"{path}: threshold of {beyond[0]!r} must be in (0, 1]")
    return thresholds


def write_thresholds(
    path: str | os.PathLike[str], thresholds: Mapping[str, float], *, fingerprint: str
) -> None:
    """What `read_thresholds` reads, in one move.

    Raises:
        OSError: the file cannot be written.
    """
    content = {
        "format_version": FORMAT_VERSION, "model": fingerprint, "thresholds": dict(thresholds),
    }  # fmt: skip
    with whole_file(path) as file:
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
