"""Measure how packages are built, and print a row of a Markdown table for each.

    python scripts/house_table.py [PACKAGE_FOLDER ...]

Without a folder it measures this package. Everything is counted from syntax trees and tokens, so that nothing
of a package is imported. Its tests, and what it has taken over from others (``_vendor``, ...), are left out.
The columns:

- lines / files: lines of all Python files, and their number;
- function, file: lines of functions, from ``def`` to the last one, and of files;
- folder: most modules in one folder, ``__init__`` left out, and the median of the folders;
- signature: most parameters of a function, ``self`` and ``cls`` left out, and how many functions have more
  than `WIDEST`;
- test : src: lines of the tests over those of the package;
- comments, commented: comments in 1,000 lines, and comments that are statements of Python;
- api: names in the package's ``__init__``: those of its stub, of ``__all__``, or, marked by ``*``, imports;
- dataclasses / classes: classes that a decorator gives their fields, and all of them;
- doc: functions, methods and classes with a public name, wherever they are, that have a docstring;
- raises: such functions with a ``raise`` whose docstring mentions it, of all with a ``raise``;
- shape / unit: such functions that take or give arrays and whose docstring names a shape, or a unit, as far
  as regular expressions see it;
- docstrings: their share of the lines;
- public classes: in 1,000 lines;
- patched: private names that tests replace by ``monkeypatch.setattr``.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "napari_tileseg"
#: Parameters that a signature should have at most.
WIDEST = 8
_OTHERS = {"_tests", "tests", "test", "testing", "_vendor", "_vendored", "vendor", "vendored", "__pycache__"}
_ARRAYS = re.compile(r"\b(Array|ArrayLike|NDArray|ndarray|Tensor|ImageSource)\b")
_SHAPE = re.compile(
    r"\(\s*\w*,? ?\*?\w+(, \*?\w+)+\)|\bshapes?\b|\b\w+-dimensional\b|\baxes\b|\baxis\b", re.I
)
_UNIT = re.compile(
    r"\b(voxels?|pixels?|micromet\w+|um|nm|mm|seconds?|minutes?|ms|bytes?|GB|MB|percent\w*|degrees?|probabilit\w+)\b"
    r"|µm|%",
    re.I,
)
#: What decorates a function that is another one's second body or signature.
_REPEATS = {"overload", "setter", "deleter"}
_RAISES = re.compile(r"\brais(e|es|ed|ing)\b", re.I)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """A Python file.

    Parameters
    ----------
    path : Path
        Where it is.
    text : str
        What is in it.
    """

    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text)

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return len(self.text.splitlines())

    @cached_property
    def comments(self) -> list[str]:
        """Text of each comment, without what begins it."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [token.string.lstrip("#:! ") for token in tokens if token.type == tokenize.COMMENT]

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the tree."""
        return list(ast.walk(self.tree))

    @cached_property
    def functions(self) -> list[Function]:
        """Functions and methods, nested ones, too."""
        return [node for node in self.nodes if isinstance(node, Function)]

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        """Classes, nested ones, too."""
        return [node for node in self.nodes if isinstance(node, ast.ClassDef)]

    @cached_property
    def public(self) -> list[Function | ast.ClassDef]:
        """Functions and classes with a public name, nested ones, too; a property counts once."""
        named = (each for each in (*self.functions, *self.classes) if not each.name.startswith("_"))
        return [each for each in named if not _REPEATS.intersection(map(_ending_of, each.decorator_list))]


def read_sources(package: Path) -> list[Source]:
    """Read the files of a package, tests and vendored code left out."""
    paths = (path for path in sorted(package.rglob("*.py")) if not _is_other(path.relative_to(package)))
    return [_read(path) for path in paths]


def read_tests(package: Path) -> list[Source]:
    """Read the tests of a package: those inside it, and those beside it in its repository."""
    root = next((each for each in package.parents if (each / ".git").exists()), package)
    roots = {folder for name in ("tests", "test") for folder in (root / name,) if folder.is_dir()}
    inside = {folder for name in ("tests", "_tests", "test") for folder in package.rglob(name)}
    return [_read(path) for folder in sorted(roots | inside) for path in sorted(folder.rglob("*.py"))]


def _read(path: Path) -> Source:
    with tokenize.open(path) as file:
        return Source(path, file.read())


def _is_other(path: Path) -> bool:
    return (
        bool(_OTHERS.intersection(path.parts)) or path.name.startswith("test_") or path.name == "conftest.py"
    )


def modules_of_folders(sources: Sequence[Source]) -> Counter[Path]:
    """Count the modules that lie in each folder, ``__init__`` left out."""
    return Counter(source.path.parent for source in sources if source.path.name != "__init__.py")


def parameters_of(function: Function) -> list[str]:
    """List the parameters of a function, ``self`` and ``cls`` left out; all of ``*args`` are one."""
    given = function.args
    named = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    others = [each.arg for each in (given.vararg, given.kwarg) if each is not None]
    return named[named[:1] in (["self"], ["cls"]) :] + others


def exported_names(folder: Path) -> tuple[list[str], bool]:
    """List the public names of a package, and whether it says itself that they are."""
    stub, init = folder / "__init__.pyi", folder / "__init__.py"
    tree = _read(stub if stub.exists() else init).tree
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.List | ast.Tuple):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id == "__all__":
                return [ast.literal_eval(each) for each in node.value.elts], True
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    # What a package imports of itself is a module.
    imported = (alias for node in imports if not _is_of(node, folder) for alias in node.names)
    names = [alias.asname or alias.name for alias in imported]
    return [name for name in names if not name.startswith("_")], stub.exists()


def _is_of(node: ast.ImportFrom, folder: Path) -> bool:
    return (node.module or folder.name).rpartition(".")[2] == folder.name


def is_documented(node: Function | ast.ClassDef) -> bool:
    """Tell whether a function or class has a docstring."""
    return ast.get_docstring(node) is not None


def patched_names(tests: Sequence[Source]) -> Iterator[tuple[Path, str]]:
    """Yield the private names that tests replace by ``monkeypatch.setattr``, with the file of each."""
    for source in tests:
        for node in source.nodes:
            name = _patched(node)
            if name.startswith("_") and not name.startswith("__"):
                yield source.path, name


def _patched(node: ast.AST) -> str:
    """Give the last part of the name that a call replaces; "" for anything else."""
    if not (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr"
    ):
        return ""
    owner = node.func.value
    if not (isinstance(owner, ast.Name) and owner.id.startswith(("monkeypatch", "patch"))):
        return ""
    texts = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
    return next((text for text in texts if isinstance(text, str)), "").rpartition(".")[2]


def _ending_of(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(called).rpartition(".")[2]


def _is_dataclass(node: ast.ClassDef) -> bool:
    endings = map(_ending_of, node.decorator_list)
    return any("dataclass" in ending or ending in {"define", "frozen"} for ending in endings)


def _length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _is_code(comment: str) -> bool:
    """Tell whether a comment is a statement that does something."""
    try:
        body = ast.parse(comment).body
    except (SyntaxError, ValueError):
        return False
    return len(body) == 1 and _does_something(body[0])


def _does_something(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call | ast.Await | ast.Yield)
    return not isinstance(node, ast.AnnAssign) or node.value is not None


def _docstring_lines(source: Source) -> int:
    documented = [source.tree, *source.functions, *source.classes]
    return sum(_length(node.body[0]) for node in documented if ast.get_docstring(node) is not None)


def _raises(function: Function) -> bool:
    return any(isinstance(node, ast.Raise) for node in ast.walk(function))


def _takes_arrays(function: Function) -> bool:
    arguments = function.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    hints = [each.annotation for each in every] + [function.returns]
    return any(hint is not None and _ARRAYS.search(ast.unparse(hint)) for hint in hints)


def _tenths(values: Sequence[int], tenth: int) -> int:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, tenth * len(ordered) // 10)] if ordered else 0


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def measure(package: Path) -> dict[str, str]:
    """Measure a package.

    Parameters
    ----------
    package : Path
        Its folder, with an ``__init__.py``.

    Returns
    -------
    dict
        Heading of each column, and what stands in it.
    """
    sources, tests = read_sources(package), read_tests(package)
    lines = sum(source.lines for source in sources)
    functions = [function for source in sources for function in source.functions]
    lengths, sizes = [*map(_length, functions)], [source.lines for source in sources]
    widths = [len(parameters_of(function)) for function in functions]
    folders = modules_of_folders(sources)
    comments = [comment for source in sources for comment in source.comments]
    classes = [node for source in sources for node in source.classes]
    public = [node for source in sources for node in source.public]
    names, said = exported_names(package)
    return {
        "lines / files": f"{lines / 1000:.1f}k / {len(sources)}",
        "function med / p90 / max": f"{median(lengths):.0f} / {_tenths(lengths, 9)} / {max(lengths)}",
        "file med / max": f"{median(sizes):.0f} / {max(sizes)}",
        "folder (med)": f"{max(folders.values())} ({median(folders.values()):.0f})",
        "signature (over 8)": f"{max(widths)} ({sum(width > WIDEST for width in widths)})",
        "test : src": f"{sum(test.lines for test in tests) / lines:.2f}",
        "comments /1k": f"{1000 * len(comments) / lines:.1f}",
        "commented /1k": f"{1000 * sum(map(_is_code, comments)) / lines:.2f}",
        "api": f"{len(names)}{'' if said else '*'}",
        "dataclasses / classes": f"{sum(map(_is_dataclass, classes))} / {len(classes)}",
        **_documented(public),
        "docstrings": _share(sum(map(_docstring_lines, sources)), lines),
        "public classes /1k": f"{1000 * sum(isinstance(each, ast.ClassDef) for each in public) / lines:.1f}",
        "patched": str(sum(1 for _ in patched_names(tests))),
    }


def _documented(public: Sequence[Function | ast.ClassDef]) -> dict[str, str]:
    """Measure what docstrings of public functions and classes say."""
    functions = [node for node in public if isinstance(node, Function)]
    raising = [ast.get_docstring(node) or "" for node in functions if _raises(node)]
    arrays = [ast.get_docstring(node) or "" for node in functions if _takes_arrays(node)]
    shapes, units = (sum(bool(each.search(text)) for text in arrays) for each in (_SHAPE, _UNIT))
    return {
        "doc": _share(sum(map(is_documented, public)), len(public)),
        "raises": f"{sum(bool(_RAISES.search(text)) for text in raising)}/{len(raising)}",
        "shape / unit": f"{_share(shapes, len(arrays))} / {_share(units, len(arrays))}",
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("package", nargs="*", type=Path, default=[PACKAGE], help="folder of a package")
    for number, package in enumerate(parser.parse_args().package):
        found = measure(package.resolve())
        if not number:
            print("| package |", " | ".join(found), "|")
            print("|---" * (len(found) + 1) + "|")
        print(f"| {package.resolve().name} |", " | ".join(found.values()), "|")


if __name__ == "__main__":
    main()
