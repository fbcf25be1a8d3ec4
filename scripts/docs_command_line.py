"""Write the reference of the command line into the documentation, from the commands themselves.

A hook of MkDocs: in a page, the line ``[[commands]]`` stands for all verbs with their flags, and
``[[exit codes]]`` for the errors with their exit codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import getdoc, isclass
from typing import Any

import click

from napari_tileseg import errors
from napari_tileseg.cli import main


def on_page_markdown(markdown: str, **_context: Any) -> str:
    """Replace the two lines in a page."""
    for line, write in {"[[commands]]": _commands, "[[exit codes]]": _exit_codes}.items():
        if line in markdown:
            markdown = markdown.replace(line, "\n".join(write()))
    return markdown


def _commands() -> Iterator[str]:
    for name, verb in main.commands.items():
        context = click.Context(verb, info_name=f"tileseg {name}")
        yield f"## tileseg {name}\n"
        yield f"```text\n{' '.join([context.command_path, *verb.collect_usage_pieces(context)])}\n```\n"
        yield f"{_prose(verb.help or '')}\n"
        yield "| flag | meaning |\n|---|---|"
        for parameter in verb.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None:
                flag, meaning = (_cell(text) for text in record)
                yield f"| `{flag}` | {meaning} |"
        yield ""


def _prose(text: str) -> str:
    """Drop the marks that click takes for itself."""
    return text.replace("\b", "")


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
