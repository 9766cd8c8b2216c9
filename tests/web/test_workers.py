"""Several workers over one store: every acknowledged append is there, in order; nothing fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.http_load import Acknowledged, Load, compare, run
from session_store import SessionService
from tests.service.conftest import durable
from tests.service.support import Store

__all__ = ["durable"]


@pytest.mark.slow
def test_every_append_that_two_workers_acknowledged_is_there(
    durable: Store, tmp_path: Path
) -> None:
    """`python -m benchmarks.http_load` is the same for longer."""
    name = "SESSION_STORAGE_URL" if durable.type == "postgresql" else "SESSION_STORAGE_PATH"
    environment = {"SESSION_STORAGE_TYPE": durable.type, name: durable.place}
    load, verdict = run(environment, tmp_path, seconds=3, clients=16, workers=2)
    assert verdict.is_good
    assert load.statuses.keys() == {200, 201}
    assert len(load.workers) == 2
    acknowledged = sum(map(len, load.acknowledged))
    assert verdict.stored == acknowledged >= 50


def test_the_comparison_finds_what_is_wrong(service: SessionService) -> None:
    for number in range(16):
        service.create_session(user_id="ada", session_id=f"s{number}")
    service.append("s0", "a", entry_id="a")
    service.append("s0", "b", entry_id="b")
    good = [Acknowledged("s0", "a", 1), Acknowledged("s0", "b", 2)]
    assert compare(service, Load(acknowledged=[good])).is_good
    lost = [Acknowledged("s0", "c", 3), Acknowledged("s1", "a", 1)]
    assert compare(service, Load(acknowledged=[good, lost])).missing == 2
    assert compare(service, Load(acknowledged=[good[::-1]])).disordered == 1
