"""What the benchmarks share: processor time and peak memory of calls, and where a result goes.

Times are those of the process, not of the clock on the wall, with one thread: another program on
the machine slows a call down, but is not counted.  Rounds of all calls alternate, so that whatever
else changes in the machine falls on every call alike.
"""

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
OUT = ROOT / "assets/bench"
NOT_MEASURED = "not measured"

Call = Callable[[], object]


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
    return {
        name: {"least_s": min(spent), "median_s": statistics.median(spent)}
        for name, spent in times.items()
    }


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


def measured(calls: dict[str, Call], *, rounds: int = 5) -> dict[str, dict[str, float]]:
    """Time and peak memory of each call."""
    times = cpu_seconds(calls, rounds=rounds)
    return {name: {**times[name], "peak_bytes": peak_bytes(calls[name])} for name in calls}


def bars(name: str, title: str, values: dict[str, float], *, unit: str, log: bool = True) -> None:
    """Draw `values` as one bar each into NAME.png."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 0.8 + 0.35 * len(values)), layout="constrained")
    drawn = axes.barh(list(values), list(values.values()), color="#336699", log=log)
    labels = [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in values.values()]
    axes.bar_label(drawn, labels=labels, padding=3)
    axes.margins(x=0.2)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(unit)
    OUT.mkdir(parents=True, exist_ok=True)
    figure.savefig(OUT / f"{name}.png", dpi=100, metadata={"Software": None})


def write(name: str, result: dict[str, Any]) -> None:
    """Write `result` and where it was measured to NAME.json, and print it as the last line."""
    head = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=False).stdout.strip()
    arguments = " ".join([f"python tests/bench/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    result = {
        "command": arguments,
        "cpu": cpu_model(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "commit": commit,
        **result,
    }
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
