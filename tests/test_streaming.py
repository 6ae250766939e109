"""The contract test, tested: a right layer passes, and every planted fault is caught."""

from typing import NamedTuple

import pytest
import torch
from streaming import check_streaming
from torch import Tensor, nn

from sssm.layers.contract import StreamingLayer


class Memory(NamedTuple):
    """The nested half of a `LeakyState`."""

    h: Tensor  # (batch, channels) complex
    heard: Tensor  # () int64, elements heard by every row


class LeakyState(NamedTuple):
    """What `Leaky` remembers."""

    before: Tensor  # (batch, channels) the element before
    memory: Memory


class Leaky(StreamingLayer[LeakyState]):
    """h_t = a h_(t-1) + x_t, y_t = Re(h_t) + D x_t + x_(t-1) / 2: right, and slow."""

    def __init__(self, channels: int):
        super().__init__()
        turn = torch.linspace(0.2, 0.9, channels)
        self.a = nn.Parameter(torch.stack([turn, 1 - turn], dim=-1) / 2)
        self.D = nn.Parameter(torch.linspace(1.0, 2.0, channels))

    def init_state(self, batch: int) -> LeakyState:
        zeros = self.D.new_zeros(batch, self.D.shape[0])
        heard = torch.zeros((), dtype=torch.int64)
        return LeakyState(zeros, Memory(torch.complex(zeros, zeros), heard))

    def forward(self, x: Tensor, state: LeakyState | None = None) -> tuple[Tensor, LeakyState]:
        state = self.init_state(x.shape[0]) if state is None else state
        ys = []
        for x_t in x.unbind(dim=1):
            y, state = self.advance(x_t, state)
            ys.append(y)
        return (torch.stack(ys, dim=1) if ys else torch.empty_like(x)), state

    def step(self, x: Tensor, state: LeakyState) -> tuple[Tensor, LeakyState]:
        return self.advance(x, state)

    def advance(self, x: Tensor, state: LeakyState) -> tuple[Tensor, LeakyState]:
        h = torch.view_as_complex(self.a) * state.memory.h + x
        y = h.real + self.D * x + state.before / 2
        return y, LeakyState(x.clone(), Memory(h, state.memory.heard + 1))


class Halved(StreamingLayer[LeakyState]):
    """(batch, samples, 1) -> (batch, frames, 1): the sum of every two samples; right."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def init_state(self, batch: int) -> LeakyState:
        zeros = self.scale.new_zeros(batch, 1)
        return LeakyState(zeros, Memory(zeros, torch.zeros((), dtype=torch.int64)))

    def forward(self, x: Tensor, state: LeakyState | None = None) -> tuple[Tensor, LeakyState]:
        state = self.init_state(x.shape[0]) if state is None else state
        ys = [x[:, :0]]
        for x_t in x.unbind(dim=1):
            y, state = self.step(x_t, state)
            ys.append(y)
        return torch.cat(ys, dim=1), state

    def step(self, x: Tensor, state: LeakyState) -> tuple[Tensor, LeakyState]:
        heard = state.memory.heard + 1
        y = self.scale * (state.before + x)[:, None, :]
        return y[:, heard % 2 :], LeakyState(x.clone(), Memory(state.memory.h, heard))


class SkipsDInStep(Leaky):
    def step(self, x, state):
        y, state = super().step(x, state)
        return y - self.D * x, state


class WrongLastState(Leaky):
    def forward(self, x, state=None):
        y, last = super().forward(x, state)
        before = super().forward(x[:, :-1], state)[1]
        return y, last._replace(memory=last.memory._replace(h=before.memory.h))


class WrongCounter(Leaky):
    def forward(self, x, state=None):
        y, last = super().forward(x, state)
        return y, last._replace(memory=last.memory._replace(heard=last.memory.heard * 0 + 1))


class MeanOverTime(Leaky):
    def forward(self, x, state=None):
        y, state = super().forward(x, state)
        return (y - y.mean(dim=1, keepdim=True) if x.shape[1] else y), state


class MeanOverBatch(Leaky):
    def advance(self, x, state):
        return super().advance(x - x.mean(dim=0, keepdim=True), state)


class WritesItsState(Leaky):
    def advance(self, x, state):
        y, after = super().advance(x, state)
        state.memory.h.copy_(after.memory.h)
        return y, after


class PeeksAhead(Leaky):
    def forward(self, x, state=None):
        return super().forward(x + 1e-3 * torch.cat([x[:, 1:], x[:, -1:]], dim=1), state)


class LowersWhatIsLoud(Leaky):
    def forward(self, x, state=None):
        loudest = x.abs().max() if x.shape[1] else x.new_tensor(0.0)
        return super().forward(x * (4 / loudest if loudest > 4 else 1), state)


class KeepsItsState(Leaky):
    kept = None

    def forward(self, x, state=None):
        if state is None or not state.memory.heard:
            self.kept = self.init_state(x.shape[0])
        y, self.kept = super().forward(x, self.kept)
        return y, self.kept


class DetachesItsState(Leaky):
    def advance(self, x, state):
        h = state.memory.h.detach()
        return super().advance(x, state._replace(memory=state.memory._replace(h=h)))


class DetachesItsStateBetweenPieces(Leaky):
    def forward(self, x, state=None):
        y, last = super().forward(x, state)
        return y, last._replace(memory=last.memory._replace(h=last.memory.h.detach()))


class WrongAtLengthZero(Leaky):
    def forward(self, x, state=None):
        return super().forward(x, state if x.shape[1] else None)


class WrongForOne(Leaky):
    def forward(self, x, state=None):
        y, state = super().forward(x, state)
        return (2 * y if x.shape[1] == 1 else y), state


class KeepsAView(Leaky):
    def advance(self, x, state):
        y, after = super().advance(x, state)
        return y, after._replace(before=x)


class GrowsItsState(Leaky):
    def advance(self, x, state):
        y, after = super().advance(x, state._replace(before=state.before[:, -x.shape[1] :]))
        return y, after._replace(before=torch.cat([state.before, after.before], dim=1))


class CountsInFloat(Leaky):
    def init_state(self, batch):
        state = super().init_state(batch)
        return state._replace(memory=state.memory._replace(heard=torch.zeros(batch)))


class ForgetsToConjugate(Leaky):
    def advance(self, x, state):
        h = _WrongProduct.apply(torch.view_as_complex(self.a), state.memory.h) + x
        y = h.real + self.D * x + state.before / 2
        return y, LeakyState(x.clone(), Memory(h, state.memory.heard + 1))


class _WrongProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, h):
        ctx.save_for_backward(a, h)
        return a * h

    @staticmethod
    def backward(ctx, gradient):
        a, h = ctx.saved_tensors
        return (gradient * h).sum(dim=0), gradient * a


FAULTS = {
    SkipsDInStep: "output, step by step",
    WrongLastState: "cut into",
    WrongCounter: "state after length 0",
    MeanOverTime: "output, cut into",
    MeanOverBatch: "output, row 0 alone",
    WritesItsState: "old state after forward differs",
    PeeksAhead: "output, cut into",
    LowersWhatIsLoud: "the past, poisoned",
    KeepsItsState: "from the same state again differs",
    DetachesItsState: "not close",  # the derivative that small differences show
    DetachesItsStateBetweenPieces: "gradient of x, cut into",
    WrongAtLengthZero: "state after length 0 differs",
    WrongForOne: "output, cut into",
    KeepsAView: "overwritten differs",
    GrowsItsState: "state grew",
    CountsInFloat: "layer holds torch.float32",
    ForgetsToConjugate: "not close",
}


@pytest.fixture
def x():
    return torch.randn(3, 7, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("length", [2, 7])
def test_a_right_layer_keeps_the_contract(x, length):
    check_streaming(Leaky(channels=2), x[:, :length])


def test_a_right_layer_that_changes_the_rate_keeps_the_contract(x):
    check_streaming(Halved(), x[..., :1])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(x, fault):
    with pytest.raises(AssertionError, match=FAULTS[fault]):
        check_streaming(fault(channels=2), x)
