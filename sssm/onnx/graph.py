"""An ONNX graph, built node by node: each method adds one operation and names its result.

Decided here: how operations are written at the opset that was asked for.  Constants belong to the
outermost graph, so that the bodies of `Scan` and `If` share them.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from sssm.layers.block import NORM_EPS
from sssm.ops.flush import TINY

OLDEST_OPSET, NEWEST_OPSET = 17, 23

Dims = Sequence[int | str]


class Graph:
    """Nodes of one graph, or of a body inside of another one.

    Args:
        opset: version of the operations.
        outer: graph that this one is a body in.
        int8: whether to keep weights in a quarter of the space.
    """

    def __init__(self, opset: int, outer: "Graph | None" = None, *, int8: bool = False):
        self.opset = opset
        self.int8 = int8
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.nodes: list[onnx.NodeProto] = []
        self._results: list[str] = []  # values that the outputs name
        self._root: Graph = outer._root if outer else self
        self._constants: dict[str, NDArray[Any]] = {}
        self._known: dict[bytes, str] = {}
        self._names = 0

    def body(self) -> "Graph":
        """An empty graph inside of this one: it sees this one's values."""
        return Graph(self.opset, self)

    def input(self, name: str, shape: Dims, dtype: type = np.float32) -> str:
        self.inputs.append(_value(name, shape, dtype))
        return name

    def output(self, value: str, name: str, shape: Dims, dtype: type = np.float32) -> None:
        self._results.append(value)
        self.outputs.append(_value(name, shape, dtype))

    def optional(self, name: str, value: NDArray[Any], shape: Dims) -> str:
        """An input that has this value where none is given."""
        self._root._constants[name] = value
        return self.input(name, shape, value.dtype.type)

    def constant(self, value: NDArray[Any] | float, name: str = "constant") -> str:
        """Name of a constant; equal ones are one."""
        array = np.ascontiguousarray(value, np.float32) if isinstance(value, float) else value
        root = self._root
        key = f"{array.dtype}{array.shape}".encode() + array.tobytes()
        if key not in root._known:
            known = f"{name}_{len(root._known)}"
            root._known[key], root._constants[known] = known, array
        return root._known[key]

    def add(self, a: str, b: str) -> str:
        return self._one("Add", [a, b])

    def subtract(self, a: str, b: str) -> str:
        return self._one("Sub", [a, b])

    def multiply(self, a: str, b: str) -> str:
        return self._one("Mul", [a, b])

    def remainder(self, a: str, b: str) -> str:
        return self._one("Mod", [a, b])

    def less(self, a: str, b: str) -> str:
        return self._one("Less", [a, b])

    def equal(self, a: str, b: str) -> str:
        return self._one("Equal", [a, b])

    def log(self, x: str) -> str:
        return self._one("Log", [x])

    def exp(self, x: str) -> str:
        return self._one("Exp", [x])

    def sigmoid(self, x: str) -> str:
        return self._one("Sigmoid", [x])

    def softplus(self, x: str) -> str:
        return self._one("Softplus", [x])

    def silu(self, x: str) -> str:
        return self.multiply(x, self.sigmoid(x))

    def as_float(self, x: str) -> str:
        return self._one("Cast", [x], {"to": onnx.TensorProto.FLOAT})

    def matmul(self, a: str, b: str) -> str:
        return self._one("MatMul", [a, b])

    def weight(self, value: NDArray[Any]) -> str:
        """A matrix (I, O), as int8 and a scale for each column where the graph is to be small."""
        if not self._root.int8:
            return self.constant(value, "weight")
        whole, scale = quantized(value)
        both = [self.constant(whole, "weight"), self.constant(scale, "scale")]
        key = " ".join(["float", *both]).encode()
        if key not in self._root._known:  # one node for all bodies
            # Not DequantizeLinear: runtimes may then take the product itself in 8 bits.
            self._root._known[key] = self._root.multiply(self._root.as_float(both[0]), both[1])
        return self._root._known[key]

    def linear(self, x: str, weight: str, bias: str) -> str:
        """Affine map x W + b of the last axis, x (rows, I), W (I, O)."""
        return self._one("Gemm", [x, weight, bias])

    def softmax(self, x: str) -> str:
        return self._one("Softmax", [x], {"axis": -1})

    def flush(self, x: str) -> str:
        """Numbers smaller than `TINY` as zero, so that silence stays silent and fast."""
        return self._one("Shrink", [x], {"lambd": TINY, "bias": 0.0})

    def concat(self, parts: Sequence[str], axis: int) -> str:
        return self._one("Concat", parts, {"axis": axis})

    def split(self, x: str, sizes: Sequence[int], axis: int) -> list[str]:
        to = [self.name("Split") for _ in sizes]
        self._node("Split", [x, self.constant(np.array(sizes))], {"axis": axis}, to)
        return to

    def slice(self, x: str, start: int, end: int, axis: int) -> str:
        bounds = [self.constant(np.array([number])) for number in (start, end, axis)]
        return self._one("Slice", [x, *bounds])

    def slice_at(self, x: str, start: str, end: str, axis: int) -> str:
        """As `slice`, with bounds that are values of shape (1,)."""
        return self._one("Slice", [x, start, end, self.constant(np.array([axis]))])

    def reshape(self, x: str, shape: Sequence[int] | str) -> str:
        """To these numbers, or to a value that holds them: -1 is what is left, 0 keeps an axis."""
        to = shape if isinstance(shape, str) else self.constant(np.array(shape))
        return self._one("Reshape", [x, to])

    def flat(self, x: str) -> str:
        """(batch, ...) -> (batch, numbers)."""
        return self._one("Flatten", [x])

    def size(self, x: str, axis: int) -> str:
        """(1,) int64, the length of an axis."""
        return self._one("Shape", [x], {"start": axis, "end": axis + 1})

    def unsqueeze(self, x: str, axes: Sequence[int]) -> str:
        return self._one("Unsqueeze", [x, self.constant(np.array(axes))])

    def transpose(self, x: str, order: Sequence[int]) -> str:
        return self._one("Transpose", [x], {"perm": list(order)})

    def sum(self, x: str, axes: Sequence[int]) -> str:
        return self._one("ReduceSum", [x, self.constant(np.array(axes))], {"keepdims": 0})

    def sum_of_squares(self, x: str, axis: int) -> str:
        return self._reduce("ReduceSumSquare", x, axis, keep=False)

    def normalize(self, x: str, scale: NDArray[Any]) -> str:
        """RMS norm over the last axis, times a scale.

        Below opset 23 in the six operations that onnxruntime makes one of when it loads them.
        """
        gain = self.constant(scale, "scale")
        if self.opset >= 23:
            return self._one("RMSNormalization", [x, gain], {"axis": -1, "epsilon": NORM_EPS})
        square = self._one("Pow", [x, self.constant(2.0)])
        mean = self._reduce("ReduceMean", square, -1, keep=True)
        root = self._one("Sqrt", [self.add(mean, self.constant(NORM_EPS))])
        return self.multiply(self._one("Div", [x, root]), gain)

    def scan(
        self, body: "Graph", starts: Sequence[str], sequences: Sequence[str], results: int
    ) -> list[str]:
        """Run `body` along axis 1 of the sequences: last states, then results along axis 1.

        The body's inputs are states, then one element of each sequence; its outputs the same.
        """
        to = [self.name("Scan") for _ in range(len(starts) + results)]
        attributes = {
            "body": body._proto("body", []),
            "num_scan_inputs": len(sequences),
            "scan_input_axes": [1] * len(sequences),
            "scan_output_axes": [1] * results,
        }
        self._node("Scan", [*starts, *sequences], attributes, to)
        return to

    def choose(self, condition: str, then: "Graph", otherwise: "Graph") -> list[str]:
        """Outputs of one of two bodies, which have no inputs of their own."""
        to = [self.name("If") for _ in then.outputs]
        attributes = {
            "then_branch": then._proto("then", []),
            "else_branch": otherwise._proto("else", []),
        }
        self._node("If", [condition], attributes, to)
        return to

    def model(self, name: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The whole file, as old runtimes read it."""
        opsets = [helper.make_opsetid("", self.opset)]
        read = {name for node in self.nodes for name in (*node.input, *_read_inside(node))}
        constants = [numpy_helper.from_array(v, k) for k, v in self._constants.items() if k in read]
        model = helper.make_model(
            self._proto(name, constants), producer_name="sssm", opset_imports=opsets,
            ir_version=helper.find_min_ir_version_for(opsets),
        )  # fmt: skip
        helper.set_model_props(model, dict(metadata))
        return model

    def _proto(self, name: str, constants: list[onnx.TensorProto]) -> onnx.GraphProto:
        return helper.make_graph(self._named(), name, self.inputs, self.outputs, constants)

    def _named(self) -> list[onnx.NodeProto]:
        """The nodes with the outputs' names; an `Identity` only for what no node here makes."""
        made = {name for node in self.nodes for name in node.output}
        taken = {name for node in self.nodes for name in _read_inside(node)}
        names: dict[str, str] = {}
        extra = []
        for output, value in zip(self.outputs, self._results, strict=True):
            if value in made - taken - names.keys():
                names[value] = output.name
            else:
                extra.append((value, output.name))
        nodes = []
        for node in self.nodes:
            node = copy.deepcopy(node)
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
            nodes.append(node)
        for value, name in extra:
            nodes.append(helper.make_node("Identity", [names.get(value, value)], [name]))
        return nodes

    def _reduce(self, kind: str, x: str, axis: int, *, keep: bool) -> str:
        if self.opset >= 18:  # where axes became an input
            return self._one(kind, [x, self.constant(np.array([axis]))], {"keepdims": int(keep)})
        return self._one(kind, [x], {"axes": [axis], "keepdims": int(keep)})

    def _one(self, kind: str, inputs: Sequence[str], attributes: Mapping[str, Any] = {}) -> str:
        to = self.name(kind)
        self._node(kind, inputs, attributes, [to])
        return to

    def _node(
        self, kind: str, inputs: Sequence[str], attributes: Mapping[str, Any], to: Sequence[str]
    ) -> None:
        self.nodes.append(helper.make_node(kind, inputs, to, **attributes))

    def name(self, kind: str) -> str:
        """A name that no other value has."""
        self._root._names += 1
        return f"{kind.lower()}_{self._root._names}"


def quantized(weight: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix (I, O) as integers (I, O) and the scale of each column (O,)."""
    scale = np.maximum(np.abs(weight).max(axis=0) / 127, np.finfo(np.float32).tiny)
    return np.rint(weight / scale).astype(np.int8), scale.astype(np.float32)


def _value(name: str, shape: Dims, dtype: type) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, list(shape))


def _read_inside(node: onnx.NodeProto) -> Iterator[str]:
    """Names that the bodies of a node read, their own among them."""
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from inner.input
            yield from _read_inside(inner)
        yield from (output.name for output in attribute.g.output)
