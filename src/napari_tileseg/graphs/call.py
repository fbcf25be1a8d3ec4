"""One call in an exported graph, with its arguments by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from torch import fx

from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.graphs.layouts.arranged import Arranged
from napari_tileseg.graphs.operations.operation import Operation
from napari_tileseg.graphs.sizes import Size, size_of

#: What a call is: an operation, the feature maps it takes, and the names of its weights.
Made: TypeAlias = tuple[Operation, Sequence[int], Sequence[str]]


class Call:
    """One call in the exported graph, with its arguments by name.

    Parameters
    ----------
    node : torch.fx.Node
        The call.
    values : mapping
        What has been made of the nodes before.
    names : mapping
        Names of weights by the nodes that stand for them.
    image : sequence
        Voxels of the image along each spatial axis.

    Raises
    ------
    NoRuleError
        If its arguments have no names.
    """

    def __init__(
        self,
        node: fx.Node,
        values: Mapping[fx.Node, Any],
        names: Mapping[fx.Node, str],
        image: Sequence[Size],
    ) -> None:
        if not hasattr(node.target, "_schema"):
            # Such as a block of the network that computes in another number format.
            raise NoRuleError(f"there is no rule for its operation {name_of(node.target)}")
        schema = node.target._schema.arguments
        given = dict(zip((each.name for each in schema), node.args, strict=False)) | dict(node.kwargs)
        self.node, self.ndim, self._image = node, len(image), image
        self.arguments: dict[str, Any] = {
            each.name: given.get(each.name, each.default_value) for each in schema
        }
        self._values, self._names = values, names

    def map_of(self, argument: Any) -> int:
        """Return the number of a feature map whose axes are batch, channels and space."""
        value = self.arranged(argument)
        if value.layout.with_batch.is_plain:
            return value.source
        raise NoRuleError(f"its {self.name} takes axes in another order than batch, channels and space")

    def arranged(self, argument: Any) -> Arranged:
        """Return a feature map and the layout in which it is seen."""
        value = self._values.get(argument) if isinstance(argument, fx.Node) else None
        if isinstance(value, Arranged):
            return value
        raise NoRuleError(f"its {self.name} is applied to something other than a feature map")

    def is_map(self, argument: Any) -> bool:
        """Whether an argument is a feature map, in any layout."""
        return isinstance(argument, fx.Node) and isinstance(self._values.get(argument), Arranged)

    @property
    def full_name(self) -> str:
        """Name of the operation in ``torch.ops.aten``, such as ``mean.dim``."""
        return str(self.node.target).removeprefix("aten.")

    def weight(self, argument: Any) -> str:
        """Return the name of a weight."""
        if isinstance(argument, fx.Node) and argument in self._names:
            return self._names[argument]
        raise NoRuleError(f"the weights of its {self.name} depend on the image")

    def weights(self, *arguments: str) -> list[str]:
        """Return the names of the weights that exist."""
        return [self.weight(self.arguments[each]) for each in arguments if self.arguments[each] is not None]

    def ints(self, argument: str) -> tuple[int, ...]:
        """Return an argument with one whole number for each axis; one number stands for all."""
        values = self.arguments[argument]
        numbers = tuple(values) if isinstance(values, (list, tuple)) else (values,)
        if not all(isinstance(n, int) for n in numbers):
            raise NoRuleError(f"the {argument} of its {self.name} depends on the image's size")
        return numbers * self.ndim if len(numbers) == 1 else numbers

    def size(self, argument: Any) -> Size:
        """Return a number, or an expression in the sizes of the image."""
        try:
            return size_of(argument)
        except TypeError as error:
            raise NoRuleError(f"its {self.name} takes a number that depends on the image's values") from error

    def axis_of(self, size: Size) -> int:
        """Return the spatial axis that a size belongs to, which depends on the image's size.

        Raises
        ------
        NoRuleError
            If it depends on the sizes along several axes.
        """
        found = [axis for axis, each in enumerate(self._image) if size.has(each)]
        if len(found) != 1:
            raise NoRuleError(f"its {self.name} makes a tensor of the sizes of several axes")
        return found[0]

    def need_maps(self, dims: Sequence[Any] | Any, allowed: int) -> None:
        """Raise unless the call is along the axis `allowed` alone."""
        found = [dims] if isinstance(dims, int) else list(dims)
        if any(dim % (self.ndim + 2) != allowed for dim in found):
            raise NoRuleError(f"its {self.name} mixes voxels")

    @property
    def name(self) -> str:
        """What to call the operation in a sentence."""
        return name_of(self.node.target)


def name_of(target: Any) -> str:
    """Return what to call an operation of torch in a sentence."""
    text = str(target).removeprefix("<built-in function ").removesuffix(">")
    text = text.removeprefix("aten.").removeprefix("torchvision.")
    return text.partition(".")[0].strip("_")


#: From a call to what it is.
Rule: TypeAlias = Callable[[Call], Made]
