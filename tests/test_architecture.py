"""The drawing of the architecture, checked: an import only goes down, and files stay small."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("sssm", "training", "app")

# What a package may import of ours, besides itself.  The longest name that fits a module counts.
LEAVES = (
    "config", "labels", "reason", "intervals", "whole_file", "talk", "evidence", "timing",
    "snapshot", "interrupt", "children", "mp3", "ogg", "int16",
)  # fmt: skip
BELOW = {
    **{f"sssm.{name}": set() for name in LEAVES},
    "sssm.math": set(),
    "sssm.ops": {"sssm.math"},
    "sssm.layers": {"sssm.timing", "sssm.math", "sssm.ops"},
    "sssm.audio": {"sssm.mp3", "sssm.ogg", "sssm.reason", "sssm.timing"},
    "sssm.hearing": {"sssm.audio", "sssm.int16"},
    "sssm.resampler": {"sssm.audio"},
    "sssm.detector": {"sssm.evidence", "sssm.talk", "sssm.labels", "sssm.timing"},
    "sssm.traces": {"sssm.detector", "sssm.timing"},
    "sssm.calibration": set(),
    "sssm.plots": {"sssm.calibration", "sssm.whole_file"},
    "sssm.thresholds": {"sssm.reason", "sssm.whole_file"},
    "sssm.model": {"sssm.timing", "sssm.math", "sssm.ops", "sssm.layers", "sssm.config"},
    "sssm.weight_shapes": {"sssm.config"},
    "sssm.weights": {"sssm.config", "sssm.model", "sssm.weight_shapes", "sssm.whole_file"},
    "sssm.cost": {"sssm.config", "sssm.timing", "sssm.layers", "sssm.model"},
    "sssm.engines": {
        "sssm.timing", "sssm.ops", "sssm.layers", "sssm.config", "sssm.audio", "sssm.model",
    },
    "sssm.onnx": {
        "sssm.timing", "sssm.math", "sssm.ops", "sssm.layers", "sssm.audio", "sssm.reason",
        "sssm.whole_file",
        "sssm.detector", "sssm.engines", "sssm.model", "sssm.weights", "sssm.cost",
    },
    "sssm.clip": {"sssm.timing", "sssm.audio", "sssm.engines"},
    "sssm.rows": {"sssm.timing", "sssm.audio", "sssm.detector", "sssm.engines"},
    "sssm.memory": {"sssm.resampler", "sssm.rows", "sssm.snapshot"},
    "sssm.stream": {
        "sssm.detector", "sssm.engines", "sssm.hearing", "sssm.memory", "sssm.resampler",
        "sssm.rows", "sssm.snapshot",
    },
    "sssm.batch": {
        "sssm.detector", "sssm.hearing", "sssm.memory", "sssm.resampler", "sssm.rows",
        "sssm.snapshot",
    },
    "sssm": set(),  # live, the spotter and the classifier: all of sssm
    "training": {"sssm"},
    "app": {"sssm"},
}  # fmt: skip


def our_files() -> list[Path]:
    return sorted(path for top in OURS for path in ROOT.glob(f"{top}/**/*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in our_files()}


def imports(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports, anywhere in it: at the top, in functions, for types."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in inner]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in OURS)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def climbs(module: str, imported: str) -> bool:
    home = max((package for package in BELOW if within(module, package)), key=len)
    return not any(within(imported, package) for package in BELOW[home] | {home})


def test_imports_point_down():
    wrong = [
        f"{module} imports {name}"
        for module, path in MODULES.items()
        for name in imports(path)
        if climbs(module, name)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("sssm.math.hippo", "sssm.ops.flush"),
        ("sssm.ops.cauchy", "sssm.layers.s4"),
        ("sssm.layers.s4", "sssm"),
        ("sssm.onnx.graph", "sssm.batch"),
        ("sssm.rows", "sssm.spotter"),
        ("sssm.intervals", "sssm.model"),
        ("sssm.hearing", "sssm.classifier"),
        ("sssm.weights", "app.cli"),
        ("app.cli", "training.train"),
        ("training.train", "app.cli"),
    ],
)
def test_a_climb_is_seen(module, imported):
    assert climbs(module, imported)
    assert not climbs(module, module)


def test_imports_make_no_circle():
    """`graphlib` raises CycleError, which names the circle."""
    graph = {module: set(imports(path)) - {module} for module, path in MODULES.items()}
    assert set(TopologicalSorter(graph).static_order()) >= set(MODULES)


def test_files_are_small():
    """At most 300 lines, a kernel 400: what a reader remembers is the longest file."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in our_files()}
    long = {
        str(path.relative_to(ROOT)): lines
        for path, lines in lengths.items()
        if lines > (400 if path.name.startswith("kernel") else 300)
    }
    assert not long


OPS = sorted(path.parent.name for path in ROOT.glob("sssm/ops/*/__init__.py"))


@pytest.mark.parametrize("op", OPS)
def test_an_operator_has_its_forms_and_its_test(op):
    """One word is the operator, its folder, its function and its test; a reference beside it."""
    for form in ("reference.py", "parallel.py"):
        assert (ROOT / "sssm/ops" / op / form).is_file(), f"{op} lacks {form}"
    assert (ROOT / f"tests/ops/test_{op}.py").is_file(), f"{op} lacks a test"
    for file, function in (("__init__.py", op), ("reference.py", f"{op}_reference")):
        tree = ast.parse((ROOT / "sssm/ops" / op / file).read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert function in functions, f"{op}/{file} lacks {function}"


def test_there_are_operators():
    assert OPS


def test_what_stands_for_all_of_sssm_is_its_top():
    """A new module finds its place in the drawing."""
    guarded = {package for package in BELOW if package.startswith("sssm.")}
    free = {m for m in MODULES if within(m, "sssm") and not any(within(m, g) for g in guarded)}
    assert free == {"sssm", "sssm.live", "sssm.spotter", "sssm.classifier"}
