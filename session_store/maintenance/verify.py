"""``verify_store``: everything is read, and what is wrong is told with its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from session_store.backends import Storage, open_storage, sqlite_file
from session_store.errors import SettingsError, StoreUnavailableError
from session_store.maintenance.findings import OnFinding, VerifyReport, ignore
from session_store.transfer.sessions import Progress, no_progress

if TYPE_CHECKING:
    from session_store.backends.sql.repository import SqlRepository


def verify_store(
    storage: Storage,
    *,
    on_finding: OnFinding = ignore,
    on_progress: Progress = no_progress,
    **options: Any,
) -> VerifyReport:
    """Read all of a store, which is not changed by it and may be in use.

    Checksums, pages, indexes, counts; of every session and entry: ids, numbers without gaps,
    versions, times, JSON and its limits. ``on_finding`` is told of each thing that is wrong, when
    it is found; what stands there is never in it. ``SchemaError`` for the tables of another
    release. ``options`` are those of a database server's back end.
    """
    report = VerifyReport()
    if storage.type == "sqlite":
        _verify_sqlite(storage, report, on_finding, on_progress)
    elif storage.type == "file":
        from session_store.maintenance.verify_file import verify_file

        path = Path(str(storage.path), "sessions.json").absolute()
        verify_file(path, report, on_finding, on_progress)
    elif storage.type == "postgresql":
        from session_store.maintenance.tables import ServerTables
        from session_store.maintenance.verify_tables import TablesCheck

        with open_storage(storage, **options) as repository:
            tables = ServerTables(cast("SqlRepository", repository))
            TablesCheck(tables, str(storage.path), report, on_finding).run(on_progress)
    else:
        raise SettingsError("what is in memory is another process's own; name a store that lasts")
    return report


def _verify_sqlite(
    storage: Storage, report: VerifyReport, on_finding: OnFinding, on_progress: Progress
) -> None:
    from session_store.backends.sql.sqlite import file as database_file
    from session_store.maintenance.verify_tables import verify_sqlite

    path = database_file.located(sqlite_file(str(storage.path)))
    if not path.exists():
        raise StoreUnavailableError(f"there is no store {path}; is the path right?")
    verify_sqlite(path, report, on_finding, on_progress)
