"""Looking after a store: a copy of it in use, whether all in it is right, what is left of a damaged
one.

None of it changes the store that it is about.
"""

from __future__ import annotations

from session_store.maintenance.backup import BackupReport, backup_store
from session_store.maintenance.findings import Finding, VerifyReport
from session_store.maintenance.rebuild import RepairReport
from session_store.maintenance.repair import repair_store
from session_store.maintenance.verify import verify_store

__all__ = [
    "BackupReport",
    "Finding",
    "RepairReport",
    "VerifyReport",
    "backup_store",
    "repair_store",
    "verify_store",
]
