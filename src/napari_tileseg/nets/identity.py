"""What a module computes, as a hash: its code, its configuration, its weights, and its description."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import nn

from napari_tileseg.errors import NetworkError, answering

#: What every module has, and what does not decide what it computes in evaluation.
_HELD = frozenset({"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "training"})
_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)


def sha256_of(module: nn.Module, text: str) -> str:
    """Return the hash of a module in memory and of its description.

    Weights alone do not say what is computed with them. So each layer's class counts with its code, and each
    attribute with its value; what cannot be looked into counts as itself, and is the same in this process
    only.

    Parameters
    ----------
    module : torch.nn.Module
        The module.
    text : str
        Its description.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(text.encode())
    for name, values in module.state_dict().items():
        digest.update(name.encode())
        digest.update(_bytes_of(values))
    _add_code(digest, module)
    return digest.hexdigest()


def sha256_of_layers(module: nn.Module) -> str:
    """Return the hash of all that decides what a module computes, but the numbers in its weights.

    Parameters
    ----------
    module : torch.nn.Module
        The module.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, values in module.state_dict().items():
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
    _add_code(digest, module)
    return digest.hexdigest()


def _add_code(digest: Any, module: nn.Module) -> None:
    """Add the code of a module's layers to a digest, and their attributes."""
    code = {cls: _code_of_class(cls) for cls in dict.fromkeys(map(type, module.modules()))}
    for path, part in module.named_modules():
        digest.update(f"{path} {code[type(part)]} {' '.join(_written(part))}".encode())


def _bytes_of(values: torch.Tensor) -> Any:
    return values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _written(part: nn.Module) -> Iterator[str]:
    """Yield code that a module brings along, and its own attributes."""
    for name in ("code", "inlined_graph"):
        # TorchScript and traced graphs share one class, whatever they compute.
        if isinstance(part, (torch.jit.ScriptModule, torch.fx.GraphModule)):
            # Unlike other attributes, those of TorchScript are read from its archive, which may be damaged.
            with answering(NetworkError, "The TorchScript file is damaged", "Copy it again."):
                code = str(getattr(part, name, ""))
            if code:
                yield code
    for name, value in sorted(vars(part).items()):
        if name not in _HELD:
            yield f"{name}={_text_of(value)}"


def _code_of_class(cls: type) -> str:
    """Name and functions of a class, and of those that it derives from."""
    own = [base for base in cls.__mro__ if base not in {object, nn.Module}]
    named = (f"{base.__module__}.{base.__qualname__}" for base in own)
    return " ".join((*named, *(_text_of(function) for base in own for function in _functions(base))))


def _functions(cls: type) -> Iterator[FunctionType]:
    for value in vars(cls).values():
        found = getattr(value, "fget", getattr(value, "__func__", value))
        if isinstance(found, FunctionType):
            yield found


def _text_of(value: Any) -> str:
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(_bytes_of(value)).hexdigest()
    if isinstance(value, Mapping):
        return str([(str(key), _text_of(each)) for key, each in value.items()])
    if isinstance(value, (tuple, list)):
        return str([_text_of(each) for each in value])
    if isinstance(value, (set, frozenset)):
        # Their order is another one in each process.
        return str(sorted(map(_text_of, value)))
    if isinstance(value, FunctionType):
        inside = [value.__closure__ and inspect.getclosurevars(value).nonlocals, value.__defaults__]
        return f"{value.__name__} {_text_of(value.__code__)} {_text_of(inside)}"
    if isinstance(value, CodeType):
        return f"{value.co_code!r} {value.co_names} {[_text_of(each) for each in value.co_consts]}"
    return f"{type(value).__qualname__} {value!r}"
