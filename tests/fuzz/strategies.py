"""What strangers may write, most of it nearly right."""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

from hypothesis import strategies as st

from session_store.backends.json_file.format import encode
from session_store.backends.memory import MemoryRepository, SessionTable
from session_store.cli.parser import make_parser
from session_store.session import NewCheckpoint
from session_store.settings import PREFIX, Settings
from session_store.testing.given import KEY, OTHERS, application, creation
from session_store.transfer import export_sessions
from tests.transfer.hostile import mutate, mutated

LEGACY: Final = Path(__file__).parents[1] / "legacy" / "sessions.json"

_CONTENT: Final = (
    creation(history=["a", {"b": [1, 2.5, None]}], state={"topic": "graphs"}),
    creation(OTHERS[0], metadata={"title": "é\n\u2028"}),
    application(KEY, agent_states={"coach": {"step": 1}}, app_state={"x": 1}),
    application(KEY, checkpoint=NewCheckpoint(checkpoint_id="k"), user_state={"y": 1}),
)


def good_file() -> bytes:
    """A ``sessions.json`` with one of everything."""
    table = SessionTable()
    table.commit(_CONTENT)
    return b"".join(encode(table, 42, {})[0])


def good_archive() -> bytes:
    with MemoryRepository() as memory, TemporaryDirectory() as directory:
        memory.commit(_CONTENT)
        export_sessions(memory, Path(directory, "good.jsonl"))
        return Path(directory, "good.jsonl").read_bytes()


def _edited(text: bytes, chance: Random, indent: int | None) -> bytes:
    found = json.loads(text)
    for _ in range(chance.randint(1, 3)):
        mutate(found, chance)
    return json.dumps(found, indent=indent, ensure_ascii=chance.random() < 0.5).encode()


def _damaged(text: bytes, chance: Random) -> bytes:
    """A few bytes are others, gone, or there twice."""
    start, length = chance.randrange(len(text)), chance.choice([0, 1, 1, 8, 100])
    middle = chance.choice([b"", bytes([chance.randrange(256)]), text[start : start + length] * 2])
    return text[:start] + middle + text[start + length :]


chance = st.randoms(use_true_random=False)
files = (
    st.builds(_edited, st.sampled_from([good_file()]), chance, st.sampled_from([2, 2, None]))
    | st.builds(_edited, st.sampled_from([LEGACY.read_bytes()]), chance, st.just(2))
    | st.builds(_damaged, st.sampled_from([good_file(), LEGACY.read_bytes()]), chance)
    | st.binary(max_size=100)
)
archives = (
    st.builds(mutated, st.just(good_archive()), chance)
    | st.builds(_damaged, st.just(good_archive()), chance)
    | files
)

_schemes = st.sampled_from(
    [
        *("postgresql://", "postgres://", "postgresql+psycopg://", "POSTGRESQL://", "postgresql:"),
        *("sqlite:///", "sqlite:////", "file://", "file:///", "memory://", "mysql://", "://", ""),
    ]
)
_hosts = st.text(max_size=8) | st.sampled_from(
    ["h", "h:1", "[::1]:5", "[::1", "h1,h2:5", "", "\uff48", "h:99999999", "a b", "%00", "/tmp"]
)
_queries = st.text(max_size=12) | st.sampled_from(
    [
        *("", "?sslmode=require", "?host=%00", "?options=%ff", "?a=b&a=c", "?ssl=true", "?="),
        *("?port=abc", "?connect_timeout=x", "?service=x", "?password=p&user=u", "#x", "?&&&"),
    ]
)
urls = st.text(max_size=20) | st.builds(
    "{}{}:{}@{}/{}{}".format,
    *(_schemes, st.text(max_size=5), st.text(max_size=8), _hosts, st.text(max_size=6), _queries),
)

_VARIABLES: Final = [*(f"{PREFIX}{name.upper()}" for name in Settings.model_fields), "DATABASE_URL"]
values = (
    st.text(max_size=20)
    | urls
    | st.sampled_from(
        [
            *("1e999", "nan", "inf", "-1", "0", "1", "true", "never", "postgresql", "sqlite"),
            *(
                "file",
                "\uff11",
                "1_000",
                "0x10",
                " 5 ",
                "9" * 5000,
                "FULL",
                "\0",
                "../..",
                "a" * 5000,
            ),
        ]
    )
)
environments = st.dictionaries(st.sampled_from(_VARIABLES), values, max_size=5)
env_files = st.binary(max_size=60) | st.builds(
    lambda name, value: f"{name}={value}\n".encode("utf-8", "surrogatepass"),
    *(st.sampled_from(_VARIABLES), st.text(max_size=20)),
)

_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=8
)
cursors = st.text(max_size=30) | (
    st.binary(max_size=30)
    | (_json | st.lists(st.text(), min_size=4, max_size=4)).map(
        lambda value: json.dumps(value).encode()
    )
).map(lambda data: base64.urlsafe_b64encode(data).decode())


_texts = st.text(max_size=10) | st.sampled_from(
    [
        *("", "-", "--", ".", "..", "x.db", "sessions.db", "x.jsonl", "-1", "0", "1", "9" * 400),
        *("1e9", "nan", "2024-02-29", "9999-12-31", "0001-01-01", "7d", "idle", "running", "a=1"),
        *("\udcff", "\0", "\n", "\x1b[31m", "é", "head", "base", "0001", "+1", "-1", "head:base"),
        *("sqlite:///x.db", "file:///", "memory://", "postgresql://[", "x" * 300),
    ]
)
_ENDLESS: Final = {"demo", "tail"}


def _words(parser: argparse.ArgumentParser, chance: Random) -> list[str]:
    """Of a command line: a command, some of its options, and its arguments, or nearly so."""
    options: list[str] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            command = chance.choice([name for name in action.choices if name not in _ENDLESS])
            return [*options, command, *_words(action.choices[command], chance)]
        if chance.random() < (0.3 if action.option_strings else 0.9):
            options += action.option_strings[:1]
            options += [_PLACE] * (action.nargs != 0)
    return options


_PLACE: Final = "\uffff"
"""Where a value is to stand."""


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    words = _words(make_parser(), draw(chance))
    return [draw(_texts) if word == _PLACE else word for word in words]
