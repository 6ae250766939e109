"""Why the system refused, for the one line that a user reads."""

import errno
import os


def reason_of(error: OSError) -> str:
    """What the system says of it, as the end of a line."""
    return (error.strerror or str(error)).lower()


def reader_has_left(error: OSError) -> bool:
    """Whether what could not be written was for a pipe that nobody reads any more."""
    if isinstance(error, BrokenPipeError):
        return True
    return os.name == "nt" and error.errno == errno.EINVAL  # what Windows calls it
