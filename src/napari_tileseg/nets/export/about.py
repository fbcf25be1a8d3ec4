"""What a person says of a network that is given to others, and what is said of it in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from napari_tileseg._words import by_axis
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.network import Network

#: Letters that a name of bioimage.io may have, and how many.
_STRANGE, _LONGEST, _SHORTEST = re.compile(r"[^A-Za-z0-9_+\- ()]+"), 128, 5
#: A licence as the list of SPDX writes it.
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a person says of a network that is given to others.

    Parameters
    ----------
    authors : tuple of str
        Names of the people who made it.
    license : str
        Identifier of SPDX, such as ``CC-BY-4.0`` or ``MIT``.
    description : str
        A sentence: what it finds in which images. Made from what is known of it by default.
    citations : tuple of str
        Works to cite, each as a text with a DOI or an address in it.

    Raises
    ------
    NetworkError
        If the licence is no identifier of SPDX, or a citation has neither DOI nor address.
    """

    authors: tuple[str, ...] = ()
    license: str = "CC-BY-4.0"
    description: str = ""
    citations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _SPDX.fullmatch(self.license):
            raise NetworkError(
                f"A licence is an identifier of SPDX, such as CC-BY-4.0, MIT or BSD-3-Clause; got "
                f"{self.license[:60]!r}."
            )
        for each in self.citations:
            cited(each)


def cited(text: str) -> dict[str, str]:
    """Return an entry of ``cite``: a text, and the DOI or the address in it.

    Raises
    ------
    NetworkError
        If it has neither.
    """
    doi = re.search(r"10\.\d{4,9}/[^\s,;]+", text)
    address = re.search(r"https?://\S+", text)
    if doi:
        return {"text": text, "doi": doi[0].rstrip(".")}
    if address:
        return {"text": text, "url": address[0].rstrip(".,;")}
    raise NetworkError(
        f"A citation holds a DOI, such as 10.1000/182, or an address that starts with https://; got "
        f"{text[:80]!r}."
    )


def plain_name(name: str) -> str:
    """Return a name that bioimage.io takes: 5 to 128 letters, numbers, blanks and signs."""
    plain = " ".join(_STRANGE.sub(" ", name).split())[:_LONGEST].strip()
    return plain if len(plain) >= _SHORTEST else f"network {plain}".strip()


def sentence_on(network: Network) -> str:
    """Return what is known of a network in one sentence, where nobody wrote one."""
    spec = network.spec
    dimension = {1: "lines", 2: "images", 3: "volumes"}[spec.ndim]
    return f"Segments {dimension} of {spec.in_channels} channels into {', '.join(spec.classes)}."


def documentation(network: Network, about: About, notes: Sequence[str]) -> str:
    """Return the page of a package, as Markdown.

    Parameters
    ----------
    network : Network
        The opened network.
    about : About
        What a person says of it.
    notes : sequence of str
        A sentence for each thing that the format does not say.
    """
    lines = [f"# {network.spec.name}", "", about.description or sentence_on(network), "", "## In use", ""]
    lines += [f"- {each}" for each in (*_facts(network), *notes)]
    lines += ["", "## Validation", ""]
    lines += [
        "`test_input.npy` gives `test_output.npy`. Check it on images of your own, with labels that it has "
        "not learned from: Dice of each class, and F1 of objects at an intersection over union of 0.5.",
        "",
        f"Exported by napari-tileseg from the network of SHA-256 `{network.sha256 or 'unknown'}`.",
        "",
    ]
    return "\n".join(lines)


def _facts(network: Network) -> Iterator[str]:
    spec = network.spec
    yield f"Input: {spec.in_channels} channels{_named(spec.channel_names)} of {', '.join(spec.axes)}."
    yield f"Output: probabilities of {', '.join(spec.classes)}."
    yield from remarks(network)


def remarks(network: Network) -> Iterator[str]:
    """Yield what whoever computes with a network has to know, a sentence each."""
    spec = network.spec
    yield f"Intensities: {spec.input_normalization.words}."
    if spec.voxel_size:
        trained = by_axis([f"{size:g}" for size in spec.voxel_size])
        resampled = f" ({spec.resampling.words})" if spec.resampling is not None else ""
        yield f"Voxel size in training: {trained} um. Bring images to it first{resampled}."
    sizes = spec.padded_sizes
    if sizes.fixed:
        yield f"Takes images of {by_axis(sizes.minimum)} voxels only."
    else:
        yield f"Takes images of {by_axis(sizes.minimum)} voxels and more, in steps of {by_axis(sizes.step)}."
    if spec.seam_free:
        halo = by_axis([max(sides) for sides in spec.default_halo])
        yield (
            f"Tiles with a halo of {halo} voxels, whose starts lie on multiples of "
            f"{by_axis(spec.geometry.stride)}, give what the whole image gives."
        )
    yield from unsaid(network)


def unsaid(network: Network) -> Iterator[str]:
    """Yield what no format says of a network, a sentence each."""
    if not network.spec.seam_free:
        yield f"Tiles make seams: {network.spec.reason[:1].lower()}{network.spec.reason[1:]}"
    if network.mirroring is not None:
        yield "Its package asks to average over mirrored copies of the image, which is not part of this."


def _named(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""
