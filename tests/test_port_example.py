"""The back end that the port's documentation contains works: it keeps the whole contract."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from session_store import repository as port
from session_store import testing
from session_store.repository import SessionRepository
from session_store.testing import RepositoryContract


def example(module: ModuleType) -> str:
    """The indented block of a module's documentation."""
    lines = inspect.cleandoc(module.__doc__ or "").splitlines()
    code = [line for line in lines if not line or line.startswith("    ")]
    return textwrap.dedent("\n".join(code))


def names_of(module: ModuleType) -> dict[str, Any]:
    """What the example of ``module`` defines."""
    names: dict[str, Any] = {}
    exec(compile(example(module), f"the example of {module.__name__}", "exec"), names)
    return names


class TestExample(RepositoryContract):
    made = staticmethod(names_of(port)["DictRepository"])

    @pytest.fixture
    def repository(self) -> Iterator[SessionRepository]:
        with self.made() as opened:
            yield opened


def test_the_example_is_short() -> None:
    assert len(example(port).splitlines()) < 95


def test_the_example_of_the_contract_is_a_contract() -> None:
    assert issubclass(names_of(testing)["TestMyRepository"], RepositoryContract)
