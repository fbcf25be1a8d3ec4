"""Write into the documentation what the code knows of itself.

A hook of MkDocs: in a page, the line ``[[commands]]`` stands for all verbs of the command line with their
flags, ``[[exit codes]]`` for the errors with their exit codes, and ``[[architectures]]`` for the registered
architectures with their arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import Parameter, cleandoc, getdoc, isclass
from typing import Any

import click

from napari_tileseg import errors
from napari_tileseg.cli import main
from napari_tileseg.nets.architectures import registry


def on_page_markdown(markdown: str, **_context: Any) -> str:
    """Replace these lines in a page."""
    for line, write in WRITERS.items():
        if line in markdown:
            markdown = markdown.replace(line, "\n".join(write()))
    return markdown


def _commands() -> Iterator[str]:
    for name, verb in main.commands.items():
        context = click.Context(verb, info_name=f"tileseg {name}")
        yield f"## tileseg {name}\n"
        yield f"```text\n{' '.join([context.command_path, *verb.collect_usage_pieces(context)])}\n```\n"
        yield f"{cleandoc(verb.help or '')}\n"
        yield "| flag | meaning |\n|---|---|"
        for parameter in verb.get_params(context):
            record = parameter.get_help_record(context)
            if isinstance(parameter, click.Option) and record is not None:
                flag, meaning = (_cell(text) for text in record)
                yield f"| `{flag}` | {meaning} |"
        yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _exit_codes() -> Iterator[str]:
    yield "| code | meaning |\n|---|---|\n| 0 | Done. |"
    found = [
        each for each in vars(errors).values() if isclass(each) and issubclass(each, errors.TilesegError)
    ]
    for each in sorted(found, key=lambda each: each.exit_code):
        if "exit_code" in vars(each):
            yield f"| {each.exit_code} | {(getdoc(each) or '').partition(chr(10))[0]} |"
    yield "| 130 | Stopped by Ctrl-C. |"
    yield "| 143 | Stopped by the system, as a cluster does (SIGTERM). |"


def _architectures() -> Iterator[str]:
    yield "| name | arguments |\n|---|---|"
    for name in registry.names():
        taken = (_argument(each) for each in registry.parameters(name).values())
        yield f"| `{name}` | {', '.join(taken)} |"


def _argument(parameter: Parameter) -> str:
    if parameter.default is Parameter.empty:
        return f"`{parameter.name}`"
    default = parameter.default
    return _cell(f"`{parameter.name}={default.__name__ if isclass(default) else repr(default)}`")


WRITERS = {"[[commands]]": _commands, "[[exit codes]]": _exit_codes, "[[architectures]]": _architectures}
