"""How much work a save of the file is, counted."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from session_store.backends import json_session
from session_store.backends.json_file import JsonFileRepository
from session_store.queries import WHOLE
from session_store.session import SessionKey
from session_store.testing.given import KEY, change, create, load, messages

SESSIONS, ENTRIES = 20, 500


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JsonFileRepository]:
    with JsonFileRepository(tmp_path) as opened:
        for n in range(SESSIONS):
            create(opened, SessionKey("app", "bob", f"{n}"), history=["x"])
        create(opened, history=["x"] * ENTRIES)
        yield opened


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What was called how often since the last ``clear``; all of it goes on as ever."""
    counted: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        original = getattr(module, name)

        def called(*given: Any, **named: Any) -> Any:
            counted[name] += 1
            return original(*given, **named)

        monkeypatch.setattr(module, name, called)

    for module, name in ((os, "fsync"), (json_session, "_entry_text"), (json_session, "_fields")):
        count(module, name)
    return counted


def test_an_append_encodes_its_entry_and_the_head_of_its_session(
    store: JsonFileRepository, work: Counter[str]
) -> None:
    change(store, entries=messages("a"))
    assert work == {"_entry_text": 1, "_fields": 1, "fsync": 2}
    change(store, entries=messages("b", "c"))
    assert work == {"_entry_text": 3, "_fields": 2, "fsync": 4}
    assert [entry.entry_id for entry in load(store).entries[-3:]] == ["a", "b", "c"]


def test_what_another_has_written_is_not_encoded_again(
    store: JsonFileRepository, work: Counter[str]
) -> None:
    with JsonFileRepository(store.path.parent) as other:
        change(other, entries=messages("a"))
    work.clear()
    change(store, entries=messages("b"))
    assert work == {"_entry_text": 1, "_fields": 1, "fsync": 2}
    assert [entry.entry_id for entry in load(store).entries[-2:]] == ["a", "b"]


def test_a_rewound_history_is_encoded_anew(store: JsonFileRepository, work: Counter[str]) -> None:
    change(store, rewind_to=3, entries=messages("a"))
    assert work["_entry_text"] == 4
    with JsonFileRepository(store.path.parent) as other:
        assert load(other) == load(store)


def test_a_text_that_somebody_else_has_laid_out_is_not_taken_apart(
    store: JsonFileRepository,
) -> None:
    stored = store.fetch(KEY, WHOLE)
    assert stored
    text = json_session.to_text(stored)
    for odd in (text.replace(b"\n        {", b" {"), text + b" ", b""):
        assert json_session.to_text(stored, (stored, odd)) == text
    assert json_session.to_text(stored, (stored, text)) == text


def test_callers_at_the_same_time_share_saves(
    store: JsonFileRepository, work: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first one's is held at the disk, the others' wait for one more."""
    is_held, go_on, sync = threading.Event(), threading.Event(), os.fsync

    def hold(descriptor: int) -> None:
        is_held.set()
        go_on.wait(10)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", hold)
    threads = [
        threading.Thread(target=change, args=(store,), kwargs={"entries": messages(f"{n}")})
        for n in range(8)
    ]
    threads[0].start()
    assert is_held.wait(10)
    for thread in threads[1:]:
        thread.start()
    until = time.monotonic() + 10
    while len(store._group._waiting) < 7 and time.monotonic() < until:
        time.sleep(0.001)
    go_on.set()
    for thread in threads:
        thread.join()
    assert load(store).last_seq == ENTRIES + 8
    assert work["fsync"] == 4
    assert work["_fields"] == 2
