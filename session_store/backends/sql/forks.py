"""Forks: a child must not use, or close, connections that its parent opened."""

from __future__ import annotations

import os
from typing import Any, Final, Protocol
from weakref import WeakSet


class Watched(Protocol):
    def before_fork(self) -> None: ...

    def after_fork_in_parent(self) -> None: ...

    def after_fork_in_child(self) -> None: ...


_watched: Final[WeakSet[Any]] = WeakSet()
_inherited: Final[list[Any]] = []


def watch(one: Watched) -> None:
    """Tell ``one`` of forks for as long as it lives."""
    _watched.add(one)


def keep(*inherited: Any) -> None:
    """Keep what a parent left to this process until it ends, so that nothing is done with it."""
    _inherited.extend(inherited)


def _before() -> None:
    for one in list(_watched):
        one.before_fork()


def _after_in_parent() -> None:
    for one in list(_watched):
        one.after_fork_in_parent()


def _after_in_child() -> None:
    for one in list(_watched):
        one.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
