"""How much the page takes from its visitors."""

from typing import NamedTuple


class Limits(NamedTuple):
    """What one server takes."""

    max_visitors: int  # who are listened to at once
    max_upload_mb: int  # of one file
    max_minutes: int  # of one file

    @property
    def most_s(self) -> float:
        """Seconds of one file."""
        return 60.0 * self.max_minutes
