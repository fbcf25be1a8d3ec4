"""How long opening a network takes beside another tree, in one interleaved run.

    git worktree add ../before COMMIT
    python benchmarks/open_networks.py ../before [--rounds 5] [--only NAME ...]

Each opening runs in a process of its own with an empty cache, and is timed from where torch has been imported
to where the network is open; processor time is counted, too, which says more on a busy machine. The trees
take turns, so that what else the machine does falls on both alike. The medians of all rounds count. What was
found out of the networks is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import about_machine

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "open_networks.json"
#: Features of MONAI's own default in three dimensions.
BASIC_UNET = {"spatial_dims": 3, "features": [32, 32, 64, 128, 256, 32]}
#: What runs in either tree.
CHILD = """
import json, sys, time
import torch
begun, used = time.perf_counter(), time.process_time()
from napari_tileseg.nets import open_network
spec = open_network(sys.argv[1]).spec
seconds, processor = time.perf_counter() - begun, time.process_time() - used
found = spec.geometry
print(json.dumps({
    "seconds": seconds, "processor_seconds": processor, "stride": found.stride, "halo": found.halo,
    "receptive_field": found.receptive_field, "default_halo": spec.default_halo, "layers": spec.seam_layers,
}))
"""


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="names of networks, all by default")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    trees = {"before": options.other.resolve(), "now": ROOT}
    with tempfile.TemporaryDirectory() as folder:
        every = _sources(Path(folder))
        sources = {name: every[name] for name in options.only or every}
        found: dict[str, dict[str, list[Any]]] = {name: {tree: [] for tree in trees} for name in sources}
        for number in range(options.rounds):
            for name, source in sources.items():
                for tree in list(trees) if number % 2 else reversed(list(trees)):
                    found[name][tree].append(_opened(trees[tree], source))
                    print(name, tree, f"{found[name][tree][-1]['seconds']:.2f} s", flush=True)
    summary = {name: _summed(runs) for name, runs in found.items()}
    for name, case in summary.items():
        print(name, json.dumps(case))
    result = {"about": about_machine(), "rounds": options.rounds, "networks": summary}
    options.out.write_text(json.dumps(result, indent=1) + "\n")


def _sources(folder: Path) -> dict[str, str]:
    """Return what to open by name: the networks that come along, and two of MONAI's at full width."""
    from napari_tileseg.nets import Description, sample_names, save_network
    from napari_tileseg.nets.architectures import registry

    sources = {name: f"sample:{name}" for name in sample_names()}
    for norm in ("batch", "instance"):
        arguments = {**BASIC_UNET, "norm": norm}
        path = folder / f"basic_unet_{norm}.safetensors"
        module = registry.build("basic_unet", **arguments)
        save_network(module, path, Description(architecture="basic_unet", arguments=arguments))
        sources[path.stem] = str(path)
    return sources


def _opened(tree: Path, source: str) -> dict[str, Any]:
    """Open a network with the code of a tree, in a process of its own."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "TILESEG_HOME": home}
        done = subprocess.run(
            [sys.executable, "-c", CHILD, source],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    opened: dict[str, Any] = json.loads(done.stdout)
    return opened


def _summed(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for kind in ("seconds", "processor_seconds"):
        times = {tree: [run[kind] for run in each] for tree, each in runs.items()}
        medians = {tree: statistics.median(each) for tree, each in times.items()}
        summary[kind] = {
            **{tree: round(seconds, 3) for tree, seconds in medians.items()},
            "ratio": round(medians["before"] / medians["now"], 1),
            "all": {tree: [round(seconds, 3) for seconds in each] for tree, each in times.items()},
        }
    known = {tree: {k: v for k, v in each[0].items() if "seconds" not in k} for tree, each in runs.items()}
    return {**summary, "found": known["now"], "same": known["now"] == known["before"]}


if __name__ == "__main__":
    main()
