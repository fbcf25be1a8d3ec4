"""What a format makes of a package: what is stated of the network, what opening it runs, how it is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.packages.package import ITSELF, Package
from napari_tileseg.nets.self_test.running import SelfTest


@dataclass(frozen=True, slots=True)
class Code:
    """Code that opening a network runs.

    Parameters
    ----------
    what : str
        Where it lies and what it is, as the start of a sentence: "a.pt is a TorchScript file".
    sha256 : str
        Hash of its bytes, by which the user trusts it.
    """

    what: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Given:
    """What is stated beside a package when it is opened.

    Parameters
    ----------
    architecture : str, optional
        The setting architecture: a description as JSON, or the path of one.
    expected : str, optional
        Hash that the network had when it was used before. Where a package can be opened in several ways, the
        way that gives it is taken.
    trusts : callable
        Whether code of a hash may run.
    mirroring : bool
        Whether outputs are averaged over mirrored copies of the input, where a package asks for it.
    """

    architecture: str | None = None
    expected: str | None = None
    trusts: Callable[[str], bool] = lambda _: False
    mirroring: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirroring:
    """Mirrored copies of the image that a package asks to average over.

    Parameters
    ----------
    copies : int
        How many, the image itself included.
    networks : int
        Networks that each of them is run through.
    used : bool
        Whether that is done.
    """

    copies: int
    networks: int
    used: bool

    @property
    def runs(self) -> int:
        """Runs that each voxel takes."""
        return self.networks * (self.copies if self.used else 1)

    @property
    def note(self) -> str:
        """What it costs, as a sentence."""
        return (
            f"Its output is averaged over {self.copies} mirrored copies of the image, as nnU-Net does: each "
            f"voxel takes {self.copies * self.networks} runs. The setting mirroring leaves the copies out."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A network that a package holds: recognised and understood, not built yet.

    Parameters
    ----------
    kind : str
        What it is called where no architecture of ours is named, such as "torchscript".
    description : Description
        What the package states of it, completed by what the user states.
    build : callable
        Returns the module. It runs code only where `code` names some.
    code : Code, optional
        What building it runs; None where it runs nothing.
    members : tuple of str
        Members that decide what is computed, in order; their hash is the network's. The chosen file by
        default.
    outside : str, optional
        Description as JSON that the package does not carry, for the network's reference.
    assumed : str, optional
        What the package does not state and its own test has to prove, as part of a sentence: without that the
        network is not opened.
    self_test : SelfTest, optional
        A test input that the package holds, and its answer.
    notes : tuple of str
        What the user should know beside the description's notes.
    mirroring : Mirroring, optional
        Mirrored copies that it asks for; None where it asks for none.
    """

    kind: str
    description: Description
    build: Callable[[], nn.Module]
    code: Code | None = None
    members: tuple[str, ...] = (ITSELF,)
    outside: str | None = None
    assumed: str | None = None
    self_test: SelfTest | None = None
    notes: tuple[str, ...] = ()
    mirroring: Mirroring | None = None


class Format(Protocol):
    """A module of this folder, or a package of modules, that opens one kind of network."""

    def recognises(self, package: Package) -> bool:
        """Return whether a package is of this kind, by its names and the first bytes of its file."""

    def read(self, package: Package, given: Given) -> Candidate:
        """Return the network in a package that was recognised.

        Nothing is built, and no weight is read, before names, shapes and sizes were held against each other.

        Raises
        ------
        NetworkError
            If it is broken, or needs what there is not here; the message names the kind and the part.
        """
