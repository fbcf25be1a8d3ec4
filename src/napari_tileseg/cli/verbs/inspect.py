"""``tileseg inspect``: what a network is, needs, and whether tiles can show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from napari_tileseg.cli.answers import answer, columns, json_option
from napari_tileseg.cli.options import takes_settings
from napari_tileseg.settings import NetworkSettings

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network
    from napari_tileseg.nets.spec import NetworkSpec


@click.command()
@click.argument("network", metavar="NETWORK")
@takes_settings(settings=NetworkSettings)
@json_option
def inspect(network: str, settings: NetworkSettings, as_json: bool) -> None:
    """Describe NETWORK: what it is and needs, and whether it can be seam-free.

    NETWORK is a file, a folder or a zip file, or sample:NAME for one of the shipped networks (see tileseg
    networks).

    With --json: name; architecture; sha256 (of the file); parameters (their number); ndim; axes;
    in_channels; channel_names (empty if unknown); out_channels; classes (names); activation;
    input_normalization (kind, low, high, or kind and steps); normalization (kind of layer to how many);
    stride (per axis); halo (per axis [before, after], as measured; null where unbounded); default_halo
    (the one in use); receptive_field (per axis; null where unbounded); read (the shapes it accepts:
    minimum, step, fixed); voxel_size (um per axis; null if unknown); resampling (how images were brought
    to that size in training, by splines: order, coarse_order, coarse_apart; null for linearly); seam_free
    (as its tiles are computed); reason; seam_layers (names of the layers that make seams); seam_cause
    (what makes them, in a few words); engine (path: regions, where each layer computes no more than a
    tile's core needs, or plain, where tiles are computed whole; reason); notes (a sentence for each thing
    that nothing states about the network and that was assumed); self_test (what came of running the
    package's own test input: reproduces; difference; largest; likely, what reproduces the output where it
    differs; problem, why it was not run; null where there is no test).
    """
    from napari_tileseg.nets import open_network

    opened = open_network(network, settings)
    report = network_report(opened)
    answer(report, columns(_card(report, opened.spec)), as_json=as_json)


def network_report(network: Network) -> dict[str, Any]:
    """Return plain values of an opened network, ready for JSON.

    Parameters
    ----------
    network : Network
        An opened network.

    Returns
    -------
    dict
        What the help of the verb lists.
    """
    from napari_tileseg.engine import judged_by_engine, route_of

    route = route_of(network)
    values = judged_by_engine(network.spec, route).as_dict()
    geometry = values.pop("geometry")
    return {
        "name": values.pop("name"),
        "architecture": values.pop("architecture"),
        "sha256": network.sha256,
        "ndim": network.spec.ndim,
        **values,
        "normalization": dict(network.spec.norm_counts),
        "engine": {"path": route.kind, "reason": route.reason},
        **{key: geometry[key] for key in ("stride", "halo", "receptive_field", "read")},
    }


def _card(report: dict[str, Any], spec: NetworkSpec) -> Iterator[tuple[str, str]]:
    from napari_tileseg.engine import Route

    yield "network", f"{report['name']} ({report['architecture']}, {report['parameters']:,} parameters)"
    yield "sha256", report["sha256"]
    named = f" ({', '.join(spec.channel_names)})" if spec.channel_names else ""
    yield (
        "channels",
        f"{report['in_channels']} in{named}, {report['out_channels']} out: {', '.join(report['classes'])}",
    )
    layers = (f"{count} {kind}" for kind, count in report["normalization"].items())
    yield "normalization", ", ".join(layers) or "none"
    yield "intensities", spec.input_normalization.words
    yield "axes", f"{report['axes']}, stride {_by_axis(report['stride'])}"
    yield "halo", _halo(report)
    if report["voxel_size"]:
        yield "trained at", f"{' x '.join(f'{size:g}' for size in report['voxel_size'])} um"
    if spec.resampling is not None:
        yield "resampled", spec.resampling.words
    yield "seam-free", f"{'yes' if report['seam_free'] else 'no'}: {report['reason']}"
    yield "tiles", Route(report["engine"]["path"], report["engine"]["reason"]).words
    if spec.self_test is not None:
        yield "test", spec.self_test.words
    for note in report["notes"]:
        yield "note", note


def _halo(report: dict[str, Any]) -> str:
    in_use = " x ".join(str(a) if a == b else f"{a}:{b}" for a, b in report["default_halo"])
    if report["halo"] is None:
        return f"unbounded: every voxel sees the whole tile; {in_use} voxels by default"
    return f"{in_use} voxels"


def _by_axis(values: tuple[int, ...]) -> str:
    return " x ".join(map(str, values))
