"""How a verb answers: one JSON object or plain lines on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import click

from napari_tileseg._files import json_text
from napari_tileseg.cli.run.starting import end_at_once, is_the_command, stop_listening


def _anywhere(context: click.Context, parameter: click.Parameter, value: bool) -> bool:
    """Return whether JSON is wanted: the flag may come before the verb, too."""
    del parameter
    return value or bool(context.obj)


json_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=_anywhere,
    help="Answer with one JSON object on stdout.",
)


def answer(report: dict[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Write a verb's answer to stdout.

    Parameters
    ----------
    report : dict
        Plain values; numbers are finite.
    lines : iterable of str
        The same for a person.
    as_json : bool
        Whether to write `report`, as one JSON object, or `lines`.
    """
    stop_listening()
    if as_json:
        click.echo(json_text(report, indent=2 if sys.stdout.isatty() else None))
    else:
        for line in lines:
            click.echo(line)


def fail(message: str, exit_code: int, *, as_json: bool) -> NoReturn:
    """End with an exit code, after ``{"error": message}`` on stdout or the message on stderr."""
    stop_listening()
    if as_json:
        click.echo(json.dumps({"error": message}))
    else:
        click.echo(f"Error: {message}", err=True)
    click.get_current_context().exit(exit_code)


def fail_at_once(message: str, exit_code: int, *, as_json: bool) -> NoReturn:
    """Fail as `fail` does, and end the process at once.

    What libraries have begun and could not finish for want of memory would complain at the usual end of a
    process, after the one sentence that counts.
    """
    if is_the_command():
        end_at_once(message, exit_code, as_json=as_json)
    fail(message, exit_code, as_json=as_json)


def columns(rows: Iterable[tuple[str, str]]) -> Iterable[str]:
    """Return two columns, the second one aligned."""
    listed = list(rows)
    width = max((len(first) for first, _ in listed), default=0)
    return (f"{first:<{width}}  {second}".rstrip() for first, second in listed)


def table(rows: Iterable[tuple[str, ...]]) -> Iterable[str]:
    """Yield aligned columns: the first to the left, the others, which are numbers, to the right."""
    listed = list(rows)
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    for first, *others in listed:
        cells = (f"{text:>{width}}" for text, width in zip(others, widths[1:], strict=True))
        yield "  ".join([f"{first:<{widths[0]}}", *cells])
