"""The back end that the port's documentation contains works: it keeps the whole contract."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from session_store import repository as port
from session_store.repository import SessionRepository
from session_store.testing import RepositoryContract


def example() -> str:
    """The indented block of the module's documentation."""
    lines = inspect.cleandoc(port.__doc__ or "").splitlines()
    code = [line for line in lines if not line or line.startswith("    ")]
    return textwrap.dedent("\n".join(code))


@pytest.fixture(scope="module")
def dict_repository() -> Callable[[], SessionRepository]:
    names: dict[str, Any] = {}
    exec(compile(example(), "the example", "exec"), names)
    made: Callable[[], SessionRepository] = names["DictRepository"]
    return made


class TestExample(RepositoryContract):
    @pytest.fixture
    def repository(
        self, dict_repository: Callable[[], SessionRepository]
    ) -> Iterator[SessionRepository]:
        with dict_repository() as opened:
            yield opened


def test_the_example_is_a_whole_back_end(
    dict_repository: Callable[[], SessionRepository],
) -> None:
    assert isinstance(dict_repository(), SessionRepository)
    assert len(example().splitlines()) < 100
