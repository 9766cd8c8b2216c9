"""``copy_sessions``: one store into another, as often as is wanted; each time what differs.

A round compares the versions that both hold, in the order of a scan, and copies the sessions of
which these differ. To catch up with a source in use, or to go on after a kill, is to do that again.
All that is written is read back, and compared with what the source had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from session_store.clock import Clock, utc_now
from session_store.core.operations import Delete, Moment, Operation, Put, Share
from session_store.core.records import StoredVersion
from session_store.errors import SessionExistsError, StaleSessionError, TransferError
from session_store.repository import SessionRepository
from session_store.session import SessionKey
from session_store.transfer.importing import OnConflict, check_policy
from session_store.transfer.sessions import (
    STORED,
    Batches,
    Named,
    Progress,
    Stored,
    checked,
    is_newer,
    no_progress,
    paired,
    same,
    shared,
    stored_versions,
)

Freeze: TypeAlias = Callable[[], None]
"""Returns when the application writes to the source no more."""

FEW: Final = 100
"""Sessions of which a round is short enough to be the one that the application waits for."""

ROUNDS: Final = 10
"""After which a source that is still ahead is no longer waited for."""

Pair: TypeAlias = tuple[StoredVersion | None, StoredVersion | None]
"""What the source and the destination have of one key."""


@dataclass(slots=True)
class CopyReport:
    """How many sessions were copied, or removed as the source has none; ``kept`` are the
    destination's own, by ``on_conflict``. ``sessions`` and ``entries`` are what both hold in the
    end; of the sessions, ``compared`` were there already and were read on both sides."""

    sessions: int = 0
    entries: int = 0
    copied: int = 0
    entries_copied: int = 0
    removed: int = 0
    kept: int = 0
    compared: int = 0
    shared: int = 0
    rounds: int = 0


def copy_sessions(
    source: SessionRepository,
    destination: SessionRepository,
    *,
    on_conflict: OnConflict = "fail",
    delete: bool = False,
    verify: bool = True,
    freeze: Freeze | None = None,
    on_progress: Progress = no_progress,
    clock: Clock = utc_now,
) -> CopyReport:
    """Let ``destination`` hold what ``source`` holds, and nothing else.

    A destination that holds something already must have it from this source: an older state of a
    session is replaced. For others ``on_conflict`` says what to do; those that the source does not
    have are in the way, unless ``delete`` removes them. ``TransferError`` otherwise, and nothing
    was written. ``verify``: sessions that seem to be there already are read on both sides.

    ``freeze`` is for a source in use: it is called when little is left to copy, and returns when
    the application has stopped. Without it the source must be at rest in the end.
    """
    check_policy(on_conflict)
    copy = _Copy(source, destination, on_conflict, clock, may_delete=delete)
    copy.check()
    left = copy.round(on_progress, verify=verify)
    if freeze:
        while left > FEW and copy.report.rounds < ROUNDS:
            left = copy.round(on_progress)
        freeze()
        left = copy.round(on_progress)
    while left or not copy.is_compared:
        if copy.report.rounds >= 2 * ROUNDS:
            raise TransferError(
                "the source is being written to all the time; stop the application for the end, "
                "or run this again: it goes on where it was"
            )
        left = copy.round(on_progress)
    return copy.report


class _Copy:
    def __init__(
        self,
        source: SessionRepository,
        destination: SessionRepository,
        on_conflict: OnConflict,
        clock: Clock,
        *,
        may_delete: bool,
    ) -> None:
        self._source, self._destination = source, destination
        self._policy, self._clock, self._may_delete = on_conflict, clock, may_delete
        self._seen: set[int] = set()
        self._total = 0
        self.report = CopyReport()

    @property
    def is_compared(self) -> bool:
        """Whether a round came after the one that copied all, and saw no difference."""
        return self.report.rounds > 1

    # Before -------------------------------------------------------------------------------------

    def check(self) -> None:
        """Whether the destination is empty or was made by this copy; nothing is written."""
        strange, conflicts = Named(), Named()
        for one, other in self._pairs():
            self._total += 1 + one.last_seq if one else 0
            if one is None and other and not self._may_delete:
                strange.add(other.key)
            elif one and other and self._policy == "fail" and not _is_older(other, one):
                conflicts.add(one.key)
        self._check_shared(strange)
        if strange.count:
            raise TransferError(
                f"the destination holds {strange.count:,} that the source does not have: "
                f"{strange}; nothing was written. Use an empty one, or let them be deleted"
            )
        if conflicts.count:
            raise TransferError(
                f"the destination holds {conflicts.count:,} that are not from this source: "
                f"{conflicts}; nothing was written. Say what to do with them: skip, replace, newer"
            )

    def _check_shared(self, strange: Named) -> None:
        """Shared documents have no version: the source's is taken for the newer one."""
        if self._may_delete:
            return
        for one in shared(self._destination):
            if self._source.fetch_shared(one.scope) == "{}":
                strange.add(f"shared document of {one.scope}")

    # A round ------------------------------------------------------------------------------------

    def round(self, on_progress: Progress, *, verify: bool = False) -> int:
        """Copy what differs; how many sessions that were. ``verify`` compares the others too."""
        self.report.rounds += 1
        self.report.sessions = self.report.entries = self.report.kept = 0
        before = self.report.copied + self.report.removed
        done = 0
        batches = Batches[Pair](lambda pair: pair[0].last_seq if pair[0] else 0)
        for batch in batches.of(self._to_do(verify=verify)):
            batches.saw(self._carry_out(batch))
            done += sum(1 + one.last_seq for one, _ in batch if one)
            if self.report.rounds == 1:
                on_progress(min(done, self._total), self._total)
        self._share()
        return self.report.copied + self.report.removed - before

    def _pairs(self) -> Iterator[Pair]:
        """Of all keys. The source is asked first: what comes to be afterwards is the next round's,
        and what it no longer has is not missed."""
        for one, other in paired(stored_versions(self._source), stored_versions(self._destination)):
            if one:
                self._seen.add(hash(one.key))
            yield one, other

    def _to_do(self, *, verify: bool) -> Iterator[Pair]:
        for one, other in self._pairs():
            if one is None and other:
                self._refuse_strangers(other)
            elif one:
                self.report.sessions += 1
                self.report.entries += one.last_seq
            if one and other and self.report.rounds > 1:
                self._refuse_changes(one, other)
            if one and other and one != other and self._keeps(one, other):
                self.report.kept += 1
            elif one != other or verify:
                yield one, other

    def _refuse_strangers(self, other: StoredVersion) -> None:
        """What was copied and is gone from the source goes; another's session would too."""
        if not self._may_delete and hash(other.key) not in self._seen:
            raise TransferError(
                f"somebody else writes to the destination: session {other.key} is not the source's"
            )

    def _refuse_changes(self, one: StoredVersion, other: StoredVersion) -> None:
        """What was copied may fall behind, or the source has a new session of its key; but it does
        not go on by itself."""
        is_new = one.created_at != other.created_at
        if self._policy == "fail" and not is_new and not _is_older(other, one):
            raise TransferError(
                f"somebody else writes to the destination: session {other.key} has changed"
            )

    def _keeps(self, one: StoredVersion, other: StoredVersion) -> bool:
        if _is_older(other, one) or self._policy in ("fail", "replace"):
            return False
        return self._policy == "skip" or not is_newer(one, other)

    def _carry_out(self, batch: Sequence[Pair]) -> list[Stored]:
        """Write, read back and compare; what was read of the source."""
        gone = [other for one, other in batch if one is None and other]
        pairs = [(one, other) for one, other in batch if one]
        found = self._source.fetch_many([one.key for one, _ in pairs])
        puts = {
            one.key: checked(Stored(*found[one.key]), other)
            for one, other in pairs
            if one.key in found
        }
        found.clear()  # a long session is in memory twice already, when it is read back
        new = [puts[one.key] for one, other in pairs if one != other and one.key in puts]
        self._write([_removal(other) for other in gone], new)
        self._verify(list(puts.values()), {put.key for put in new})
        self.report.copied += len(new)
        self.report.entries_copied += sum(len(put.entries) for put in new)
        self.report.removed += len(gone)
        self.report.compared += len(puts) - len(new)
        return [Stored(put.record, put.entries) for put in puts.values()]

    def _write(self, removals: Iterable[Operation], puts: Iterable[Put]) -> None:
        operations = [*removals, *puts]
        if not operations:
            return
        try:
            self._destination.commit(operations)
        except (SessionExistsError, StaleSessionError) as error:
            raise TransferError(
                f"somebody else writes to the destination: session {error.key} has changed"
            ) from None

    def _verify(self, puts: Sequence[Put], written: set[SessionKey]) -> None:
        """``TransferError`` names sessions that are not in the destination as in the source."""
        found = self._destination.fetch_many([put.key for put in puts])
        wrong = Named()
        for put in puts:
            stored = found.get(put.key)
            if not same(put, stored and Stored(*stored)) and self._is_settled(put, written):
                wrong.add(put.key)
        if wrong.count:
            raise TransferError(
                f"{wrong.count:,} sessions are not the same on both sides: {wrong}; look at the "
                "destination's disk, and copy into an empty store"
            )

    def _is_settled(self, put: Put, written: set[SessionKey]) -> bool:
        """One that was not written may have changed in the source since it was compared."""
        if put.key in written:
            return True
        head = self._source.fetch_many([put.key], with_history=False).get(put.key)
        return head is not None and StoredVersion.of(head[0]) == StoredVersion.of(put.record)

    def _share(self) -> None:
        operations: list[Operation] = [
            Share(*one.scope, one.document, Moment(self._clock()))
            for one in shared(self._source)
            if self._destination.fetch_shared(one.scope) != one.document
        ]
        if operations and self._policy != "skip":
            self._destination.commit(operations)
            self.report.shared += len(operations)


def _removal(stored: StoredVersion) -> Operation:
    return Delete(stored.key, STORED, expected=stored)


def _is_older(other: StoredVersion, than: StoredVersion) -> bool:
    """Whether ``other`` may be an earlier state of the same session, or is this one."""
    if other == than:
        return True
    return other.created_at == than.created_at and other.version < than.version
