"""Whether tiles can show, by the way in which they will be computed."""

from __future__ import annotations

from dataclasses import replace

from napari_tileseg.engine.engine import Route
from napari_tileseg.nets.spec import NetworkSpec


def judged_by_engine(spec: NetworkSpec, route: Route | None) -> NetworkSpec:
    """Return a network's spec with the verdict on its tiles for the engine that computes them.

    A network is measured in tiles that know nothing of the image around them. Computed region by region, each
    feature map is taken from where it lies in the whole image: what depends on the position there is no seam.

    Parameters
    ----------
    spec : NetworkSpec
        What is known of the network.
    route : Route, optional
        How its tiles are computed; None where that is not known yet.
    """
    if spec.seam_free or route is None or route.kind != "regions":
        return spec
    return replace(
        spec,
        seam_free=True,
        reason="Tiles are computed region by region, from what each needs of the whole image, and equal it. "
        f"Computed whole they would not: {spec.reason}",
        seam_layers=(),
        seam_cause="",
    )
