"""The connections of one store, each used by one thread at a time.

Not SQLAlchemy's pool, because of what its import costs. From process start, opening an SQLite store
and reading a session took 1.5 times as long with it as reading one row by hand through SQLAlchemy,
and takes 0.8 times without it (``benchmarks/cold_start.py``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from session_store.errors import StoreClosedError, StoreUnavailableError


class Pool(Protocol):
    """What the runner needs of a pool."""

    @property
    def size(self) -> int: ...

    def connection(self) -> AbstractContextManager[Any]: ...

    def drop_idle(self) -> None: ...

    def close(self) -> None: ...

    def pause(self) -> None: ...

    def go_on(self) -> None: ...

    def start_anew(self) -> list[Any]: ...


class ConnectionPool:
    """At most ``size`` connections of a driver, made by ``connect`` when they are needed.

    ``patience``: seconds to wait for one while all are in use. ``is_alive``: whether one that lay
    idle can still be used. All are closed before a fork, and a child starts with none: an inherited
    connection endangers parent and child.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        *,
        size: int,
        patience: float,
        driver_error: type[Exception],
        is_alive: Callable[[Any], bool] = lambda _: True,
    ) -> None:
        self.size: Final = size
        self._connect, self._patience, self._driver_error = connect, patience, driver_error
        self._is_alive = is_alive
        self._idle: list[Any] = []
        self._closed = self._paused = False
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._freed, self._emptied = (threading.Condition(self._lock) for _ in range(2))
        self._in_use = self._emptying = 0

    def connection(self) -> AbstractContextManager[Any]:
        """A connection that nobody else uses; what it leaves open is rolled back.

        ``StoreUnavailableError`` when none becomes free, or the pool is closed.
        """
        return _Lease(self)

    def take(self) -> Any:
        """A connection that is nobody else's until it is given back."""
        self._take_place()
        try:
            return self._opened()
        except BaseException:
            self._free(1)
            raise

    def give_back(self, connection: Any, error: BaseException | None) -> None:
        """After its use, which ended with ``error``."""
        try:
            if isinstance(error, self._driver_error):
                # Not used again. SQLite, for one, opens a file read-only when it can't otherwise,
                # as when descriptors run out, and would refuse to write for ever after.
                connection.close()
            else:
                self._rest(connection)
        finally:
            self._free(1)

    def add(self, connection: Any) -> None:
        """Let ``connection`` be the next one to be used."""
        self._idle.append(connection)

    def drop_idle(self) -> None:
        """Close the connections that nobody uses."""
        while (connection := self._popped()) is not None:
            connection.close()

    def close(self) -> None:
        """Refuse from now on, wait for what is under way, close all connections."""
        self._closed = True
        if self._is_emptied():
            self._free(self.size)

    def _take_place(self) -> None:
        with self._lock:
            if not (self._has_place() or self._freed.wait_for(self._has_place, self._patience)):
                raise StoreUnavailableError(
                    f"all {self.size} connections stayed in use for {self._patience:g} s; open the "
                    "store with a greater pool_size, or call it from fewer threads"
                )
            self._in_use += 1

    def _has_place(self) -> bool:
        return self._in_use < self.size and not self._emptying

    def _free(self, places: int) -> None:
        with self._lock:
            self._in_use -= places
            if self._emptying:
                self._emptied.notify_all()
            else:
                self._freed.notify(places)

    def _opened(self) -> Any:
        if self._closed:
            raise StoreClosedError("the store is closed; open it again")
        while (connection := self._popped()) is not None:
            if self._is_alive(connection):
                return connection
            connection.close()
        return self._connect()

    def _popped(self) -> Any | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _rest(self, connection: Any) -> None:
        try:
            connection.rollback()
        except self._driver_error:
            connection.close()
        else:
            self._idle.append(connection)

    def _is_emptied(self) -> bool:
        """Take every place, as soon as it is free, and close the connections; false, and nothing
        taken, when one stays in use.

        Newcomers wait at the gate: a thread that reads without a pause takes its place again
        before anybody else can, and held this up for more than 30 s.
        """
        with self._lock:
            self._emptying += 1
            try:
                if not self._emptied.wait_for(lambda: not self._in_use, self._patience):
                    return False
            finally:
                self._emptying -= 1
                self._freed.notify_all()
            self._in_use = self.size
        self.drop_idle()
        return True

    # Around a fork --------------------------------------------------------------------------------

    def pause(self) -> None:
        """Before: let no connection be open."""
        self._paused = self._is_emptied()

    def go_on(self) -> None:
        """After, in the parent."""
        if self._paused:
            self._free(self.size)

    def start_anew(self) -> list[Any]:
        """After, in the child: what is still open, which is the parent's and must not be closed.

        A pool that could not be emptied stays closed.
        """
        inherited, self._idle = self._idle, []
        self._start()
        self._closed = self._closed or not self._paused
        return inherited


class _Lease(AbstractContextManager[Any]):
    """A class, as a generator takes longer to enter and leave than to get a connection."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def __enter__(self) -> Any:
        self._connection = self._pool.take()
        return self._connection

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._pool.give_back(self._connection, error)
