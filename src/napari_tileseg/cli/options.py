"""Flags of the command line, derived from the settings classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeAlias

import click

from napari_tileseg.errors import SettingsError
from napari_tileseg.settings import Knob, knobs

Verb: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Some settings of a class, for a verb that does not use the others.

    Parameters
    ----------
    settings : type
        The class.
    names : tuple of str
        Names of its settings that become flags.
    """

    settings: type[Any]
    names: tuple[str, ...]

    @classmethod
    def without(cls, settings: type[Any], *names: str) -> Part:
        """Return all settings of a class but some."""
        return cls(settings, tuple(each.name for each in knobs(settings) if each.name not in names))


class KnobType(click.ParamType[Any]):
    """Text of a flag, read and checked by the knob that the flag stands for."""

    def __init__(self, knob: Knob) -> None:
        self.knob = knob
        self.name = knob.kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value of the knob, or raise a usage error that names what was expected."""
        if not isinstance(value, str):
            return value
        try:
            return self.knob.parse(value)
        except SettingsError as error:
            self.fail(str(error), param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what stands for the value in the help."""
        del param, ctx
        if self.knob.choices:
            return f"[{'|'.join(self.knob.choices)}]"
        return _METAVARS[self.knob.kind]


_METAVARS = {
    "int": "N",
    "float": "X",
    "text": "TEXT",
    "ints": "N,N,...",
    "floats": "X,X,...",
    "pairs": "A:B,A:B,...",
    "map": "VALUE=CLASS,...",
}


def knob_option(knob: Knob) -> Callable[[Verb], Verb]:
    """Return the flag of one knob; a flag that is not given is None, and leaves the knob at its default."""
    if knob.kind == "flag":
        off = f"--no-{knob.flag.removeprefix('--')}"
        return click.option(f"{knob.flag}/{off}", knob.name, default=None, help=_help(knob))
    return click.option(knob.flag, knob.name, type=KnobType(knob), default=None, help=_help(knob))


def _help(knob: Knob) -> str:
    """Return the sentence, unit, range and default of a knob."""
    about = [knob.bounds] if knob.bounds else []
    if knob.default is not None:
        about.append(f"default: {knob.format(knob.default)}")
    return f"{knob.help}  [{'; '.join(about)}]" if about else knob.help


def takes_settings(**classes: type[Any] | Part) -> Callable[[Verb], Verb]:
    """Give a verb the flags of settings classes, and call it with the settings themselves.

    Parameters
    ----------
    **classes : type or Part
        Parameter of the verb to the settings class, or the part of one, that it takes.

    Returns
    -------
    callable
        Decorator, to be applied below ``click.command``.
    """

    def decorate(verb: Verb) -> Verb:
        @wraps(verb)
        def with_settings(**given: Any) -> Any:
            settings = {name: _taken(cls, given) for name, cls in classes.items()}
            return verb(**settings, **given)

        decorated: Verb = with_settings
        for each in reversed([each for cls in classes.values() for each in _knobs(cls)]):
            decorated = knob_option(each)(decorated)
        return decorated

    return decorate


def _knobs(cls: type[Any] | Part) -> tuple[Knob, ...]:
    if isinstance(cls, Part):
        return tuple(each for each in knobs(cls.settings) if each.name in cls.names)
    return knobs(cls)


def _taken(cls: type[Any] | Part, given: dict[str, Any]) -> Any:
    """Return the settings of a class from the flags that were given, which are taken out of `given`."""
    flags = {each.name: given.pop(each.name) for each in _knobs(cls)}
    made = cls.settings if isinstance(cls, Part) else cls
    return made(**{name: value for name, value in flags.items() if value is not None})
