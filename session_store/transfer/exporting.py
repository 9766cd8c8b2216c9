"""``export_sessions``: all that a store holds, as a file that can be read without this package."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from session_store.clock import Clock, utc_now
from session_store.core import codec
from session_store.errors import CorruptStoreError, InvalidValueError, TransferError
from session_store.repository import SessionRepository
from session_store.transfer import files
from session_store.transfer import format as lines
from session_store.transfer.sessions import (
    Progress,
    Shared,
    Stored,
    checked,
    no_progress,
    sessions,
    shared,
    stored_versions,
)


@dataclass(slots=True)
class ExportReport:
    """What is in the file."""

    sessions: int = 0
    entries: int = 0
    shared: int = 0
    bytes: int = 0


def export_sessions(
    repository: SessionRepository,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    on_progress: Progress = no_progress,
    clock: Clock = utc_now,
) -> ExportReport:
    """Write all sessions and shared documents of ``repository`` to ``path``; ``-`` is the standard
    output.

    Expired sessions that are still stored are among them. Each session is of one moment, though
    others are written meanwhile. By its suffix the file is compressed: ``.zst`` or ``.gz``. It is
    there when it is whole, for its owner only. ``TransferError`` when there is one already, unless
    it is to be overwritten.
    """
    report = ExportReport()
    found = _watched(repository, on_progress)
    written = written_lines(found, shared(repository), clock(), report)
    report.bytes = files.write(path, written, overwrite=overwrite)
    return report


def written_lines(
    found: Iterable[Stored], documents: Iterable[Shared], now: datetime, report: ExportReport
) -> Iterator[bytes]:
    """The lines of a file, counted in ``report``."""
    digest = hashlib.sha256()
    for line in _body(found, documents, now, report):
        digest.update(line)
        yield line
    yield lines.end(report.sessions, report.entries, report.shared, digest.hexdigest())


def _body(
    found: Iterable[Stored], documents: Iterable[Shared], now: datetime, report: ExportReport
) -> Iterator[bytes]:
    yield lines.header(now)
    for stored in found:
        put = checked(stored)
        yield from lines.session_lines(put.record, put.entries)
        report.sessions += 1
        report.entries += len(put.entries)
    for one in documents:
        yield lines.shared_line(one.scope, canonical(one))
        report.shared += 1


def canonical(one: Shared) -> str:
    try:
        return codec.encode_document(codec.decode(one.document, "it"), "it")
    except (InvalidValueError, CorruptStoreError) as error:
        raise TransferError(f"the shared document of {one.scope} can't be moved: {error}") from None


def _watched(repository: SessionRepository, on_progress: Progress) -> Iterator[Stored]:
    """All sessions; progress is in sessions and their entries."""
    done, total = 0, sum(1 + version.last_seq for version in stored_versions(repository))
    on_progress(done, total)
    for stored in sessions(repository):
        yield stored
        done += 1 + len(stored.entries)
        on_progress(min(done, total), total)
    on_progress(total, total)
