"""The bytes of ``sessions.json``: what people and programs can rely on, and what is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session_store.backends.json_file.format import (
    Contents,
    UnreadableFileError,
    decode,
    decode_edited,
    encode,
    revision_in,
)
from session_store.backends.memory import SessionTable
from session_store.errors import CorruptStoreError
from session_store.session import NewCheckpoint, SessionKey
from session_store.testing.given import (
    KEY,
    OTHERS,
    after,
    application,
    creation,
    deletion,
    messages,
)
from tests.backends.json_files import checksum

READERS: tuple[Callable[[bytes, Path], object], ...] = (
    lambda data, path: decode(data, path, {}),
    decode_edited,
)
PATH = Path("/data/it's here/sessions.json")


@pytest.fixture
def table() -> SessionTable:
    table = SessionTable()
    table.commit(
        [
            creation(history=["a", {"b": [1, 2.5, None]}], state={"topic": "graphs"}),
            creation(OTHERS[0], expires_at=after(9), metadata={"title": "é\n\u2028"}),
            application(agent_states={"coach": {"step": 1}}, app_state={"x": 1}),
            application(checkpoint=NewCheckpoint(checkpoint_id="k"), user_state={"y": 1}),
        ]
    )
    return table


@pytest.fixture
def data(table: SessionTable) -> bytes:
    return written(table, 42)


def written(table: SessionTable, revision: int) -> bytes:
    return b"".join(encode(table, revision, {})[0])


def edited(data: bytes, edit: Callable[[Any], object]) -> bytes:
    """As a person leaves it who changed something, and who can't know the checksum."""
    found = json.loads(data)
    edit(found)
    return json.dumps(found, indent=2).encode()


def session(found: Any) -> Any:
    return found["sessions"]["app/ada/s1"]


def test_what_was_written_is_read(table: SessionTable, data: bytes) -> None:
    found, _ = decode(data, PATH, {})
    assert (list(found.table), found.table.shared) == (list(table), table.shared)
    assert (found.revision, found.is_legacy) == (42, False)


def test_an_empty_table_is_a_file_too() -> None:
    data = written(SessionTable(), 1)
    assert json.loads(data)["sessions"] == {}
    assert list(decode(data, PATH, {})[0].table) == []


def test_people_can_read_it(data: bytes) -> None:
    lines = data.decode().split("\n")
    assert lines[2:5] == [
        '  "format": "session-store/1",',
        '  "revision": 42,',
        '  "sessions": {',
    ]
    assert lines[5:19] == [
        '    "app/ada/s1": {',
        '      "app_name": "app",',
        '      "user_id": "ada",',
        '      "session_id": "s1",',
        '      "status": "running",',
        '      "version": 3,',
        '      "created_at": "2024-02-29T12:30:15.123456Z",',
        '      "updated_at": "2024-02-29T12:30:16.123456Z",',
        '      "completed_at": null,',
        '      "expires_at": null,',
        '      "state": {"topic":"graphs"},',
        '      "agent_states": {"coach":{"step":1}},',
        '      "metadata": {},',
        '      "entries": [',
    ]
    assert lines[19].startswith('        {"seq":1,"entry_id":"e1","kind":"message","created_at":"')
    assert lines[-6:] == [
        '  "shared_states": [',
        '    {"app_name":"app","user_id":"","document":{"x":1}},',
        '    {"app_name":"app","user_id":"ada","document":{"y":1}}',
        "  ]",
        "}",
        "",
    ]


def test_the_checksum_is_of_all_after_its_line(data: bytes) -> None:
    _, line, body = data.split(b"\n", 2)
    assert line == b'  "checksum": "sha256:%b",' % checksum(body)


def test_the_first_bytes_tell_the_revision(data: bytes) -> None:
    assert revision_in(data[:200]) == 42
    assert revision_in(written(SessionTable(), 10**16)[:200]) == 10**16
    assert revision_in(b'{"sessions": {}}') is None


def test_names_of_sessions_do_not_collide() -> None:
    keys = [
        SessionKey(*parts)
        for parts in [("a/b", "c", "d"), ("a", "b/c", "d"), ("a%2Fb", "c", "d"), ("é", " ", '"\\')]
    ]
    table = SessionTable()
    table.commit(list(map(creation, keys)))
    data = written(table, 1)
    assert len(json.loads(data)["sessions"]) == 4
    assert [stored.record.key for stored in decode(data, PATH, {})[0].table] == keys


def test_what_is_unchanged_is_not_encoded_again(table: SessionTable) -> None:
    _, first = encode(table, 1, {})
    table.commit([application(entries=messages("new"))])
    data, second = encode(table, 2, first)
    assert [second[key] is first[key] for key in (KEY, OTHERS[0])] == [False, True]
    assert b"".join(data) == written(table, 2)
    table.commit([deletion(OTHERS[0])])
    assert encode(table, 3, second)[1].keys() == {KEY}


def test_what_is_unchanged_is_not_read_again(table: SessionTable, data: bytes) -> None:
    first, fragments = decode(data, PATH, {})
    table.commit([application(entries=messages("new"))])
    second, changed = decode(written(table, 43), PATH, fragments)
    before, after = list(first.table), list(second.table)
    assert [one is other for one, other in zip(before, after, strict=True)] == [False, True]
    assert after == list(table)
    assert b"".join(encode(second.table, 43, changed)[0]) == written(table, 43)


def test_an_edit_names_the_command_that_accepts_it(data: bytes) -> None:
    changed = data.replace(b"graphs", b"trees")
    with pytest.raises(CorruptStoreError) as raised:
        decode(changed, PATH, {})
    assert "session-store accept '/data/it'\"'\"'s here/sessions.json'" in str(raised.value)
    assert f"{PATH}.bak" in str(raised.value)
    assert not isinstance(raised.value, UnreadableFileError)
    assert '"trees"' in next(iter(decode_edited(changed, PATH).table)).record.state


def test_a_newer_release_is_named(data: bytes) -> None:
    for read in READERS:
        with pytest.raises(CorruptStoreError, match=r"session-store/2.*newer release") as raised:
            read(b'{"format": "session-store/2"}', PATH)
        assert not isinstance(raised.value, UnreadableFileError)


@pytest.mark.parametrize(
    "found",
    [
        b"",
        b"\0" * 500,
        b"\xff\xfe",
        b"{",
        b'{"a":' * 5000,
        b"[]",
        b"null",
        b"{}",
        b'{"sessions": []}',
        b'{"sessions": {}, "checksum": ""}',
        b'{"format": "other/1"}',
    ],
)
def test_what_nobody_meant_for_this_package_is_unreadable(found: bytes) -> None:
    for read in READERS:
        with pytest.raises(UnreadableFileError, match=r"it's here/sessions\.json"):
            read(found, PATH)


EDITS: dict[str, tuple[Callable[[Any], object], str]] = {
    "a gap": (lambda found: session(found)["entries"].pop(0), r"entries\[0\]\.seq.*without gaps"),
    "a repeated id": (
        lambda found: session(found)["entries"][1].update(entry_id="e1"),
        "the same entry_id twice",
    ),
    "another name": (
        lambda found: found["sessions"].update(x=found["sessions"].pop("app/ada/s1")),
        "session x: .*app/ada/s1",
    ),
    "a wrong status": (lambda found: session(found).update(status="asleep"), "status: must be of"),
    "a status of another type": (lambda found: session(found).update(status=[]), "status: must be"),
    "a version that is a text": (lambda found: session(found).update(version="3"), "version"),
    "a version of zero": (lambda found: session(found).update(version=0), "version: must be 1"),
    "a version before its entries'": (
        lambda found: session(found).update(version=2),
        "version: .*at most its session's",
    ),
    "a version that is a truth": (lambda found: session(found).update(version=True), "version"),
    "a time without zone": (
        lambda found: session(found).update(created_at="2024-02-29T12:30:15"),
        "created_at: must be a UTC time",
    ),
    "no time": (lambda found: session(found).update(updated_at="soonZ"), "updated_at"),
    "a time that is a number": (lambda found: session(found).update(expires_at=1), "expires_at"),
    "a document that is none": (lambda found: session(found).update(state=[]), "state: must be"),
    "an agent without document": (
        lambda found: session(found).update(agent_states={"coach": 1}),
        r"agent_states\.coach",
    ),
    "an entry that is none": (lambda found: session(found).update(entries=[1]), r"entries\[0\]"),
    "entries that are none": (lambda found: session(found).update(entries={}), "entries: must be"),
    "a field missing": (lambda found: session(found).pop("metadata"), "lacks keys.*metadata"),
    "a field too many": (lambda found: session(found).update(mood="good"), "belong.*mood"),
    "an empty id": (lambda found: session(found).update(user_id=""), "user_id"),
    "an integer too large": (lambda found: session(found).update(state={"n": 2**64}), r"state\.n"),
    "no sessions": (lambda found: found.pop("sessions"), "lacks keys.*sessions"),
    "a revision that is none": (lambda found: found.update(revision="x"), "revision"),
    "a revision below zero": (lambda found: found.update(revision=-1), "revision"),
    "a shared document twice": (
        lambda found: found["shared_states"].append(found["shared_states"][0]),
        r"shared_states\[2\]",
    ),
    "a shared document of nobody": (
        lambda found: found["shared_states"][0].update(user_id=None),
        r"shared_states\[0\]\.user_id",
    ),
}


@pytest.mark.parametrize(("edit", "problem"), EDITS.values(), ids=list(EDITS))
def test_a_wrong_edit_is_refused_with_its_place(
    data: bytes, edit: Callable[[Any], object], problem: str
) -> None:
    with pytest.raises(CorruptStoreError, match=problem):
        decode_edited(edited(data, edit), PATH)


def test_a_key_that_stands_twice_is_refused(data: bytes) -> None:
    twice = data.replace(b'"state": {"topic":"graphs"}', b'"state": {"topic":"a","topic":"b"}')
    with pytest.raises(CorruptStoreError, match="'topic' twice"):
        decode_edited(twice, PATH)


def test_a_right_checksum_does_not_excuse_wrong_contents(data: bytes) -> None:
    body = data.split(b"\n", 2)[2].replace(b'"running"', b'"walking"')
    with pytest.raises(CorruptStoreError, match="session app/ada/s1: status"):
        decode(b'{\n  "checksum": "sha256:%b",\n%b' % (checksum(body), body), PATH, {})


def test_no_flipped_bit_is_read_as_something_else(data: bytes) -> None:
    chance = random.Random(1)
    for _ in range(2000):
        flipped, bit = bytearray(data), chance.randrange(len(data) * 8)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptStoreError):
            decode(bytes(flipped), PATH, {})


def test_the_bits_that_are_flipped_would_be_read_without_the_checksum(data: bytes) -> None:
    """What the test before would miss if the checksum were not looked at."""
    assert isinstance(decode_edited(data.replace(b"graphs", b"grapht"), PATH), Contents)
