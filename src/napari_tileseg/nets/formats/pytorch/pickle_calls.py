"""What a pickle calls, found without opening it.

Programs call functions and classes by name, and names are short. Whatever else a pickle calls is refused
here, in words of our own, so that what it holds is neither built nor quoted.
"""

from __future__ import annotations

import pickletools
from typing import Any

#: Letters of a name.
_LONGEST_NAME = 500
#: Steps whose result may be a class: old files hand over that of a network in a mark of its own.
_NAMING = ("STACK_GLOBAL", "BINPERSID")
_CALLS = ("REDUCE", "NEWOBJ")
_KEEP, _FETCH = ("BINPUT", "LONG_BINPUT"), ("BINGET", "LONG_BINGET")
_MARK = pickletools.markobject


def why_odd(file: Any) -> str:
    """Say why a pickle is none that a program wrote for its weights; "" if it may be.

    Parameters
    ----------
    file : file
        Where the pickle starts; read to its end.

    Raises
    ------
    Exception
        Whatever damaged bytes lead to.
    """
    machine = _Stack()
    for operation, argument, _ in pickletools.genops(file):
        if operation.name == "GLOBAL" and len(str(argument)) > _LONGEST_NAME:
            return f"a name in it has {len(str(argument))} letters"
        if not machine.does(operation, argument):
            return "it calls what is no name"
    return ""


class _Stack:
    """Of the objects that unpickling would make, whether each is what a name stands for."""

    def __init__(self) -> None:
        self._named: list[bool | None] = []
        self._kept: dict[Any, bool] = {}

    def does(self, operation: pickletools.OpcodeInfo, argument: Any) -> bool:
        """Follow one step; False if it calls something that no name stands for."""
        if operation.name in _KEEP:
            self._kept[argument] = bool(self._named[-1])
        elif operation.name in _FETCH:
            self._named.append(self._kept.get(argument, False))
        elif operation.name == "MEMOIZE":
            self._kept[len(self._kept)] = bool(self._named[-1])
        elif operation.name == "GLOBAL":
            self._named.append(True)
        elif operation.name == "MARK":
            self._named.append(None)
        else:
            called = self._named[-2] if operation.name in _CALLS else True
            self._step(operation)
            if operation.name in _NAMING:
                self._named[-1] = True
            return bool(called)
        return True

    def _step(self, operation: pickletools.OpcodeInfo) -> None:
        before = operation.stack_before
        if _MARK in before:
            while self._named.pop() is not None:
                pass
            before = before[: before.index(_MARK)]
        if before:
            del self._named[-len(before) :]
        self._named.extend(False for _ in operation.stack_after)
