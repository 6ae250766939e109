"""What the benchmarks share: time and peak memory of calls, and where a result goes.

On a processor times are those of the process, not of the clock on the wall, with one thread:
another program on the machine slows a call down, but is not counted.  On a GPU they are from one
event of its stream to another, so that waiting for the next launch counts.  Rounds of all calls
alternate, so that whatever else changes in the machine falls on every call alike.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

ROOT = Path(__file__).parents[2]
OUT = ROOT / "assets/bench"
NOT_MEASURED = "not measured"
WARM_UPS, GPU_ROUNDS = 3, 15
UNIT = {"cpu": "ms of one thread", "cuda": "ms of a GPU"}

Call = Callable[[], object]
GpuOnly = Annotated[bool, typer.Option("--gpu-only", help="Keep the processor's part as it is.")]
Out = Annotated[Path, typer.Option(help="Folder of the result.")]


def cpu_seconds(calls: dict[str, Call], *, rounds: int = 5) -> dict[str, dict[str, float]]:
    """Processor seconds of each call, least and median of `rounds`, after one that warms up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            spent = time.process_time() - start
            if turn:
                times[name].append(spent)
    return {name: _summary(spent) for name, spent in times.items()}


def gpu_seconds(calls: dict[str, Call]) -> dict[str, dict[str, float]]:
    """As `cpu_seconds`, on the GPU; a call that its memory is too small for has no times."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    failed: set[str] = set()
    for turn in range(WARM_UPS + GPU_ROUNDS):
        for name, call in calls.items():
            spent = None if name in failed else _gpu_time(call)
            if spent is None:
                failed.add(name)
            elif turn >= WARM_UPS:
                times[name].append(spent)
    return {
        name: {"out_of_memory": True} if name in failed else _summary(spent)
        for name, spent in times.items()
    }


def _gpu_time(call: Call) -> float | None:
    """Seconds of one call, or None where the GPU's memory is too small."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    try:
        start.record()
        call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3
    except torch.cuda.OutOfMemoryError:
        pass  # its traceback holds the tensors of the call until here
    torch.cuda.empty_cache()
    return None


def _summary(seconds: list[float]) -> dict[str, float]:
    return {"least_s": min(seconds), "median_s": statistics.median(seconds)}


def peak_bytes(call: Call) -> int:
    """Most that torch held at once during the call, above what it held before.

    The scratch of our compiled loops is not torch's: some hundred kilobytes, whatever the length.
    """
    with torch.profiler.profile(profile_memory=True) as profile:
        call()
    events = profile.profiler.kineto_results.events()
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def gpu_peak_bytes(call: Call) -> int:
    """Most that torch held at once on the GPU during the call, above what it held before."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return torch.cuda.max_memory_allocated() - before


def timed(
    calls: dict[str, Call], device: str = "cpu", *, rounds: int = 5
) -> dict[str, dict[str, float]]:
    """Time of each call on "cpu" or "cuda"; `rounds` of a processor, `GPU_ROUNDS` of a GPU."""
    return gpu_seconds(calls) if device == "cuda" else cpu_seconds(calls, rounds=rounds)


def measured(
    calls: dict[str, Call], device: str = "cpu", *, rounds: int = 5
) -> dict[str, dict[str, float]]:
    """Time, as `timed` has it, and peak memory of each call."""
    rows = timed(calls, device, rounds=rounds)
    peak = gpu_peak_bytes if device == "cuda" else peak_bytes
    for name, row in rows.items():
        if "out_of_memory" not in row:
            row["peak_bytes"] = peak(calls[name])
    return rows


def recorded(call: Call) -> Call:
    """`call`, made once before, as a CUDA graph: its launches without the time to make them."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def over(above: dict[str, float], below: dict[str, float], key: str) -> float | None:
    """How many times more the first has, or None where one of them ran out of memory."""
    return above[key] / below[key] if key in above and key in below else None


def milliseconds(row: dict[str, float]) -> float | None:
    """The median, or None where memory was too small."""
    return 1e3 * row["median_s"] if "median_s" in row else None


def drawing(width: float, height: float, panels: int = 1) -> tuple[Any, Any]:
    """An empty figure, in inches, and its (1, panels) axes."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    return plt.subplots(1, panels, figsize=(width, height), layout="constrained", squeeze=False)


def save(figure: Any, name: str, out: Path) -> None:
    """As NAME.png, the same bytes from the same numbers."""
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / f"{name}.png", dpi=100, metadata={"Software": None})


def bars(
    name: str,
    title: str,
    values: Mapping[str, float | None],
    *,
    unit: str,
    log: bool = True,
    out: Path = OUT,
) -> None:
    """Draw `values` as one bar each, where there is one, into NAME.png."""
    known = {label: value for label, value in values.items() if value is not None}
    figure, ((axes,),) = drawing(6, 0.8 + 0.35 * len(known))
    drawn = axes.barh(list(known), list(known.values()), color="#336699", log=log)
    labels = [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in known.values()]
    axes.bar_label(drawn, labels=labels, padding=3)
    axes.margins(x=0.2)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(unit)
    save(figure, name, out)


def run(
    name: str,
    rows: Callable[[str], dict[str, Any]],
    draw: Callable[[str, dict[str, Any], str, Path], None],
    *,
    gpu_only: bool,
    out: Path,
) -> None:
    """Measure on the processor, and on the GPU where there is one; write and draw both.

    Where one of the two is not measured, what NAME.json in `OUT` says of it stays.

    Args:
        name: of the results: NAME.json, NAME.png and NAME-gpu.png.
        rows: what is measured on a device, "cpu" or "cuda".
        draw: takes the name of the plot, what was measured, the device, and `out`.
        gpu_only: leave the processor's part as it is.
        out: folder of the results.
    """
    torch.set_num_threads(1)
    has_gpu = torch.cuda.is_available()
    if gpu_only and not has_gpu:
        raise typer.BadParameter("there is no GPU here", param_hint="--gpu-only")
    path = OUT / f"{name}.json"
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    gpu = result.pop("gpu", NOT_MEASURED)
    if not gpu_only:
        result = rows("cpu")
        draw(name, result, "cpu", out)
        result = {**_source(), **result}
    if has_gpu:
        found = rows("cuda")
        draw(f"{name}-gpu", found, "cuda", out)
        gpu = {
            "command": _command(),
            "machine": torch.cuda.get_device_name(),
            "torch": torch.__version__,
            "commit": _commit(),
            **found,
        }
    _write(name, {**result, "gpu": gpu}, out)


def write(name: str, result: dict[str, Any]) -> None:
    """Write `result` and where it was measured to NAME.json, and print it as the last line."""
    _write(name, {**_source(), **result}, OUT)


def _write(name: str, result: dict[str, Any], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


def _source() -> dict[str, Any]:
    """What made the numbers of this processor."""
    return {
        "command": _command(),
        "cpu": cpu_model(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "commit": _commit(),
    }


def _command() -> str:
    return " ".join([f"python tests/bench/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def _commit() -> str:
    """Of git, or of the variable COMMIT where the files were brought without their history."""
    if "COMMIT" in os.environ:
        return os.environ["COMMIT"]
    head = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(head, capture_output=True, text=True, check=False).stdout.strip()


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
