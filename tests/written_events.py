"""Events of a file that a scan has written, in any of the formats."""

import csv
import json
from pathlib import Path

KEYS = ["path", "keyword", "start_s", "time_s", "score"]


def read(path: str) -> list[dict]:
    """Events of a file in any of the formats."""
    text, suffix = Path(path).read_text(encoding="utf-8"), Path(path).suffix.lower()
    if suffix == ".json":
        return json.loads(text)
    if suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    table = list(csv.DictReader(text.splitlines()))
    return [
        {name: value if name in KEYS[:2] else float(value) for name, value in row.items()}
        for row in table
    ]
