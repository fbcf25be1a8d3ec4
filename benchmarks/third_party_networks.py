"""Networks of other packages: verdict, engine, halo and error of each, against whole images in float64.

    python benchmarks/third_party_networks.py [--only WORD ...] [--out FILE]

Weights are random, their mean a third of their spread, so that far voxels count; stored statistics are
random, too, and no scale is 0. "Error" is that of tiles against the whole image, of the largest value; "cut"
says whether an image that is cut far away gives the same, whatever the program thinks. Packages that are
absent are left out, with the reason.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from third_party_subjects import Subject, subjects
from third_party_table import Row, built, left_out, make_table, randomize
from torch import Tensor, nn

from napari_tileseg.engine import open_engine
from napari_tileseg.engine.choice import route_of
from napari_tileseg.engine.seams import judged_by_engine
from napari_tileseg.errors import TilesegError
from napari_tileseg.nets import Network
from napari_tileseg.nets.formats.description import Description, axes_of
from napari_tileseg.nets.reference import NetworkReference
from napari_tileseg.nets.resting import at_rest
from napari_tileseg.nets.specification import specify
from napari_tileseg.tiling import TileGrid
from napari_tileseg.tiling.rounding import round_up

RESULT = Path(__file__).parent / "results" / "third_party_networks.json"
#: Largest relative difference of tiles that counts as exact in float64; of a cut image, in which what is far
#: away may count for little, and of which nothing is computed otherwise; and seconds for one network.
EXACT, UNCUT, LIMIT = 1e-9, 1e-13, 600
#: By how much weights are larger in which what far voxels count for shows where it does not before.
GAIN = 3.0
#: Voxels of a whole image at most, and how far away it is cut, by number of axes.
MOST, FAR = 2**18, {2: 768, 3: 256}


class Prepared:
    """A normalized image in memory."""

    def __init__(self, values: Tensor) -> None:
        self._values = values[0].numpy()
        self.padded_shape = self._values.shape[1:]

    def read(self, box: Any) -> Any:
        """See `PaddedImage.read`."""
        return self._values[(slice(None), *box.slices)].copy()


def image(channels: int, shape: Sequence[int]) -> Tensor:
    """Noise in float64."""
    random = torch.Generator().manual_seed(1)
    return torch.rand(1, channels, *shape, generator=random, dtype=torch.float64)


def off(one: Tensor, other: Tensor, whole: Tensor) -> float:
    """Largest difference, relative to the largest value of the whole."""
    return float((one - other).abs().max() / whole.abs().max().clamp(min=1e-30))


def error_of_tiles(network: Network) -> float:
    """Largest error of tiles at both borders and between them, on an image of four halos if that is small."""
    spec = network.spec
    read, halo = spec.geometry.read, spec.default_halo
    step = tuple(np.lcm(spec.geometry.stride, read.step).tolist())
    least = [round_up(n, s) for n, s in zip(read.minimum, step, strict=True)]
    shape = [n if read.fixed else n + s for n, s in zip(least, step, strict=True)]
    others = int(np.prod(shape[:-1]))
    wanted = round_up(max(4 * sum(halo[-1]), 8 * step[-1], 128, shape[-1]), step[-1])
    if not read.fixed:
        shape[-1] = max(shape[-1], min(wanted, MOST // others // step[-1] * step[-1]))
    core = (*shape[:-1], round_up(max(step[-1], 16), step[-1]))
    grid = TileGrid(tuple(shape), core, halo, step, tuple(least))
    values = image(spec.in_channels, shape)
    with torch.inference_mode():
        whole = network.module.double()(values.clone())
    whole = (whole if isinstance(whole, Tensor) else whole[0])[0]
    network.module.float()
    engine = open_engine(network, "cpu", "float64")
    middle = len(grid) // 2
    tiles = [tile for i, tile in enumerate(grid) if min(i, len(grid) - 1 - i, abs(i - middle)) < 2]
    results = engine.compute(Prepared(values), tiles)
    parts = [whole[(slice(None), *tile.core.slices)] for tile in tiles]
    return max(off(torch.from_numpy(one), part, whole) for one, part in zip(results, parts, strict=True))


def error_of_cut(module: nn.Module, spec: Any) -> float:
    """Largest difference that an image cut far away makes, over the axes and both of its sides."""
    read, ndim = spec.geometry.read, spec.ndim
    if read.fixed:
        return float("nan")
    module, found = module.double(), 0.0
    step = np.lcm(np.lcm(spec.geometry.stride, read.step), 32).tolist()
    for axis in range(ndim):
        shape = [
            round_up(n, s) for n, s in zip(read.minimum, np.lcm(spec.geometry.stride, read.step), strict=True)
        ]
        far = round_up(max(FAR[ndim], *(2 * side for side in spec.default_halo[axis])), step[axis])
        edge = round_up(shape[axis], step[axis])
        shape[axis] = far + 2 * edge
        values = image(spec.in_channels, shape)
        with torch.inference_mode():
            whole = module(values.clone())
            near = module(values.narrow(2 + axis, 0, far + edge).clone()).narrow(2 + axis, 0, edge)
            last = module(values.narrow(2 + axis, edge, far + edge).clone()).narrow(2 + axis, far, edge)
        first, end = whole.narrow(2 + axis, 0, edge), whole.narrow(2 + axis, far + edge, edge)
        found = max(found, off(near, first, whole), off(last, end, whole))
    module.float()
    return found


def tried(subject: Subject) -> Row:
    """Return everything that is known of one network after trying it."""
    try:
        module = at_rest(built(subject))
    except (ImportError, RuntimeError) as error:
        return left_out(error)
    begun = time.perf_counter()
    try:
        said = Description(axes=axes_of(subject.ndim), in_channels=subject.channels)
        spec = specify(module, said, None, Path(subject.name))
        network = Network(spec, module, "", NetworkReference("", ""))
        route = route_of(network, "cpu")
    except TilesegError as error:
        return {"refused": str(error)}
    seconds = time.perf_counter() - begun
    halo = spec.geometry.halo and [list(sides) for sides in spec.geometry.halo]
    row = {"verdict": judged_by_engine(spec, route).seam_free, "engine": route.kind, "reason": route.reason}
    row |= {"halo": halo, "error": error_of_tiles(network), "cut": error_of_cut(module, spec)}
    if not row["verdict"] and row["cut"] <= UNCUT:
        # A verdict is on all weights: what these hide may show with others.
        randomize(module, gain=GAIN)
        row["cut"] = error_of_cut(module, spec)
    return row | {"seconds": round(seconds, 1)}


def with_limit(subject: Subject) -> Row:
    """Try a network; what is raised beside the program's own errors is a finding."""
    signal.alarm(LIMIT)
    try:
        return tried(subject)
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        return {"bare": f"{type(error).__name__}: {error}"[:300]}
    finally:
        signal.alarm(0)


def line(row: Row) -> str:
    """Say what was found of one network."""
    halo = "none" if row["halo"] is None else " ".join(":".join(map(str, sides)) for sides in row["halo"])
    verdict = "yes" if row["verdict"] else "no"
    cut = "exact" if row["cut"] <= UNCUT else f"{row['cut']:.0e}"
    found = f"{verdict:4s}{row['engine']:8s} halo {halo:24s} error {row['error']:.0e}"
    return f"{found}  cut {cut:6s} {row['reason']}"


def totals(rows: Sequence[Row]) -> dict[str, int]:
    """Count what the table is made for."""
    done = [row for row in rows if "verdict" in row]
    return {
        "tried": len(done),
        "by regions": sum(row["engine"] == "regions" for row in done),
        "by regions, not exact": sum(
            row["engine"] == "regions" and not row["error"] <= EXACT for row in done
        ),
        "false yes": sum(row["verdict"] and not row["error"] <= EXACT for row in done),
        "false no": sum(not row["verdict"] and max(row["cut"], row["error"]) <= UNCUT for row in done),
        "refused": sum("refused" in row for row in rows),
        "bare exceptions": sum("bare" in row for row in rows),
        "left out": sum("left out" in row for row in rows),
    }


def _late(*_: object) -> None:
    raise TimeoutError(f"not done within {LIMIT} s")


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, _late)
    make_table(__doc__, subjects(), with_limit, line, RESULT, totals)
