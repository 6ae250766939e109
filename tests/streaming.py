"""What every streaming layer owes its caller; the test of every layer calls `check_streaming`.

The contract has no opt-out and two tolerances: 1e-10 in float64, 1e-5 in float32 (relative RMS).
A layer that changes the rate, (batch, samples, 1) in and (batch, frames, K) out, is held to the
same: its outputs are compared joined along time, however many frames a piece gives.
"""

import copy
import io
from collections.abc import Callable

import torch
from numerics import assert_near
from torch import Tensor

from sssm.layers.contract import StreamingLayer

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
COMPLEX = {torch.float64: torch.complex128, torch.float32: torch.complex64}
Outcome = tuple[Tensor, tuple]  # (batch, length or frames, K) output, last state
Runner = Callable[[Tensor, tuple], Outcome]


def check_streaming(layer: StreamingLayer, x: Tensor) -> None:
    """Hold `layer` to the whole contract on x (batch >= 2, length >= 2, channels), any dtype."""
    assert x.shape[0] >= 2, "the contract needs two rows, to see that they do not hear one another"
    assert x.shape[1] >= 2, "the contract needs two elements, to have a cut between them"
    for dtype in TOLERANCE:
        layer_, x_ = copy.deepcopy(layer).to(dtype).eval(), x.to(dtype)
        with torch.no_grad():
            check_value(layer_, x_)
            check_state(layer_, x_)
            check_length_zero(layer_, x_)
            check_cuts(layer_, x_)
            check_steps(layer_, x_)
            check_causal(layer_, x_)
            check_rows(layer_, x_)
    layer_, x_ = copy.deepcopy(layer).double().eval(), x.double()
    check_gradients(layer_, x_)
    check_directional_derivative(layer_, x_)


def check_value(layer: StreamingLayer, x: Tensor) -> None:
    """A state is a value: never written, never on the module, no view of the caller's buffers."""
    _, state = layer(x)
    before = map_leaves(Tensor.clone, state)
    for name, run in {"forward": layer, "step": lambda x, s: layer.step(x[:, 0], s)}.items():
        first = copy_outcome(run(x, state))
        assert_same_bits(state, before, f"the old state after {name}")
        run(-x, layer.init_state(x.shape[0]))  # another stream in between
        assert_same_bits(run(x, state), first, f"{name} from the same state again")

        buffer = x.clone()
        y, after = run(buffer, state)
        kept = map_leaves(Tensor.clone, after)
        buffer.fill_(9.0)
        y.fill_(9.0)
        assert_same_bits(after, kept, f"the state after {name} when x and y are overwritten")
        assert_same_bits(state, before, f"the old state when {name}'s x and y are overwritten")


def check_state(layer: StreamingLayer, x: Tensor) -> None:
    """Tensors in the layer's precision, batch first, that never grow and survive a file."""
    batch = x.shape[0]
    silence, last = layer.init_state(batch), layer(x)[1]
    assert_kept_in_shape(last, silence, x.dtype, batch)
    assert_kept_in_shape(layer.step(x[:, 0], silence)[1], silence, x.dtype, batch)

    y, state = layer(x)
    assert y.dtype == x.dtype, f"output {y.dtype} of a {x.dtype} layer"
    assert_same_bits(layer(x, silence), (y, state), "state=None and the state of silence")

    file = io.BytesIO()
    torch.save(leaves(state), file)
    file.seek(0)
    restored = iter(torch.load(file, weights_only=True))
    loaded = map_leaves(lambda _: next(restored), state)
    assert_same_bits(layer(x, loaded), layer(x, state), "a state loaded from its tensors")

    if x.dtype == torch.float32:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert_kept_in_shape(layer(x)[1], silence, x.dtype, batch)


def check_length_zero(layer: StreamingLayer, x: Tensor) -> None:
    """Nothing in: no output, of the right width, and the state as it was."""
    y, state = layer(x)
    nothing, same = layer(x[:, :0], state)
    expected = (y.shape[0], 0, y.shape[2])
    assert nothing.shape == expected, f"length 0: shape {tuple(nothing.shape)}, not {expected}"
    assert nothing.dtype == y.dtype, f"length 0: {nothing.dtype}, not {y.dtype}"
    assert_same_bits(same, state, "the state after length 0")
    fresh, silence = layer(x[:, :0])
    assert fresh.shape == expected, f"length 0 first: shape {tuple(fresh.shape)}, not {expected}"
    assert_same_bits(silence, layer.init_state(x.shape[0]), "the state after length 0 first")


def check_cuts(layer: StreamingLayer, x: Tensor) -> None:
    """Any chunking gives the output and the last state of one piece."""
    silence = layer.init_state(x.shape[0])
    whole = layer(x, silence)
    for sizes in cuts(x.shape[1]):
        name = sizes if len(sizes) < 9 else f"{len(sizes)} pieces"
        assert_near_outcome(in_pieces(layer, sizes)(x, silence), whole, f"cut into {name}")


def check_steps(layer: StreamingLayer, x: Tensor) -> None:
    """`step` is `forward` on one element, however often it is repeated."""
    silence = layer.init_state(x.shape[0])
    assert_near_outcome(in_steps(layer)(x, silence), layer(x, silence), "step by step")


def check_causal(layer: StreamingLayer, x: Tensor) -> None:
    """The future, poisoned with finite values (an FFT would spread NaN), does not reach back."""
    length = x.shape[1]
    for cut in sorted({1, length // 2, length - 1}):
        past, _ = layer(x[:, :cut])
        poisoned = torch.cat([x[:, :cut], 1 - 7 * x[:, cut:]], dim=1)
        heard = layer(poisoned)[0][:, : past.shape[1]]
        assert_near(heard, past, TOLERANCE[x.dtype], f"the past, poisoned from {cut}")


def check_rows(layer: StreamingLayer, x: Tensor) -> None:
    """A row alone, from its row of the state, gives what it gives in the batch."""
    _, state = layer(x)
    together = layer(x, state)
    for row in (0, x.shape[0] - 1):
        alone = layer(x[row : row + 1], row_of(state, row))
        expected = together[0][row : row + 1], row_of(together[1], row)
        assert_near_outcome(alone, expected, f"row {row} alone")


def check_gradients(layer: StreamingLayer, x: Tensor) -> None:
    """Gradients of x, parameters and initial state agree: one piece, many pieces, steps."""
    with torch.no_grad():
        _, start = layer(x)
    whole = gradients(layer, layer, x, start)
    runners = {f"cut into {sizes}": in_pieces(layer, sizes) for sizes in cuts(x.shape[1])[1:]}
    for name, run in (runners | {"step by step": in_steps(layer)}).items():
        for (what, gradient), expected in zip(
            gradients(layer, run, x, start).items(), whole.values(), strict=True
        ):
            assert_near(gradient, expected, 1e-10, f"gradient of {what}, {name}")


def check_directional_derivative(layer: StreamingLayer, x: Tensor) -> None:
    """The gradients of x and of the initial state are those that small differences show."""
    with torch.no_grad():
        _, start = layer(x)
    generator = torch.Generator().manual_seed(2)
    point = (x, start)
    way = map_leaves(lambda leaf: leaf * random_like(leaf, generator), point)  # keeps energies > 0

    def moved(by: float) -> Tensor:
        with torch.no_grad():
            near = join_leaves(lambda leaf, to: leaf + (by * to).to(leaf.dtype), point, way)
            return loss_of(layer(*near))

    ways = [to for to in leaves(way) if differentiable(to)]
    slopes = list(gradients(layer, layer, *point).values())[: len(ways)]  # without parameters
    predicted = sum((g.conj() * to).real.sum() for g, to in zip(slopes, ways, strict=True))
    measured = (moved(1e-5) - moved(-1e-5)) / 2e-5
    torch.testing.assert_close(predicted, measured, rtol=1e-5, atol=1e-6)


# How a layer is run -------------------------------------------------------------------------------


def cuts(length: int) -> list[list[int]]:
    """Sizes of pieces: all ones, then few pieces, at the ends, empty, and at random."""
    generator = torch.Generator().manual_seed(1)
    half = length // 2
    ways = [[1] * length, [1, length - 1], [length - 1, 1], [0, half, 0, length - half, 0]]
    for pieces in (3, 7):
        at = torch.randint(0, length + 1, (pieces - 1,), generator=generator).sort().values.tolist()
        ways.append([b - a for a, b in zip([0, *at], [*at, length], strict=True)])
    return ways


def in_pieces(layer: StreamingLayer, sizes: list[int]) -> Runner:
    def run(x: Tensor, state: tuple) -> Outcome:
        ys = []
        for piece in x.split(sizes, dim=1):
            y, state = layer(piece, state)
            ys.append(y)
        return torch.cat(ys, dim=1), state

    return run


def in_steps(layer: StreamingLayer) -> Runner:
    def run(x: Tensor, state: tuple) -> Outcome:
        ys = []
        for x_t in x.unbind(dim=1):
            y, state = layer.step(x_t, state)
            assert y.ndim == 2 or y.shape[1] <= 1, f"a step gave {y.shape[1]} frames"
            ys.append(y if y.ndim == 3 else y[:, None])
        return torch.cat(ys, dim=1), state

    return run


def gradients(layer: StreamingLayer, run: Runner, x: Tensor, start: tuple) -> dict[str, Tensor]:
    """Gradients of `loss_of` with respect to x, every leaf of `start` and every parameter."""
    x = x.clone().requires_grad_()
    start = map_leaves(lambda leaf: leaf.clone().requires_grad_(differentiable(leaf)), start)
    inputs = {"x": x}
    inputs |= {f"state {i}": leaf for i, leaf in enumerate(leaves(start)) if leaf.requires_grad}
    inputs |= {name: p for name, p in layer.named_parameters() if p.requires_grad}
    loss = loss_of(run(x, start))
    found = torch.autograd.grad(loss, list(inputs.values()), allow_unused=True)
    return {
        name: torch.zeros_like(value) if gradient is None else gradient
        for (name, value), gradient in zip(inputs.items(), found, strict=True)
    }


def loss_of(outcome: Outcome) -> Tensor:
    """A number that depends on every output and every leaf of the last state, each in its way."""
    generator = torch.Generator().manual_seed(0)
    y, state = outcome
    return sum(
        (random_like(part, generator).conj() * part).real.sum()
        for part in [y, *leaves(state)]
        if differentiable(part)
    )


# What a state is made of --------------------------------------------------------------------------


def leaves(state: tuple | Tensor) -> list[Tensor]:
    """The tensors of a (nested) state, in order."""
    if isinstance(state, Tensor):
        return [state]
    assert isinstance(state, tuple), f"a state holds tensors and tuples, not {type(state).__name__}"
    return [leaf for part in state for leaf in leaves(part)]


def map_leaves(change: Callable[[Tensor], Tensor], state):
    """The same (nested) state with every tensor changed."""
    return join_leaves(lambda leaf, _: change(leaf), state, state)


def join_leaves(join: Callable[[Tensor, Tensor], Tensor], state, other):
    """The same (nested) state with every tensor joined with that of another state."""
    if isinstance(state, Tensor):
        return join(state, other)
    parts = [join_leaves(join, a, b) for a, b in zip(state, other, strict=True)]
    return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)


def differentiable(leaf: Tensor) -> bool:
    return leaf.is_floating_point() or leaf.is_complex()


def row_of(state: tuple, row: int) -> tuple:
    """One row of a batch of states; counters are shared by all rows."""
    return map_leaves(lambda leaf: leaf[row : row + 1] if differentiable(leaf) else leaf, state)


def random_like(leaf: Tensor, generator: torch.Generator) -> Tensor:
    if not differentiable(leaf):
        return torch.zeros_like(leaf)
    return torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)


def copy_outcome(outcome: Outcome) -> Outcome:
    return outcome[0].clone(), map_leaves(Tensor.clone, outcome[1])


def assert_kept_in_shape(state: tuple, silence: tuple, dtype: torch.dtype, batch: int) -> None:
    """The types, shapes and dtypes of `init_state`, in the layer's own precision."""
    assert hasattr(state, "_fields"), f"a state is a NamedTuple, not {type(state).__name__}"
    assert type(state) is type(silence), f"{type(state)} is not init_state's {type(silence)}"
    allowed = {dtype, COMPLEX[dtype], torch.int64}
    for leaf, first in zip(leaves(state), leaves(silence), strict=True):
        assert leaf.shape == first.shape, f"state grew from {first.shape} to {leaf.shape}"
        assert leaf.dtype == first.dtype, f"state turned from {first.dtype} to {leaf.dtype}"
        assert leaf.dtype in allowed, f"a state of a {dtype} layer holds {leaf.dtype}"
        assert leaf.dtype == torch.int64 or leaf.shape[:1] == (batch,), "a state is batch first"


def assert_near_outcome(outcome: Outcome, expected: Outcome, what: str) -> None:
    tolerance = TOLERANCE[expected[0].dtype]
    assert_near(outcome[0], expected[0], tolerance, f"output, {what}")
    for leaf, truth in zip(leaves(outcome[1]), leaves(expected[1]), strict=True):
        assert_near(leaf, truth, tolerance if differentiable(truth) else 0.0, f"state, {what}")


def assert_same_bits(found: tuple, expected: tuple, what: str) -> None:
    for leaf, truth in zip(leaves(found), leaves(expected), strict=True):
        assert leaf.dtype == truth.dtype, f"{what}: {leaf.dtype}, not {truth.dtype}"
        assert torch.equal(leaf, truth), f"{what} differs"
