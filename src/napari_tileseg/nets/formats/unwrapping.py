"""Finding a network's weights in what a trainer wrote: under its key, behind its prefixes, beside others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import getitem
from typing import Any, TypeAlias

from torch import Tensor

from napari_tileseg._words import few
from napari_tileseg.errors import NetworkError

#: Keys of weights, the likeliest first; others are looked at too.
_WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "network_weights",
    "model",
    "net",
    "network",
    "weights",
    "module",
    "params",
)
#: How deep mappings may lie in each other, and how many of them are looked at.
_DEPTH, _MOST = 4, 200
#: What trainers put before names, and wrapping a network for devices, one after the other.
_USUAL = re.compile(r"((model|net|network|module)\.)*")
#: What `torch.compile` puts before names, and between their parts where it compiled a part.
_COMPILED = "_orig_mod."
#: BatchNorm counts its batches since PyTorch 0.4; the count plays no part in prediction.
OPTIONAL = "num_batches_tracked"
#: What is trained beside a network, as its names begin.
_BESIDE = re.compile(r"(\w*_)?(loss|losses|criterion|criteria|objective|metric|metrics)(_?\w*)")
_NAMED = 5
#: Keys from the outside, and the weights that lie there.
_Set: TypeAlias = tuple[tuple[str, ...], Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Found:
    """Weights in what was loaded.

    Parameters
    ----------
    keys : tuple of str
        Under which they lie, from the outside.
    prefix : str
        Before each of their names.
    aside : tuple of str
        Names there that are no part of the network.
    compiled : bool
        Whether names have parts there that only `torch.compile` puts into them.
    """

    keys: tuple[str, ...] = ()
    prefix: str = ""
    aside: tuple[str, ...] = ()
    compiled: bool = False

    def take(self, loaded: Mapping[Any, Any]) -> dict[str, Tensor]:
        """Return the weights by the names that the network gives them."""
        for key in self.keys:
            loaded = loaded[key]
        aside = {*self.aside}
        return {n.removeprefix(self.prefix): tensor for n, tensor in _plain(loaded).items() if n not in aside}

    def notes(self) -> tuple[str, ...]:
        """Return what was taken off, as a sentence for the user; none if nothing was."""
        where = f"under {'/'.join(map(repr, self.keys))}" if self.keys else ""
        behind = f"behind {self.prefix!r}" if self.prefix else ""
        compiled = f"behind {_COMPILED!r} of torch.compile" if self.compiled else ""
        found = " and ".join(each for each in (where, behind, compiled) if each)
        notes = [f"The weights were found {found}."] if found else []
        if self.aside:
            notes.append(
                f"Beside the weights, and no part of the network, set aside: {few(self.aside, _NAMED)}."
            )
        return tuple(notes)


def find_weights(loaded: Any, wanted: Mapping[str, Tensor], source: str) -> Found:
    """Return where the weights that a network wants are in what was loaded.

    Parameters
    ----------
    loaded : object
        What the file holds; tensors need no memory, for only names and shapes count.
    wanted : mapping
        The network's own names and shapes.
    source : str
        The file, for messages.

    Returns
    -------
    Found
        What fits; else the likeliest, so that the caller can say what does not.

    Raises
    ------
    NetworkError
        If there are no weights, or several that fit alike.
    """
    sets = sorted(_sets_of_tensors(loaded), key=_likeliness)[:_MOST]
    if not sets:
        raise NetworkError(_nothing_found(loaded, source))
    found = _fitting(sets, wanted, source) or Found(sets[0][0], _likely_prefix(sets[0][1], wanted))
    compiled = any(_COMPILED in name for name in reduce(getitem, found.keys, loaded))
    return replace(found, compiled=compiled)


def _fitting(sets: Sequence[_Set], wanted: Mapping[str, Tensor], source: str) -> Found | None:
    """Return the likeliest weights that fit; None if none do."""
    for usual in (True, False):
        fitting = [found for keys, names in sets for found in _fits(keys, names, wanted, usual)]
        likely = [each for each in fitting if _rank(each.keys) == _rank(fitting[0].keys)]
        if len(likely) > 1:
            raise NetworkError(
                f"{source} holds several sets of weights that fit: {'; '.join(map(_name, likely[:_NAMED]))}. "
                "Write the one that you want alone: torch.save(network.state_dict(), path)."
            )
        if likely:
            return likely[0]
    return None


def _sets_of_tensors(loaded: Any, keys: tuple[str, ...] = ()) -> Iterator[_Set]:
    """Yield the mappings of names to tensors alone, with the keys that lead there."""
    if not isinstance(loaded, Mapping) or not loaded or not all(isinstance(key, str) for key in loaded):
        return
    plain = _plain(loaded)
    if len(plain) == len(loaded):
        yield keys, plain
    elif len(keys) < _DEPTH:
        for key, value in loaded.items():
            yield from _sets_of_tensors(value, (*keys, key))


def _plain(loaded: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Return the tensors by name, without what `torch.compile` puts between the parts of a name."""
    return {key.replace(_COMPILED, ""): value for key, value in loaded.items() if isinstance(value, Tensor)}


def _rank(keys: Sequence[str]) -> list[int]:
    return [_WRAPPERS.index(key) if key in _WRAPPERS else len(_WRAPPERS) for key in keys]


def _likeliness(found: _Set) -> tuple[list[int], int]:
    keys, names = found
    return _rank(keys), -len(names)


def _fits(
    keys: tuple[str, ...], names: Mapping[str, Tensor], wanted: Mapping[str, Tensor], usual: bool
) -> Iterator[Found]:
    """Yield the ways in which all that is wanted is there, with its shape."""
    needed = [name for name in wanted if not name.endswith(OPTIONAL)] or list(wanted)
    anchor = max(needed, key=len, default="")
    prefixes = {n[: len(n) - len(anchor)] for n in names if n.endswith(anchor)}
    for prefix in sorted(prefixes, key=len):
        if bool(_USUAL.fullmatch(prefix)) is not usual or (prefix and not prefix.endswith(".")):
            continue
        if all(_same(names.get(prefix + name), wanted[name]) for name in needed):
            extra = [n for n in names if n.removeprefix(prefix) not in wanted or not n.startswith(prefix)]
            if all(_is_beside(name, prefix) for name in extra):
                yield Found(keys, prefix, tuple(extra))


def _same(found: Tensor | None, wanted: Tensor) -> bool:
    return found is not None and found.shape == wanted.shape


def _is_beside(name: str, prefix: str) -> bool:
    """Return whether a tensor that the network does not have belongs to something else than the network."""
    if not name.startswith(prefix):
        return True
    return bool(_BESIDE.fullmatch(name.removeprefix(prefix).partition(".")[0]))


def _likely_prefix(names: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Return the usual prefixes that all names have, unless more of them are wanted as they are."""
    prefix = _shared_prefix(names)
    with_it, without = (sum(name.removeprefix(each) in wanted for name in names) for each in ("", prefix))
    return "" if with_it > without else prefix


def _shared_prefix(names: Mapping[str, Tensor]) -> str:
    """Return the usual prefixes that all names have."""
    found = _USUAL.match(next(iter(names)))
    prefix = found[0] if found else ""
    while prefix and not all(name.startswith(prefix) for name in names):
        prefix = prefix[: prefix[:-1].rfind(".") + 1]
    return prefix


def _nothing_found(loaded: Any, source: str) -> str:
    advice = "Write the weights alone, where they were trained: torch.save(network.state_dict(), path)."
    if isinstance(loaded, Mapping) and loaded:
        others = [(key, value) for key, value in loaded.items() if not isinstance(value, Tensor)]
        got = few([f"{str(key)[:60]!r} ({_kind(value)})" for key, value in others], _NAMED)
        return f"{source} should hold names of weights to tensors alone; got {got}. {advice}"
    came = "an empty dict" if isinstance(loaded, Mapping) else _kind(loaded)
    return f"{source} should hold a state dict (names of weights to tensors); got {came}. {advice}"


def _kind(value: Any) -> str:
    return "a mapping" if isinstance(value, Mapping) else type(value).__name__


def _name(found: Found) -> str:
    return "/".join((*found.keys, found.prefix)) or "those at the top"
