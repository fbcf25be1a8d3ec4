"""Time, memory, operations and error of ways to predict an image with the same network, in one run.

Run ``python benchmarks/bench.py``; it prints a table, and writes ``benchmarks/results/bench.json``. All
methods take turns, and the least time of several rounds counts, so that what else the machine does falls on
all alike. Memory and operations are measured in a process of its own for each method. A method whose package
is not installed (``pip install -e .[bench]`` installs them), or that cannot predict in the windows of a
network, is left out, and said to be.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import bench_subjects
import numpy as np
import torch
from bench_methods import METHODS, MONAI_GAUSSIAN, OVER_SPACE, WHOLE, Method, Run
from bench_peers import UnfitError
from bench_subjects import Subject
from measuring import AnonymousPeak, about_machine, count_flops

RESULT = Path(__file__).parent / "results" / "bench.json"
NETWORKS = ["unet_3d", "unet_3d_four_levels", "unet_2d", "identity", "unet_3d_instance"]
#: Going through an image costs nothing worth comparing for most methods; a network of no work shows it.
METHODS_OF = {"identity": {WHOLE, MONAI_GAUSSIAN, "engine, on demand", "engine, columns of windows"}}
ROUNDS = 3
#: What takes milliseconds is at the mercy of whatever else the machine does, unless it is done more often.
ROUNDS_OF = {"identity": 15}


def main() -> None:
    """Measure the chosen networks."""
    options = _options()
    torch.set_num_threads(options.threads)
    if options.child:
        print(json.dumps(_measure_alone(options.child, options)))
        return
    former = json.loads(options.out.read_text()) if options.add and options.out.exists() else {}
    found = {"skipped": former.get("skipped", []), "rows": former.get("rows", [])}
    options.out.parent.mkdir(exist_ok=True, parents=True)
    for name in options.networks:
        rows, skipped = _measure(name, options)
        for key, new in (("skipped", skipped), ("rows", rows)):
            found[key] = [each for each in found[key] if each["network"] != name] + new
        report = {"machine": about_machine(), **found}
        options.out.write_text(json.dumps(report, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--methods", nargs="+", help="by the start of their names; all by default")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--size", type=int, help="voxels along each axis of the image")
    parser.add_argument("--window", type=int, help="voxels along each axis of a window")
    parser.add_argument("--rounds", type=int, help="turns of each method; 3, or more of what is short")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--add", action="store_true", help="keep the rows of other networks that are there")
    parser.add_argument("--here", action="store_true", help="no processes: memory is then a rough figure")
    parser.add_argument("--child", nargs=2, metavar=("METHOD", "DTYPE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(name: str, options: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Rows of one network, and the methods that were left out."""
    subject = bench_subjects.make(name, options.size, options.window)
    runs, skipped = _prepare(subject, _chosen(name, options))
    seconds = {method: [] for method in runs}
    results: dict[Method, np.ndarray] = {}
    for number in range(options.rounds or ROUNDS_OF.get(name, ROUNDS)):
        for method, run in runs.items():
            begun = time.perf_counter()
            result = run()
            seconds[method].append(time.perf_counter() - begun)
            print(f"{name}: round {number + 1}, {method.name} ({method.dtype}) {seconds[method][-1]:.2f} s")
            results.setdefault(method, result)
    alone = {
        method: _memory_and_flops(run) if options.here else _in_a_process_of_its_own(method, name, options)
        for method, run in runs.items()
    }
    rows = [_row(subject, method, seconds, results, alone) for method in runs]
    _print_table(rows)
    return rows, skipped


def _chosen(name: str, options: argparse.Namespace) -> list[Method]:
    starts = tuple(options.methods or ("",))
    allowed = METHODS_OF.get(name)
    return [
        method
        for method in _methods(name)
        if method.name.startswith(starts)
        and method.dtype in options.dtypes
        and (allowed is None or method.name in allowed)
    ]


def _methods(name: str) -> tuple[Method, ...]:
    return OVER_SPACE if name in bench_subjects.OVER_SPACE else METHODS


def _prepare(subject: Subject, methods: list[Method]) -> tuple[dict[Method, Run], list[dict[str, str]]]:
    runs, skipped = {}, []
    for method in methods:
        try:
            runs[method] = method.prepare(subject)
        except (ImportError, UnfitError) as error:
            skipped.append({"network": subject.name, "method": method.name, "reason": str(error)})
            print(f"{method.name} is left out: {error}")
    return runs, skipped


def _in_a_process_of_its_own(method: Method, name: str, options: argparse.Namespace) -> dict[str, int]:
    command = [sys.executable, __file__, "--networks", name, "--threads", str(options.threads)]
    for option in ("size", "window"):
        if getattr(options, option):
            command += [f"--{option}", str(getattr(options, option))]
    command += ["--child", method.name, method.dtype]
    # What is freed is given back at once, so that what comes to be needed anew is seen.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1048576"}
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    return dict(json.loads(output.splitlines()[-1]))


def _measure_alone(wanted: tuple[str, str], options: argparse.Namespace) -> dict[str, int]:
    """Memory beyond what there is before, and operations, of one method in a process of its own."""
    method = next(m for m in _methods(options.networks[0]) if (m.name, m.dtype) == tuple(wanted))
    return _memory_and_flops(
        method.prepare(bench_subjects.make(options.networks[0], options.size, options.window))
    )


def _memory_and_flops(run: Run) -> dict[str, int]:
    count_flops(lambda: torch.ones(2, 2) @ torch.ones(2, 2))  # loads what counting needs
    with AnonymousPeak() as memory:
        flops = count_flops(run)
    return {"peak_memory_bytes": memory.grown, "flops": flops}


def _row(
    subject: Subject,
    method: Method,
    seconds: dict[Method, list[float]],
    results: dict[Method, np.ndarray],
    alone: dict[Method, dict[str, int]],
) -> dict[str, Any]:
    known = {each.name: each for each in seconds if each.dtype == "float32"}
    whole, gaussian = known.get(WHOLE), known.get(MONAI_GAUSSIAN)
    least = min(seconds[method])
    return {
        "network": subject.name,
        "method": method.name,
        "dtype": method.dtype,
        "size": subject.shape,
        "core": method.core(subject),
        "seconds": least,
        "all_seconds": seconds[method],
        "ratio_to_whole": whole and least / min(seconds[whole]),
        "ratio_to_monai_gaussian": gaussian and least / min(seconds[gaussian]),
        "flops": alone[method]["flops"],
        "flops_ratio": whole and alone[whole]["flops"] and alone[method]["flops"] / alone[whole]["flops"],
        "peak_memory_bytes": alone[method]["peak_memory_bytes"],
        "max_abs_difference": whole and float(np.abs(results[method] - results[whole]).max()),
        "max_abs_whole": whole and float(np.abs(results[whole]).max()),
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    names = ("seconds", "ratio_to_whole", "ratio_to_monai_gaussian", "flops_ratio", "max_abs_difference")
    print(f"{'method':30}{'dtype':10}" + "".join(f"{name:>25}" for name in (*names, "peak MB")))
    for row in rows:
        figures = [row[name] for name in names] + [row["peak_memory_bytes"] / 1e6]
        cells = "".join(f"{'' if figure is None else format(figure, '.4g'):>25}" for figure in figures)
        print(f"{row['method']:30}{row['dtype']:10}{cells}")


if __name__ == "__main__":
    main()
