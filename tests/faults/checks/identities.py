"""Ids of strangers: they find what they name, and nothing else."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice, product
from typing import Any, Final
from unittest.mock import patch

from session_store import SessionService
from session_store.backends.sql.dialect import Dialect
from session_store.backends.sql.prepared import Construct, prepared
from session_store.core import codec
from session_store.core.queries import Filter
from session_store.core.records import SessionRecord
from session_store.errors import SessionStoreError
from session_store.repository import SessionRepository
from session_store.session import NewCheckpoint, NewEntry, SessionKey
from session_store.testing.given import at, change, contents, count, create, creation, listed, load
from session_store.testing.oddities import BAD_IDS, INJECTIONS
from tests.faults.frame import EVERY, Outcomes, check
from tests.faults.place import Place
from tests.faults.together import refusal

STORES = ("memory", "file", "sqlite", "postgresql")
BATCH = 500

_OPENINGS: Final = ("", "a'", 'a"', "a`", "a\\", "a')", "1)", "%", "$$", "\u02bc", "\uff07", "-1")
_KEYWORDS: Final = ("OR 1=1", "UNION SELECT 1", "DROP TABLE sessions", "DELETE FROM sessions")
_ENDS: Final = ("--", "/*", ";", "#", "'", '"', ")", "::text", "\u2028", "%s", ":user_id", "$1")
_MADE: Final = (f"{a} {b} {c}" for a, b, c in product(_OPENINGS, _KEYWORDS, _ENDS))
_MORE: Final = (f"{b};{a}{c}" for a, b, c in product(_OPENINGS, _KEYWORDS, _ENDS))
STRINGS: Final = tuple(dict.fromkeys((*INJECTIONS, *_MADE, *_MORE)))

_LETTERS: Final = (
    *("a", "A", "/", ":", "|", "%", "_", "'", "\\", ".", "-", " ", "\u00a0", "\u200b"),
    *("\u00e9", "e\u0301", "\u0430", "\uff41", "\ufb01", "fi", "\u0130", "i", "\u00df", "ss"),
)

TRAVERSALS: Final = (
    *("..", "../x", "../../etc/passwd", "/etc/passwd", "..\\x", "C:\\x", "%2e%2e%2fx", "a/../../x"),
    *(
        "~root",
        "sessions.json",
        "sessions.db",
        ".lock",
        "file:x",
        "-",
        ".",
        "a/b/c",
        "con",
        "$HOME",
    ),
)


@contextmanager
def quotes_by_hand() -> Iterator[None]:
    """Texts are put into the statement, between quotes."""

    def quoted(
        dialect: Dialect, connection: Any, construct: Construct, values: Mapping[str, Any]
    ) -> Any:
        made = prepared(construct, dialect.compiler)
        names = iter(made.names)
        texts, given = [], list[str]()
        for part in re.split(r"(\?|\$\d+)", made.text):
            if not re.fullmatch(r"\?|\$\d+", part):
                texts.append(part)
                continue
            name = next(names) if part == "?" else made.names[int(part[1:]) - 1]
            if name in SessionKey._fields:
                texts.append(f"'{values[name]}'")
            elif part == "?" or name not in given:
                given.append(name)
                texts.append("?" if part == "?" else f"${len(given)}")
            else:
                texts.append(f"${given.index(name) + 1}")
        everything = {**values, **made.fixed}
        return dialect.send(connection, "".join(texts), [everything[name] for name in given])

    with patch.object(Dialect, "execute", quoted):
        yield


@contextmanager
def ids_are_patterns() -> Iterator[None]:
    matches = Filter.matches

    def matched(query: Filter, record: SessionRecord) -> bool:
        others = query._replace(app_name=None, user_id=None, session_id=None)
        return matches(others, record) and all(
            getattr(query, name) is None or fnmatchcase(getattr(record, name), getattr(query, name))
            for name in SessionKey._fields
        )

    with patch.object(Filter, "matches", matched):
        yield


@contextmanager
def ids_are_folded() -> Iterator[None]:
    """As a collation does that compares without case and accents' forms."""
    identifier = codec.identifier

    def folded(value: Any, *rest: Any) -> str:
        return unicodedata.normalize("NFKC", identifier(value, *rest)).casefold()

    with patch.object(codec, "identifier", folded):
        yield


@contextmanager
def what_is_anothers_is_said() -> Iterator[None]:
    """Who asks for a session of somebody else hears that there is one."""
    load = SessionRepository.load

    def told(store: SessionRepository, key: SessionKey, *rest: Any) -> Any:
        owners = store.select(Filter(key.app_name, None, key.session_id), None, None, rest[0])
        if owners and key.user_id not in {owner.user_id for owner in owners}:
            raise SessionStoreError("it is not yours")
        return load(store, key, *rest)

    with patch.object(SessionRepository, "load", told):
        yield


@contextmanager
def any_text_is_an_id() -> Iterator[None]:
    with patch.object(codec, "identifier", lambda value, *_: value):
        yield


@check(
    "C2",
    "a text that means something to a database finds, as any id or label, only itself",
    stores=["sqlite", "postgresql"],
    trials=(100, 1000),
    broken=[quotes_by_hand],
)
@check(
    "C2",
    "a text that means something to a database finds, as any id or label, only itself",
    stores=["memory", "file"],
    trials=(100, 1000),
    broken=[ids_are_patterns],
)
def injections(place: Place, trials: int) -> Outcomes:
    texts = list(islice(STRINGS, trials))
    with place.open() as store:
        for text in texts:
            yield _refused(partial(_store_as, store, text))
        for text in texts:
            yield _refused(partial(_find_as, store, text))
        yield None if count(store) == len(texts) else "some are gone, or more"


def _refused(work: Callable[[], str | None]) -> str | None:
    """What went wrong; an error of any kind is wrong."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whatever an injection does
        return f"{type(error).__name__}: {error}"


def _store_as(store: SessionRepository, text: str) -> None:
    key = SessionKey(text, text, text)
    create(store, key, metadata={"label": text, text: text}, agent_states={text: {text: text}})
    change(store, key, entries=[NewEntry(payload=text, entry_id=text, kind=text[:30])])


def _find_as(store: SessionRepository, text: str) -> str | None:
    key = SessionKey(text, text, text)
    conditions: list[dict[str, Any]] = [
        *({name: text} for name in key._fields),
        {"metadata": {"label": text}},
        {"metadata": {text: text}},
    ]
    for condition in conditions:
        if [head.key for head in listed(store, **condition)] != [key]:
            return f"{condition} finds others, or nothing"
    session = load(store, key, kind=text[:30])
    is_whole = session.entries[0].entry_id == text and session.agent_states == {text: {text: text}}
    return None if is_whole else f"what was stored as {text!r} is another"


@check(
    "C3",
    "the sessions of one (app, user, id) are no other's; what is not yours looks like what is not",
    stores=STORES,
    trials=(300, 10_000),
    broken=[ids_are_folded, what_is_anothers_is_said],
)
def triples(place: Place, trials: int) -> Outcomes:
    keys = _random_keys(trials)
    with place.open() as store:
        for start in range(0, trials, BATCH):
            batch = keys[start : start + BATCH]
            operations = [creation(key, state={"of": list(key)}) for key in batch]
            refused = refusal(partial(store.commit, operations))
            yield f"other sessions are in the way: {refused}" if refused else None
        known = set(keys)
        service = SessionService(store, cleanup_interval=None, clock=lambda: at().now)
        for number, key in enumerate(keys):
            theirs = key._replace(user_id=keys[number - 1].user_id)
            yield _crossing(service, key, key if theirs in known else theirs)
        service.close()


def _random_keys(number: int) -> list[SessionKey]:
    chance = random.Random(3)
    keys: dict[SessionKey, None] = {}
    while len(keys) < number:
        parts = ["".join(chance.choices(_LETTERS, k=chance.randint(1, 4))) for _ in range(3)]
        keys[SessionKey(*parts)] = None
    return list(keys)


def _crossing(service: SessionService, key: SessionKey, theirs: SessionKey) -> str | None:
    """``theirs``: the same id of a user who has no session of it."""
    store = service.repository
    found = load(store, key)
    if found.key != key or found.state != {"of": list(key)}:
        return f"{key} is {found.key}"
    nobodys = key._replace(session_id=f"{key.session_id} of nobody")
    answers = {
        _answer(partial(call, one), one)
        for one in (theirs, nobodys)
        if one != key
        for call in (
            partial(load, store),
            partial(change, store),
            lambda of: service.get_session(of[2], user_id=of[1], app_name=of[0]),
        )
    }
    return None if len(answers) == 1 else f"what is another's can be told: {answers}"


def _answer(work: Callable[[], object], key: SessionKey) -> str:
    """The error, without the id that it was asked for."""
    try:
        return f"{work()}"
    except SessionStoreError as error:
        return f"{type(error).__name__}: {error}".replace(str(key), "…")


@check(
    "C9",
    "ids that are paths are ids; NUL, control characters and what is overlong is refused",
    stores=STORES,
    trials=(EVERY, EVERY),
    broken=[any_text_is_an_id],
)
def odd_ids(place: Place, _: int) -> Outcomes:
    with place.open() as store:
        create(store)
        change(store)
        around = _names_around(place)
        for text in TRAVERSALS:
            key = SessionKey(text, text, text)
            create(store, key, state={"of": text})
            found = load(store, key).state == {"of": text} and _names_around(place) == around
            yield None if found else f"{text!r} is not only an id"
        before = contents(store)
        for name, bad in BAD_IDS.items():
            for where, work in _uses(store, bad).items():
                yield _accepted(work, f"{name} as {where}")
        yield None if contents(store) == before else "something was written"


def _names_around(place: Place) -> list[str]:
    """Of the files in the store's directory and beside it."""
    directory = place.directory
    return sorted(str(path) for path in (*directory.glob("*"), *directory.parent.glob("*")))


def _uses(store: SessionRepository, bad: Any) -> dict[str, Callable[[], object]]:
    key = SessionKey("app", "ada", "s1")
    uses: dict[str, Callable[[], object]] = {
        f"{part} of a {call.__name__}": partial(call, store, key._replace(**{part: bad}))
        for part in key._fields
        for call in (create, load, change)
    }
    changes: dict[str, dict[str, Any]] = {
        "an entry_id": {"entries": [NewEntry(payload=1, entry_id=bad)]},
        "a kind": {"entries": [NewEntry(payload=1, entry_id="e", kind=bad)]},
        "a checkpoint_id": {"checkpoint": NewCheckpoint(checkpoint_id=bad)},
        "an agent": {"agent_states": {bad: {"a": 1}}},
    }
    return uses | {name: partial(change, store, key, **one) for name, one in changes.items()}


def _accepted(work: Callable[[], object], what: str) -> str | None:
    """What is wrong with anything but the refusal of a value."""
    try:
        raised = refusal(work)
    except Exception as error:  # noqa: BLE001 - no other error is right
        raised = type(error).__name__
    return None if raised == "InvalidValueError" else f"{what}: {raised or 'accepted'}"
