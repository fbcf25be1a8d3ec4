"""``tileseg networks``: the networks that come with the program."""

from __future__ import annotations

from hashlib import sha256

import click

from napari_tileseg.cli.answers import answer, columns, json_option


@click.command()
@json_option
def networks(as_json: bool) -> None:
    """List the networks that come with the program.

    With --json: networks, a list of objects with reference (sample:NAME, to be written for NETWORK), title,
    description, path and sha256.
    """
    from napari_tileseg.samples.networks import sample_networks

    shipped = sample_networks()
    report = [
        {
            "reference": f"sample:{each.name}",
            "title": each.title,
            "description": each.description,
            "path": str(each.path),
            "sha256": sha256(each.path.read_bytes()).hexdigest(),
        }
        for each in shipped
    ]
    lines = columns((f"sample:{each.name}", each.description) for each in shipped)
    answer({"networks": report}, lines, as_json=as_json)
