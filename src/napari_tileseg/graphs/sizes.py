"""Numbers that depend on the size of the image, as expressions until an image is at hand."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any, TypeAlias

import torch
from torch import fx

#: A number, or an expression in the graph's symbols for the image's voxels along each axis.
Size: TypeAlias = Any


def size_of(value: Any) -> Size:
    """Return what a size in an exported graph is: a number, or an expression in the sizes of the image.

    Parameters
    ----------
    value : int, float, SymInt, SymFloat or torch.fx.Node
        The size, or the call that computes it.

    Raises
    ------
    TypeError
        If it is neither a number nor one that follows from the sizes of the image.
    """
    if isinstance(value, fx.Node):
        value = value.meta.get("val")
    if isinstance(value, (int, float)):
        return value
    if not isinstance(value, (torch.SymInt, torch.SymFloat)):
        raise TypeError(f"a size was expected, got {type(value).__name__}")
    expression = value.node.expr
    if not expression.is_number:
        return expression
    return int(expression) if isinstance(value, torch.SymInt) else float(expression)


def hint_of(size: Any) -> int:
    """Return the number that a size has for the example with which a network is exported."""
    return size if isinstance(size, int) else int(size.node.hint)


def evaluated(expression: Any, values: Mapping[Any, int]) -> int | float:
    """Return the number that an expression has for given symbols; NaN for a division by nothing."""
    try:
        found = expression.subs(values)
        return int(found) if found.is_integer else float(found)
    except (TypeError, ZeroDivisionError):
        # Such as the distance of two voxels where there is one; a network gets no number there, either.
        return nan
