"""What must not be in the code."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest.mock import patch

from tests.faults.frame import EVERY, Outcomes, check
from tests.faults.place import Place

TREE = Path(__file__).parents[3]
FOLDERS: Final = ("session_store", "migrations")

_CALLS: Final = {"eval", "exec", "compile", "__import__", "import_module"}
_MODULES: Final = {"pickle", "cPickle", "dill", "marshal", "shelve", "jsonpickle", "yaml", "runpy"}
_ALLOWED: Final = {("session_store/__init__.py", "import_module")}
"""The package's own names, from a table in the code, imported when they are used."""


@contextmanager
def planted(line: str) -> Iterator[None]:
    """A copy of the code with one line more."""
    with TemporaryDirectory() as directory:
        for folder in FOLDERS:
            shutil.copytree(TREE / folder, Path(directory, folder))
        with Path(directory, "session_store/core/codec.py").open("a") as file:
            file.write(f"\n{line}\n")
        with patch(f"{__name__}.TREE", Path(directory)):
            yield


def it_unpickles() -> Any:
    return planted("from pickle import loads")


def it_evaluates() -> Any:
    return planted("decoded = eval")


def it_imports_by_name() -> Any:
    return planted("import importlib; load = lambda name: importlib.import_module(name)")


@check(
    "C1",
    "nothing in the code unpickles, evaluates or imports by a name out of data",
    stores=["none"],
    trials=(EVERY, EVERY),
    broken=[it_unpickles, it_evaluates, it_imports_by_name],
)
def code_out_of_data(place: Place, trials: int) -> Outcomes:
    """One trial is one file."""
    for folder in FOLDERS:
        for path in sorted((TREE / folder).rglob("*.py")):
            name = str(path.relative_to(TREE))
            used = {word for word in _words(path) if (name, word) not in _ALLOWED}
            yield f"{name} uses {', '.join(used)}" if used else None


def _words(path: Path) -> Iterator[str]:
    """The forbidden names in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in _CALLS:
                if not _is_harmless(node):
                    yield name
            case ast.Import(names=names):
                yield from (one.name for one in names if one.name.partition(".")[0] in _MODULES)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in _MODULES:
                yield module


def _is_harmless(node: ast.AST) -> bool:
    """``re.compile`` and a dialect's ``compile`` make no code."""
    return isinstance(node, ast.Attribute) and node.attr == "compile"
