"""What one stream remembers, as a snapshot: the same of a stream alone and of a row of a batch."""

from collections.abc import Sequence

from sssm.resampler import Resampler, ResamplerState
from sssm.rows import Rows
from sssm.snapshot import Snapshot


def remembered(
    rows: Rows,
    row: int,
    resampler: Resampler | None,
    *,
    sample_rate_hz: int,
    samples: int,
    health: Sequence[int],
) -> Snapshot:
    """Everything of one row.

    Args:
        rows: that hear it.
        row: its number among them.
        resampler: before them, where they hear another rate.
        sample_rate_hz: of what is pushed.
        samples: pushed so far.
        health: numbers of a `Health`.
    """
    facts = {"sample_rate_hz": sample_rate_hz, "samples": samples, "health": list(health)}
    arrays = rows.export(row)
    if resampler is not None:
        tail, facts["given"] = resampler.state
        arrays.append(tail)
    return Snapshot(facts, arrays)


def recall(snapshot: Snapshot, rows: Rows, row: int, resampler: Resampler | None) -> None:
    """Make a row, and the resampler before it, what `remembered` was given.

    Raises:
        ValueError: it is of another shape of model; nothing was changed.
    """
    facts, arrays = snapshot
    if resampler is None:
        rows.restore(row, arrays)
        return
    *arrays, tail = arrays
    state = ResamplerState(tail, facts["given"])
    rows.restore(row, arrays)
    resampler.restore(state)
