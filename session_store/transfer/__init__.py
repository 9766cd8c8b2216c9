"""Sessions on the move: to a file and back, and from one store to another.

All of it is made of the port's own calls, so any back end can be either side. Nothing here changes
what a session is: versions, numbers, times and texts arrive as they were, expired or not.
"""

from __future__ import annotations

from session_store.transfer.copying import CopyReport, copy_sessions
from session_store.transfer.exporting import ExportReport, export_sessions
from session_store.transfer.importing import ImportReport, import_sessions

__all__ = [
    "CopyReport",
    "ExportReport",
    "ImportReport",
    "copy_sessions",
    "export_sessions",
    "import_sessions",
]
