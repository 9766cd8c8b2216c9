"""What Hypothesis makes: JSON values, ids, times, changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from session_store.session import (
    REMOVED,
    Changes,
    Documents,
    NewCheckpoint,
    NewEntry,
    Restored,
    Status,
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)
documents = st.dictionaries(st.text(), json_values, max_size=4)
utc = st.just(UTC)
times = st.datetimes(timezones=utc).map(lambda time: time.replace(fold=0))
identifiers = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=50
)

# Few names, so that writers meet at the same keys, entries and agents.
names = st.sampled_from("abc")
small_values: st.SearchStrategy[Any] = st.sampled_from([None, True, 1, 1.0, "x", [], {"deep": [1]}])
small_documents = st.dictionaries(names, small_values, max_size=3)
patches = st.dictionaries(names, small_values | st.just(REMOVED), max_size=3)
entries = st.builds(
    NewEntry,
    payload=st.sampled_from([1, 1, 1, 1.0, "x"]),
    kind=st.sampled_from(["message", "message", "event"]),
    entry_id=st.sampled_from([f"e{n}" for n in range(12)]),
)
restores = st.builds(
    Restored,
    status=st.sampled_from(Status),
    documents=st.builds(
        Documents,
        state=small_documents,
        agent_states=st.dictionaries(names, small_documents, max_size=2),
        metadata=small_documents,
    ),
)


def changes(start: datetime) -> st.SearchStrategy[Changes]:
    """Changes of a session that lives around ``start``; about half of them change one thing."""
    ends = st.integers(-10, 100).map(lambda seconds: start + timedelta(seconds=seconds))
    fields: dict[str, st.SearchStrategy[Any]] = {
        "state": patches,
        "agent_states": st.dictionaries(names, patches, max_size=2),
        "metadata": patches,
        "app_state": patches,
        "user_state": patches,
        "status": st.sampled_from(Status),
        "expires_at": st.just(REMOVED) | ends,
        "entries": st.lists(entries, max_size=4).map(tuple),
        "checkpoint": st.builds(NewCheckpoint, checkpoint_id=names, label=st.none() | names),
        "restore": restores,
        "rewind_to": st.integers(-1, 6),
    }
    several = st.fixed_dictionaries({}, optional=fields)
    one = st.one_of([st.fixed_dictionaries({name: field}) for name, field in fields.items()])
    return (one | several).map(lambda given: Changes(**given))
