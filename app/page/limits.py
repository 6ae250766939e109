"""How much the page takes from its visitors."""

from typing import NamedTuple


class Limits(NamedTuple):
    """What one server takes."""

    max_visitors: int = 16  # who are listened to at once
    max_upload_mb: int = 64  # of one file
    max_minutes: int = 60  # of one file
