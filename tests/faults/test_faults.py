"""Every check of the suite holds at its small count, and catches each of its broken variants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from tests.faults.frame import Broken, Check, Run, check, is_caught, run, run_broken, spread
from tests.faults.place import Place, Servers
from tests.faults.suite import checks

GOES = 3
"""A race can be missed by processes that wait for a busy machine."""

HELD = [
    pytest.param(check, store, id=f"{check.name}-{store}")
    for check in checks()
    for store in check.stores
]
BROKEN = [
    pytest.param(check, store, broken, id=f"{check.name}-{store}-{broken.__name__}")
    for check in checks()
    for store in check.stores
    for broken in check.broken
]


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> Servers:
    return Servers(request.getfixturevalue)


@pytest.mark.parametrize(("check", "store"), HELD)
def test_holds(check: Check, store: str, servers: Servers) -> None:
    _skip_if_missing(check)
    found = run(check, store, servers, check.trials[0])
    assert found.trials > 0
    assert len(found.failures) <= check.bound, "\n".join(found.failures[:5])


@pytest.mark.parametrize(("check", "store", "broken"), BROKEN)
def test_its_broken_variant_is_caught(
    check: Check, store: str, broken: Broken, servers: Servers
) -> None:
    _skip_if_missing(check)
    goes = (run_broken(check, store, servers, broken) for _ in range(GOES))
    assert any(is_caught(check, found) for found in goes)


def _skip_if_missing(check: Check) -> None:
    if missing := check.missing():
        pytest.skip(missing)


def works() -> nullcontext[None]:
    return nullcontext()


def _declared(*outcomes: str | None) -> Check:
    def work(place: Place, trials: int) -> Iterator[str | None]:
        yield from outcomes[:trials]

    promise = "an example"
    return Check("X0", promise, ["memory"], (9, 9), [works], work, 9, 1, [], "")


def test_a_check_without_a_broken_variant_can_not_be_declared() -> None:
    with pytest.raises(TypeError, match="X0 has no broken variant"):
        check("X0", "an example", stores=["memory"], trials=(1, 1), broken=[])


def test_what_never_fails_catches_nothing(servers: Servers) -> None:
    example = _declared(None, "one", None)
    found = run_broken(example, "memory", servers, works)
    assert not is_caught(example, found)
    assert (found.trials, found.failures) == (3, ["one"])


def test_a_broken_variant_ends_when_it_is_caught(servers: Servers) -> None:
    example = _declared("one", "two", "three")
    found: Run = run_broken(example, "memory", servers, works)
    assert is_caught(example, found)
    assert found.trials == 2


def test_points_are_spread_evenly() -> None:
    assert spread(range(1, 10), 3) == [1, 5, 9]
    assert spread(range(3), 5) == range(3)
