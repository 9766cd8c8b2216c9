"""Promises about identities: every id is only itself, and nobody sees what is another's."""

# ruff: noqa: S101 - asserts are what tests are made of

from __future__ import annotations

import itertools
import random

import pytest

from session_store.errors import SessionNotFoundError
from session_store.repository import SessionRepository
from session_store.session import NewEntry, SessionKey
from session_store.testing.given import KEY, at, change, count, create, ids, listed, load
from session_store.testing.oddities import INJECTIONS, LOOKALIKES

SEPARATORS = ("/", "\\", ":", "|", ".", ",", " ", "_", "-", "'", '"', "::", "%2F")


class Identities:
    @pytest.mark.parametrize("part", SessionKey._fields)
    @pytest.mark.parametrize("family", [INJECTIONS, LOOKALIKES], ids=["injections", "lookalikes"])
    def test_an_id_is_only_itself(
        self, repository: SessionRepository, part: str, family: tuple[str, ...]
    ) -> None:
        keys = {text: KEY._replace(**{part: text}) for text in dict.fromkeys(family)}
        for text, key in keys.items():
            create(repository, key, state={"of": text})
        for text, key in keys.items():
            assert load(repository, key).state == {"of": text}
            assert [head.key for head in listed(repository, **{part: text})] == [key]
            assert count(repository, **{part: text}) == 1
        assert {head.key for head in listed(repository, limit=7)} == set(keys.values())

    @pytest.mark.parametrize("family", [INJECTIONS, LOOKALIKES], ids=["injections", "lookalikes"])
    def test_a_label_is_only_itself(
        self, repository: SessionRepository, family: tuple[str, ...]
    ) -> None:
        texts = list(dict.fromkeys(family))
        for number, text in enumerate(texts):
            metadata = {"label": text, text: number}
            create(repository, KEY._replace(session_id=f"{number}"), metadata=metadata)
        for number, text in enumerate(texts):
            for wanted in ({"label": text}, {text: number}):
                found = [head.session_id for head in listed(repository, metadata=wanted)]
                assert found == [f"{number}"]

    @pytest.mark.parametrize("family", [INJECTIONS, LOOKALIKES], ids=["injections", "lookalikes"])
    def test_an_entry_a_kind_and_an_agent_are_only_themselves(
        self, repository: SessionRepository, family: tuple[str, ...]
    ) -> None:
        create(repository)
        texts = list(dict.fromkeys(family))
        entries = [NewEntry(payload=text, entry_id=text, kind=text) for text in texts]
        change(repository, entries=entries)
        change(repository, agent_states={text: {text: 1} for text in texts})
        assert ids(load(repository)) == texts
        assert load(repository).agent_states == {text: {text: 1} for text in texts}
        for text in texts:
            assert ids(load(repository, kind=text)) == [text]

    @pytest.mark.parametrize("separator", SEPARATORS)
    def test_the_parts_of_a_key_do_not_run_into_each_other(
        self, repository: SessionRepository, separator: str
    ) -> None:
        letters = ("a", "b", "c", "d")
        keys = [
            SessionKey(*(separator.join(letters[start:end]) for start, end in cuts))
            for one, two in itertools.combinations(range(1, 4), 2)
            for cuts in [((0, one), (one, two), (two, 4))]
        ]
        for key in keys:
            create(repository, key, state={"of": list(key)})
            change(repository, key, user_state={"of": list(key)})
        for key in keys:
            assert load(repository, key).state == {"of": list(key)}
            assert repository.load_shared(key.app_name, key.user_id) == {"of": list(key)}

    def test_random_keys_never_cross(self, repository: SessionRepository) -> None:
        chance = random.Random(7)  # noqa: S311 - the same keys every time
        letters = ("a", "A", "/", ":", "é", "e\u0301", "%", "'")

        def part() -> str:
            return "".join(chance.choices(letters, k=chance.randint(1, 3)))

        keys = {SessionKey(part(), part(), part()) for _ in range(150)}
        for key in keys:
            create(repository, key, state={"of": list(key)}, history=[list(key)])
        for key in keys:
            session = load(repository, key)
            assert (session.key, session.state) == (key, {"of": list(key)})
            assert [entry.payload for entry in session.entries] == [list(key)]

    def test_deleting_one_lookalike_spares_the_others(self, repository: SessionRepository) -> None:
        keys = [KEY._replace(session_id=text) for text in LOOKALIKES]
        for key in keys:
            create(repository, key, history="a")
        for number, key in enumerate(keys, 1):
            repository.delete(key, at())
            assert count(repository) == len(keys) - number
            with pytest.raises(SessionNotFoundError):
                load(repository, key)
