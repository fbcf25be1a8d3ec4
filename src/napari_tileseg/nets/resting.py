"""Making a module ready for use: evaluated, without gradients, and one that can be copied."""

from __future__ import annotations

import inspect
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from napari_tileseg.errors import NetworkError, reason_of


def at_rest(module: nn.Module) -> nn.Module:
    """Return the module itself, in evaluation mode and without gradients.

    Raises
    ------
    NetworkError
        If it cannot be put into evaluation mode, or takes other than one input.
    """
    try:
        module = module.eval()
    except NotImplementedError as error:
        raise NetworkError(
            f"A module that can be switched to evaluation was expected; this one cannot be ({error}). Give "
            "the network that it was exported from."
        ) from error
    _check_inputs(module)
    # One by one: TorchScript refuses requires_grad_ on the whole.
    for weight in module.parameters():
        weight.requires_grad_(False)
    _detach_computed(module)
    return module


def copied(module: nn.Module) -> nn.Module:
    """Return a copy of a module that shares nothing with it.

    Raises
    ------
    NetworkError
        If it holds what cannot be copied.
    """
    try:
        with torch.no_grad():  # or the copies of TorchScript's weights would be no leaves
            return deepcopy(module)
    except Exception as error:
        raise NetworkError(
            f"The network should be one that can be copied; copying it fails ({reason_of(error)}). Leave out "
            "of the module what is neither layer nor weight."
        ) from error


def _detach_computed(module: nn.Module) -> None:
    """Let go of how tensors were computed that layers hold beside their weights, which cannot be copied.

    Such is the weight of the older ``torch.nn.utils.weight_norm``, computed anew at every run.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return
    for part in module.modules():
        for name, value in list(vars(part).items()):
            if isinstance(value, torch.Tensor) and value.grad_fn is not None:
                setattr(part, name, value.detach())


def _check_inputs(module: nn.Module) -> None:
    """Raise `NetworkError` where a network wants more than one input, or none, as far as that shows."""
    names = _required_inputs(module)
    if names is not None and len(names) != 1:
        named = f" ({', '.join(names)})" if names else ""
        raise NetworkError(
            f"A network should take one image; this one takes {len(names) or 'no'} inputs{named}. Wrap it so "
            "that it takes its image alone, such as one tensor of several channels."
        )


def _required_inputs(module: nn.Module) -> list[str] | None:
    """Return the names of the inputs without which a module does not run; None where it does not say."""
    if isinstance(module, torch.jit.ScriptModule):
        schema = getattr(module.forward, "schema", None)
        arguments: list[Any] = [] if schema is None else list(schema.arguments)[1:]
        return None if schema is None else [each.name for each in arguments if not each.has_default_value()]
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(each.kind in {each.VAR_POSITIONAL, each.VAR_KEYWORD} for each in parameters):
        return None
    return [each.name for each in parameters if each.default is each.empty]
