"""Which of dt, B and C must be chosen by the input: the Mamba paper's table 7, on copying.

    python tests/bench/selective.py [--steps 1500]

The model and the task of `copying.py`.  What is not selective is a trained constant: dt one for
each channel, B and C one for each state, so that a model without any is a diagonal state-space
model with Mamba's convolution and gate.  The paper has perplexity on text, where dt does most.
Writes selective.json and its plot, and ends in the same as one line.
"""

from typing import Annotated

import torch
import typer
from copying import DEPTH, MAMBA_CHANNELS, SEED, STATES, Model, sequences, tell, train
from torch import Tensor, nn

from sssm.layers.mamba import Mamba, MambaBlock

CHOSEN = ("", "dt", "B", "C", "dt B C")


class PartlySelective(Mamba):
    """Mamba of which only some of dt, B and C are chosen by the input.

    Args:
        chosen: their names.
    """

    def __init__(self, chosen: str):
        super().__init__(channels=MAMBA_CHANNELS, state_size=STATES)
        self.chosen = chosen.split()
        self.B, self.C = (nn.Parameter(torch.randn(STATES)) for _ in range(2))

    def _select(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dt, B, C = super()._select(u)
        if "dt" not in self.chosen:
            dt = nn.functional.softplus(self.step_size.bias).expand_as(dt)
        if "B" not in self.chosen:
            B = self.B.expand_as(B)
        if "C" not in self.chosen:
            C = self.C.expand_as(C)
        return dt, B, C


def main(steps: Annotated[int, typer.Option(help="Of training, for each model.")] = 1500) -> None:
    """Train a model for each choice on selective copying; how many tokens does it get right?"""
    torch.set_num_threads(1)
    rows = {}
    for chosen in CHOSEN:
        torch.manual_seed(SEED)
        blocks = [MambaBlock(PartlySelective(chosen), dropout=0.0) for _ in range(DEPTH)]
        name, model = chosen or "none", Model(blocks, MAMBA_CHANNELS)
        rows[name] = train(name, model, sequences, steps)
    tell("selective", "Selective copying by what is selective", rows, steps)


if __name__ == "__main__":
    typer.run(main)
