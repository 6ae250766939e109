"""Induction heads: who recalls what followed a token the last time, at any length.

    python tests/bench/induction.py [--steps 2500]

The Mamba paper's section 4.1.2, made small: in a sequence of random tokens a mark stands once,
and again at its end; to be told is the token that followed it the first time.  Where that was
changes from sequence to sequence.  The models are those of `copying.py`, trained on sequences of
64 tokens; then they hear up to 64 times as many.  Chance is 6%.

Writes induction.json and its plot, and ends in the same as one line.
"""

from typing import Annotated, Any

import torch
import typer
from copying import DEPTH, QUESTION, SEED, STATES, TOKENS, Task, accuracy, mamba, s4, train
from measure import OUT, drawing, save, write
from torch import Tensor

LENGTH = 64
HEARD = [64, 256, 1024, 4096]


def of_length(length: int) -> Task:
    """Sequences of so many tokens, and one answer to each."""

    def sequences(batch: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        heard = torch.randint(TOKENS, (batch, length), generator=g)
        rows, place = torch.arange(batch), torch.randint(length - 2, (batch,), generator=g)
        heard[rows, place] = heard[:, -1] = QUESTION
        return heard, heard[rows, place + 1, None]

    return sequences


def draw(rows: dict[str, dict[str, Any]]) -> None:
    figure, ((axes,),) = drawing(6, 3)
    for name, row in rows.items():
        shares = [100 * share for share in row["heard"].values()]
        axes.plot(HEARD, shares, marker="o", label=name)
    axes.axhline(100 / TOKENS, color="#888888", linewidth=1, linestyle=":", label="chance")
    axes.set_xscale("log", base=2)
    axes.set_xticks(HEARD, [f"{length:,}" for length in HEARD])
    axes.set_ylim(0, 105)
    axes.set_title(f"Induction heads, trained on {LENGTH} tokens", fontsize=10)
    axes.set_xlabel("tokens")
    axes.set_ylabel("right, %")
    axes.legend(fontsize=8)
    save(figure, "induction", OUT)


def main(steps: Annotated[int, typer.Option(help="Of training, for each model.")] = 2500) -> None:
    """Train both models, and tell how often each recalls the token, by length."""
    torch.set_num_threads(1)
    rows = {}
    for name, build in (("mamba", mamba), ("s4", s4)):
        torch.manual_seed(SEED)
        model = build()
        row = train(name, model, of_length(LENGTH), steps)
        row["heard"] = {str(n): round(accuracy(model, of_length(n)), 4) for n in HEARD}
        rows[name] = row
    draw(rows)
    sizes = {"tokens": TOKENS, "length": LENGTH, "chance": 1 / TOKENS}
    write("induction", {**sizes, "states": STATES, "depth": DEPTH, "steps": steps, **rows})


if __name__ == "__main__":
    typer.run(main)
