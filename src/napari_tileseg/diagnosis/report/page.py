"""A report as one HTML page that holds its pictures, and as JSON."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg._files import json_text, write_bytes
from napari_tileseg.errors import StoreError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE, VALUES = "report.html", "report.json"
_DPI = 110
_CSS = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 60rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.verdict { border: 2px solid; border-left-width: .6rem; padding: .6rem 1rem; font-weight: 600; }
.good { border-color: #0072B2; } .bad { border-color: #D55E00; border-style: double; border-width: 4px;
        border-left-width: .6rem; }
table { border-collapse: collapse; } th, td { padding: .25rem .8rem; border-bottom: 1px solid #ccc; }
td { text-align: right; font-variant-numeric: tabular-nums; } td:first-child, th { text-align: left; }
img { max-width: 100%; height: auto; }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under headings; the first column names the rows."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Section:
    """A part of a report.

    Parameters
    ----------
    title : str
        Its heading.
    text : tuple of str
        Paragraphs.
    table : Table, optional
        After the text.
    figure : Figure, optional
        After the table.
    alt : str
        The figure in words, for who cannot see it.
    """

    title: str
    text: tuple[str, ...] = ()
    table: Table | None = None
    figure: Figure | None = None
    alt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result in words; `good` only chooses how it is framed."""

    words: str
    good: bool


def html_page(title: str, verdict: Verdict | None, sections: Iterable[Section]) -> str:
    """Write a page that needs no other file and no connection."""
    return "\n".join(_page(title, verdict, sections)) + "\n"


def _page(title: str, verdict: Verdict | None, sections: Iterable[Section]) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>"
    if verdict is not None:
        kind, sign = ("good", "\N{CHECK MARK}") if verdict.good else ("bad", "\N{BALLOT X}")
        yield f'<p class="verdict {kind}">{sign} {escape(verdict.words)}</p>'
    for section in sections:
        yield from _section(section)
    yield "</body>\n</html>"


def _section(section: Section) -> Iterator[str]:
    yield f"<h2>{escape(section.title)}</h2>"
    for paragraph in section.text:
        yield f"<p>{escape(paragraph)}</p>"
    if section.table is not None:
        yield f"<table>\n<tr>{_cells('th', section.table.headings)}</tr>"
        for row in section.table.rows:
            yield f"<tr>{_cells('td', row)}</tr>"
        yield "</table>"
    if section.figure is not None:
        data = b64encode(png(section.figure)).decode("ascii")
        yield f'<p><img alt="{escape(section.alt)}" src="data:image/png;base64,{data}"></p>'


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)


def png(figure: Figure) -> bytes:
    """Encode a figure as PNG; the same figure gives the same bytes."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return file.getvalue()


def write_page(
    folder: Path,
    title: str,
    verdict: Verdict | None,
    sections: Sequence[Section],
    values: dict[str, Any],
    *,
    pictures: bool = False,
) -> Path:
    """Write a report into a folder; one that is there already is replaced.

    Parameters
    ----------
    folder : Path
        Where; made if absent.
    title, verdict, sections
        What the page holds.
    values : dict
        Plain values for the JSON beside it.
    pictures : bool
        Whether to write each figure to a PNG file, too.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / VALUES, json_text(values, indent=2).encode() + b"\n")
        for section in sections:
            if pictures and section.figure is not None:
                name = section.title.lower().replace(" ", "-")
                write_bytes(folder / f"{name}.png", png(section.figure))
        write_bytes(folder / PAGE, html_page(title, verdict, sections).encode())
    except OSError as error:
        raise StoreError(
            f"The report should go into a folder that can be written to; {folder} cannot: "
            f"{error.strerror or error}. Choose another folder."
        ) from error
    return folder / PAGE
