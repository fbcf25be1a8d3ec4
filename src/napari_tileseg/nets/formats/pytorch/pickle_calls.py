"""What a pickle calls, found without opening it.

Programs call functions and classes by name, and names are short. Whatever else a pickle calls is refused
here, in words of our own, so that what it holds is neither built nor quoted. So is what takes longer to
follow than the names of any network's weights.
"""

from __future__ import annotations

import pickle
import pickletools
from dataclasses import dataclass
from typing import Any

#: Letters of a name.
_LONGEST_NAME = 500
#: Steps of a pickle, which has about forty for each tensor, and objects that wait to be put into others:
#: at most a thousand pairs of a mapping at once.
_MOST_STEPS, _MOST_WAITING = 2**20, 2**14
#: Steps whose result may be a class: old files hand over that of a network in a mark of its own.
_NAMING = ("GLOBAL", "STACK_GLOBAL", "BINPERSID")
_CALLS = ("REDUCE", "NEWOBJ")
_KEEP, _FETCH = ("BINPUT", "LONG_BINPUT", "MEMOIZE"), ("BINGET", "LONG_BINGET")


def why_odd(file: Any) -> str:
    """Say why a pickle is none that a program wrote for its weights; "" if it may be.

    Parameters
    ----------
    file : file
        Where the pickle starts; read to its end.

    Raises
    ------
    pickle.UnpicklingError
        If it is longer, or nested deeper, than the names of weights.
    Exception
        Whatever damaged bytes lead to.
    """
    stack = _Stack()
    for step, (operation, argument, _) in enumerate(pickletools.genops(file)):
        if step >= _MOST_STEPS or len(stack) > _MOST_WAITING:
            raise pickle.UnpicklingError("it has more than weights have names")
        if operation.name == "GLOBAL" and len(str(argument)) > _LONGEST_NAME:
            return f"a name in it has {len(str(argument))} letters"
        if not stack.does(_EFFECTS[operation.name], argument):
            return "it calls what is no name"
    return ""


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a step does to the stack: takes all down to a mark, then so many objects, and adds some."""

    to_mark: bool
    taken: int
    added: tuple[bool | None, ...]
    calls: bool
    keeps: bool
    fetches: bool


def _effect(operation: pickletools.OpcodeInfo) -> _Effect:
    before, name = operation.stack_before, operation.name
    to_mark = pickletools.markobject in before
    taken = before.index(pickletools.markobject) if to_mark else len(before)
    added: tuple[bool | None, ...] = tuple(name in _NAMING for _ in operation.stack_after)
    if name == "MARK":
        added = (None,)
    if name in _KEEP:
        taken, added = 0, ()
    return _Effect(to_mark, taken, added, name in _CALLS, name in _KEEP, name in _FETCH)


_EFFECTS = {operation.name: _effect(operation) for operation in pickletools.opcodes}


class _Stack:
    """Of the objects that unpickling would make, whether each is what a name stands for; None is a mark."""

    def __init__(self) -> None:
        self._named: list[bool | None] = []
        self._kept: dict[Any, bool] = {}

    def __len__(self) -> int:
        return len(self._named)

    def does(self, effect: _Effect, argument: Any) -> bool:
        """Follow one step; False if it calls something that no name stands for."""
        named = self._named
        if effect.keeps:
            # What is kept without a number has the next one.
            self._kept[len(self._kept) if argument is None else argument] = bool(named[-1])
            return True
        if effect.fetches:
            named.append(self._kept.get(argument, False))
            return True
        called = named[-2] if effect.calls else True
        if effect.to_mark:
            while named.pop() is not None:
                pass
        if effect.taken:
            del named[-effect.taken :]
        named += effect.added
        return bool(called)
