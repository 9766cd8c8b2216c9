"""A buffer is not noticed: the same calls get the same answers with it and without it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import product, starmap
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from session_store import NewEntry, SessionService, SessionStoreError, Status
from session_store.backends.memory import MemoryRepository
from session_store.service.keywords import Conditions
from tests.service.support import FakeClock

Step = Callable[[SessionService, FakeClock], object]

IDS, USERS, APPS = ("s1", "s2"), ("ada", "bob"), ("app", "other")

who = st.fixed_dictionaries({"user_id": st.sampled_from(USERS), "app_name": st.sampled_from(APPS)})
session_ids = st.sampled_from(IDS)
keys = st.sampled_from(("a", "b"))
documents = st.dictionaries(keys, st.integers(0, 2), max_size=2)
entries = st.builds(
    NewEntry,
    payload=st.integers(0, 1),
    kind=st.sampled_from(("message", "event")),
    entry_id=st.sampled_from(("e1", "e2", "e3")),
)
checkpoint_ids = st.sampled_from(("c1", "c2"))
versions = st.none() | st.integers(1, 4)
hours = st.none() | st.floats(0.5, 2)


def _create(id_: str, who: Any, state: Any, metadata: Any, hours: float | None) -> Step:
    return lambda s, clock: s.create_session(
        session_id=id_,
        state=state,
        metadata=metadata,
        expires_at=None if hours is None else clock.now + timedelta(hours=hours),
        **who,
    )


def _append(id_: str, who: Any, batch: Any, version: Any) -> Step:
    return lambda s, _: s.append(id_, batch, expected_version=version, **who)


def _update(id_: str, who: Any, state: Any, app_state: Any, user_state: Any) -> Step:
    return lambda s, _: s.update_state(
        id_, state, app_state=app_state, user_state=user_state, **who
    )


def _checkpoint(id_: str, who: Any, name: str, pause: bool) -> Step:
    def take(service: SessionService, _: FakeClock) -> object:
        call = service.pause_session if pause else service.create_checkpoint
        return call(id_, checkpoint_id=name, **who)

    return take


def _restore(id_: str, who: Any, name: str, rewind: bool) -> Step:
    return lambda s, _: s.restore_checkpoint(id_, name, rewind=rewind, **who)


def _fork(id_: str, who: Any, name: str | None, new: str) -> Step:
    return lambda s, _: s.fork_session(id_, checkpoint_id=name, new_session_id=new, **who)


def _simple(method: str, id_: str, who: Any) -> Step:
    return lambda s, _: getattr(s, method)(id_, **who)


def _wait(hours: float) -> Step:
    return lambda _, clock: clock.advance(hours=hours)


SIMPLE = ("resume_session", "complete_session", "fail_session", "touch_session", "delete_session")
_SAVE = object()

steps = st.one_of(
    st.builds(_create, session_ids, who, documents, documents, hours),
    st.builds(_append, session_ids, who, st.lists(entries, min_size=1, max_size=3), versions),
    st.builds(_update, session_ids, who, documents, documents, documents),
    st.builds(_checkpoint, session_ids, who, checkpoint_ids, st.booleans()),
    st.builds(_restore, session_ids, who, checkpoint_ids, st.booleans()),
    st.builds(_fork, session_ids, who, st.none() | checkpoint_ids, session_ids),
    st.builds(_simple, st.sampled_from(SIMPLE), session_ids, who),
    st.builds(_wait, st.sampled_from((0.1, 0.6))),
    st.just(_SAVE),
)


Ask = Callable[[SessionService], object]


def _pages(conditions: Conditions) -> Ask:
    return lambda service: list(service.pages(limit=2, **conditions))


def _count(conditions: Conditions) -> Ask:
    return lambda service: service.get_session_count(**conditions)


def _session(app_name: str, user_id: str, session_id: str) -> Ask:
    return lambda service: service.get_session(session_id, user_id=user_id, app_name=app_name)


def _shared(app_name: str, user_id: str | None) -> Ask:
    return lambda service: service.get_shared_state(user_id=user_id, app_name=app_name)


def _stats(service: SessionService) -> object:
    stats = service.get_storage_stats()
    return [stats[f"{which}_sessions"] for which in ("total", "active", "expired")]


CONDITIONS: list[Conditions] = [
    {},
    {"user_id": "ada"},
    {"app_name": "app", "order_by": "created_at"},
    {"status": (Status.RUNNING, Status.PAUSED)},
    {"metadata": {"a": 1}},
]
QUESTIONS: list[Ask] = [
    _stats,
    *map(_pages, CONDITIONS),
    *map(_count, CONDITIONS),
    *starmap(_session, product(APPS, USERS, IDS)),
    *starmap(_shared, product(APPS, (None, *USERS))),
]


def answer(call: Callable[..., object], *arguments: object) -> object:
    try:
        return call(*arguments)
    except SessionStoreError as error:
        return type(error), str(error)


def new_service(clock: FakeClock, *, auto_save: bool) -> SessionService:
    return SessionService(
        MemoryRepository(),
        auto_save=auto_save,
        cleanup_interval=None,
        expiration_hours=1,
        clock=clock,
    )


@given(st.lists(steps, min_size=20, max_size=40))
def test_a_buffered_service_answers_as_a_direct_one(steps: list[Any]) -> None:
    clock, other_clock = FakeClock(), FakeClock()
    with (
        new_service(clock, auto_save=True) as direct,
        new_service(other_clock, auto_save=False) as buffered,
    ):
        for step in [*steps, _SAVE]:
            if step is _SAVE:
                buffered.force_save()
            else:
                assert answer(step, direct, clock) == answer(step, buffered, other_clock)
            for ask in QUESTIONS:
                assert answer(ask, direct) == answer(ask, buffered)
