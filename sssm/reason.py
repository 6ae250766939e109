"""Why the system refused, for the one line that a user reads."""


def reason_of(error: OSError) -> str:
    """What the system says of it, as the end of a line."""
    return (error.strerror or str(error)).lower()
