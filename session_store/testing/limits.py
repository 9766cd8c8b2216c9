"""Promises about bounds: what is at a limit is kept, what is one past it is refused."""

# ruff: noqa: S101 - asserts are what tests are made of

from __future__ import annotations

from typing import Any

import pytest

from session_store.core import codec
from session_store.errors import InvalidValueError, TooLargeError
from session_store.repository import SessionRepository
from session_store.session import (
    NewCheckpoint,
    NewEntry,
)
from session_store.testing.given import (
    KEY,
    at,
    change,
    create,
    load,
    message,
    refused,
)
from session_store.testing.keeping import PLACES, patch_of
from session_store.testing.oddities import BAD_IDS, nested


def sized(size: int, *, document: bool = False) -> Any:
    """A text, or a document, of exactly ``size`` bytes as JSON, and of fewer letters."""
    room = size - 8 if document else size - 2
    text = "é" * (room // 2) + "x" * (room % 2)
    return {"k": text} if document else text


class Limits:
    @pytest.mark.parametrize("payload", [nested(codec.MAX_DEPTH), nested(codec.MAX_DEPTH - 1)])
    def test_a_payload_at_the_limit_of_depth_is_kept(
        self, repository: SessionRepository, payload: Any
    ) -> None:
        create(repository)
        change(repository, entries=(message("deep", payload),))
        assert load(repository).entries[0].payload == payload

    def test_a_payload_past_the_limit_of_depth_is_refused(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        with refused(repository, InvalidValueError):
            change(repository, entries=(message("deep", nested(codec.MAX_DEPTH + 1)),))

    @pytest.mark.parametrize("place", PLACES)
    def test_a_document_can_be_so_deep_that_a_checkpoint_holds_it_and_no_deeper(
        self, repository: SessionRepository, place: str
    ) -> None:
        create(repository)
        levels = codec.MAX_DEPTH - 3 - place.count(".planner")
        with refused(repository, InvalidValueError):
            change(repository, **patch_of(place, nested(levels + 1)))
        checkpoint = NewCheckpoint(checkpoint_id="c")
        entry = change(repository, **patch_of(place, nested(levels)), checkpoint=checkpoint).entry
        create(repository, KEY._replace(session_id="copy"), history=[entry.payload])

    def test_a_payload_at_the_limit_of_size_is_kept_and_past_it_refused(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        with refused(repository, TooLargeError) as raised:
            change(repository, entries=(message("big", sized(codec.MAX_PAYLOAD_BYTES + 1)),))
        assert "entries[0].payload" in str(raised.value)
        payload = sized(codec.MAX_PAYLOAD_BYTES)
        change(repository, entries=(message("big", payload),))
        assert load(repository).entries[0].payload == payload

    @pytest.mark.parametrize("name", ["state", "metadata", "app_state", "user_state"])
    def test_a_document_at_the_limit_of_size_is_kept_and_past_it_refused(
        self, repository: SessionRepository, name: str
    ) -> None:
        create(repository)
        with refused(repository, TooLargeError) as raised:
            change(repository, **{name: sized(codec.MAX_DOCUMENT_BYTES + 1, document=True)})
        assert name in str(raised.value)
        change(repository, **{name: sized(codec.MAX_DOCUMENT_BYTES, document=True)})
        with refused(repository, InvalidValueError):
            change(repository, **{name: {"one more": 1}})

    def test_the_largest_documents_fit_into_a_checkpoint(
        self, repository: SessionRepository
    ) -> None:
        document = sized(codec.MAX_DOCUMENT_BYTES, document=True)
        agents = {"a": sized(codec.MAX_DOCUMENT_BYTES - 6, document=True)}
        create(repository, state=document, metadata=document, agent_states=agents)
        label = "x" * (codec.MAX_LABEL_BYTES - 2)
        checkpoint = NewCheckpoint(checkpoint_id="c", label=label)
        payload = change(repository, checkpoint=checkpoint).entry.payload
        create(repository, KEY._replace(session_id="copy"), history=[payload])
        assert load(repository, KEY._replace(session_id="copy")).entries[0].payload == payload

    @pytest.mark.parametrize("bad", BAD_IDS.values(), ids=list(BAD_IDS))
    def test_what_cannot_be_an_id_is_refused_everywhere(
        self, repository: SessionRepository, bad: Any
    ) -> None:
        create(repository)
        for part in KEY._fields:
            key = KEY._replace(**{part: bad})
            with refused(repository, InvalidValueError) as raised:
                create(repository, key)
            assert str(raised.value).startswith(part)
            for call in (load, change):
                with pytest.raises(InvalidValueError):
                    call(repository, key)
            with refused(repository, InvalidValueError):
                repository.delete(key, at())
        for changes in (
            {"entries": (NewEntry(payload=1, entry_id=bad),)},
            {"entries": (NewEntry(payload=1, entry_id="fine", kind=bad),)},
            {"checkpoint": NewCheckpoint(checkpoint_id=bad)},
            {"agent_states": {bad: {"a": 1}}},
        ):
            with refused(repository, InvalidValueError):
                change(repository, **changes)

    @pytest.mark.parametrize("letter", ["x", "é", "\U0001f600", "'"], ids=ascii)
    def test_ids_at_the_limit_of_length_are_kept(
        self, repository: SessionRepository, letter: str
    ) -> None:
        size = len(letter.encode())
        longest = letter * (codec.MAX_ID_BYTES // size) + "x" * (codec.MAX_ID_BYTES % size)
        kind = letter * (codec.MAX_KIND_BYTES // size)
        key = type(KEY)(longest, longest, longest)
        create(repository, key)
        entry = NewEntry(payload=1, entry_id=longest, kind=kind)
        change(repository, key, entries=(entry,), agent_states={longest: {"a": 1}})
        session = load(repository, key)
        assert (session.key, [*session.agent_states]) == (key, [longest])
        assert (session.entries[0].entry_id, session.entries[0].kind) == (longest, kind)

    def test_a_kind_past_the_limit_is_refused(self, repository: SessionRepository) -> None:
        create(repository)
        entry = NewEntry(payload=1, entry_id="e", kind="k" * (codec.MAX_KIND_BYTES + 1))
        with refused(repository, InvalidValueError) as raised:
            change(repository, entries=(entry,))
        assert str(raised.value).startswith("entries[0].kind")
