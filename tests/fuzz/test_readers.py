"""Whatever a stranger writes is read or refused, and nothing else comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz import readers, strategies

many = settings(
    max_examples=settings().max_examples * 6, suppress_health_check=[HealthCheck.too_slow]
)


def legacy(**fields: Any) -> bytes:
    """A file of the older program with one session that has these fields."""
    session = {"session_id": "a", "user_id": "u", "state": "running", "created_at": "2024-01-01"}
    session |= {"updated_at": "2024-01-01"} | fields
    return json.dumps({"sessions": {"a": session}}).encode()


FILES = {
    "nothing": b"",
    "zeros": b"\0" * 100,
    "a byte order mark": b"\xef\xbb\xbf" + strategies.good_file(),
    "UTF-16": strategies.good_file().decode().encode("utf-16"),
    "deep": b'{"sessions": {}, "x": ' + b"[" * 180 + b"]" * 180 + b"}",
    "endlessly deep": b'{"sessions": ' + b"[" * 100_000,
    "a number of 4,000 digits": strategies.good_file().replace(b"42", b"9" * 4000, 1),
    "a number of 5,000 digits": strategies.good_file().replace(b"42", b"9" * 5000, 1),
    "a number beyond floats": strategies.good_file().replace(b"42", b"1e999", 1),
    "a lone surrogate": b'{"sessions": {"\\ud800": {}}}',
    "ids that are none": b'{"sessions": {"a": {"session_id": ["a"], "user_id": {}}}}',
    "times out of range": legacy(created_at="0001-01-01T00:00:00+23:59"),
    "a checkpoint cut off": legacy(
        checkpoints=[{"checkpoint_id": "c", "timestamp": "2024-01-01", "state_snapshot": "[" * 150}]
    ),
}


@pytest.mark.parametrize("data", FILES.values(), ids=list(FILES))
@pytest.mark.parametrize("read", readers.OF_BYTES.values(), ids=list(readers.OF_BYTES))
def test_odd_files(read: Callable[[bytes], None], data: bytes) -> None:
    read(data)


@many
@given(strategies.files)
def test_a_sessions_file(data: bytes) -> None:
    readers.sessions_file(data)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(strategies.archives)
def test_an_archive(data: bytes) -> None:
    readers.archive(data)


@many
@given(strategies.urls)
def test_a_url(text: str) -> None:
    readers.url(text)


@many
@given(strategies.environments)
def test_an_environment(variables: dict[str, str]) -> None:
    readers.environment(variables)


@given(strategies.env_files)
def test_an_env_file(data: bytes) -> None:
    readers.env_file(data)


@many
@given(strategies.cursors)
def test_a_cursor(text: str) -> None:
    readers.cursor(text)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(strategies.command_lines())
def test_a_command_line(arguments: list[str]) -> None:
    readers.command_line(arguments)
