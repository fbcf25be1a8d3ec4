"""Draw which part of every feature map a tile needs, into ``docs/images/regions.svg``.

The numbers are those of the engine itself, for the paper's U-Net and a core far from the border.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from napari_tileseg.engine.regions.check.captured import PROCESS_CACHE
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.nets import Description, open_network, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.tiling import TileGrid

TARGET = Path(__file__).parents[1] / "docs" / "images" / "regions.svg"
CORE = 96
#: Side of an image in which the core in the middle is far from the border.
SIDE = 5 * CORE
#: Pixels of a voxel and of a row, and where the rows begin.
SCALE, ROW, LEFT, TOP = 2.4, 17, 178, 44
WORDS = {
    "Convolution": "convolution",
    "MaxPool": "max pooling",
    "TransposedConvolution": "up-sampling",
}


def main() -> None:
    """Draw."""
    rows, read = _rows()
    middle = LEFT + read / 2 * SCALE
    height = TOP + ROW * len(rows) + 34
    width = LEFT + int(read * SCALE) + 204
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-labelledby="t d" font-family="sans-serif" font-size="12">',
        '<title id="t">The part of every feature map that a core needs</title>',
        '<desc id="d">A row for each layer of a U-Net, from the image to the result. A light bar shows what '
        "a plain tile computes, the same width in every row. A dark bar shows what the core needs: it "
        "narrows from the image to the result.</desc>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT - 10}" y="26" text-anchor="end" fill="#445">layer, channels</text>',
        f'<text x="{middle:.1f}" y="26" text-anchor="middle" fill="#445">'
        "one axis of the tile, in voxels of the image</text>",
        f'<text x="{LEFT + read * SCALE + 12:.1f}" y="26" fill="#445">'
        "voxels needed of a plain tile's</text>",
    ]
    for number, (name, needed, step) in enumerate(rows):
        parts += _bar(TOP + ROW * number, middle, name, needed, read // step, step)
    low = height - 14
    parts += [
        f'<rect x="{LEFT}" y="{low - 10}" width="12" height="11" fill="#f2a93b" fill-opacity=".35"/>',
        f'<text x="{LEFT + 18}" y="{low}" fill="#223">computed by a plain tile, core and halo</text>',
        f'<rect x="{LEFT + 290}" y="{low - 10}" width="12" height="11" fill="#1f8a84"/>',
        f'<text x="{LEFT + 308}" y="{low}" fill="#223">computed by the engine</text>',
        "</svg>",
    ]
    TARGET.write_text("\n".join(parts) + "\n")


def _rows() -> tuple[list[tuple[str, int, int]], int]:
    """Return name, needed voxels and step of each computing layer, and the voxels of a plain tile's read."""
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        path = save_network(
            build("unet", ndim=3),
            Path(folder, "unet.safetensors"),
            Description(architecture="unet", arguments={"ndim": 3}),
        )
        network = open_network(path)
    program = Program(PROCESS_CACHE.graph_of(network), network.module, "cpu", torch.float32)
    geometry, shape = network.spec.geometry, (SIDE,) * 3
    tile = TileGrid(shape, (CORE,) * 3, geometry.halo or (), geometry.stride)[(2, 2, 2)]
    schedule = program.schedule(shape, tile.core)
    rows = [("image", schedule.read.shape[0], 1)]
    for node, step, whole in zip(program.nodes, schedule.steps, program.wholes(shape)[1:], strict=True):
        kind = type(node.operation).__name__
        if kind in WORDS:
            rows.append((f"{WORDS[kind]}, {node.channels}", step.box.shape[0], SIDE // whole[0]))
    return rows, tile.read.shape[0]


def _bar(y: float, middle: float, name: str, needed: int, plain: int, step: int) -> Iterator[str]:
    for voxels, look in ((plain, 'fill="#f2a93b" fill-opacity=".35"'), (needed, 'fill="#1f8a84"')):
        width = voxels * step * SCALE
        yield f'<rect x="{middle - width / 2:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 4}" {look}/>'
    yield f'<text x="{LEFT - 10}" y="{y + 11}" text-anchor="end" fill="#223">{name}</text>'
    right = middle + plain * step * SCALE / 2 + 12
    share = (needed / plain) ** 3
    yield f'<text x="{right:.1f}" y="{y + 11}" fill="#223">{needed}³ of {plain}³: {share:.0%}</text>'


if __name__ == "__main__":
    main()
