"""What reads what strangers wrote: each function reads or refuses, and nothing else comes out.

What it takes is sound: it can be written, and is then read again as the same. Findings of the
fuzzers are kept as examples in ``test_readers``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from io import BytesIO, TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from session_store.backends import open_repository, storage_of
from session_store.backends.json_file.format import Contents, decode, decode_edited, encode
from session_store.backends.memory import MemoryRepository
from session_store.backends.sql.postgresql.connecting import _parameters
from session_store.backends.sql.postgresql.url import PostgresUrl
from session_store.cli.main import main
from session_store.core.queries import from_cursor, to_cursor
from session_store.errors import (
    CorruptStoreError,
    InvalidValueError,
    SettingsError,
    TransferError,
)
from session_store.settings import Settings
from session_store.transfer import export_sessions, import_sessions
from tests.backends.json_files import resealed
from tests.transfer.hostile import resealed as resealed_archive
from tests.transfer.support import held

PATH: Final = Path("/data/sessions.json")


def sessions_file(data: bytes) -> None:
    """``sessions.json``, with its checksum as it is and with a right one."""
    for text in (data, resealed(data)):
        with suppress(CorruptStoreError):
            _check_sound(decode(text, PATH, {})[0])
    with suppress(CorruptStoreError):
        _check_sound(decode_edited(data, PATH))


def _check_sound(contents: Contents) -> None:
    written = b"".join(encode(contents.table, contents.revision, {})[0])
    again = decode(written, PATH, {})[0]
    if [*again.table] != [*contents.table] or again.table.shared != contents.table.shared:
        raise AssertionError("what was read is written as something else")


def archive(data: bytes) -> None:
    """An export, or any other file that can be imported."""
    with TemporaryDirectory() as directory:
        for text in (data, _resealed(data)):
            Path(directory, "in.jsonl").write_bytes(text)
            with MemoryRepository() as memory, MemoryRepository() as other:
                try:
                    import_sessions(Path(directory, "in.jsonl"), memory)
                except (TransferError, CorruptStoreError, InvalidValueError):
                    if held(memory):
                        raise AssertionError("refused, but something is there") from None
                    continue
                export_sessions(memory, Path(directory, "out.jsonl"), overwrite=True)
                import_sessions(Path(directory, "out.jsonl"), other)
                if held(other) != held(memory):
                    raise AssertionError("what was read is written as something else")


def _resealed(data: bytes) -> bytes:
    try:
        return resealed_archive(data)
    except (ValueError, AttributeError, RecursionError):
        return data


def url(text: str) -> None:
    """A store's URL or path; what shows of it has no password."""
    with suppress(SettingsError):
        storage = storage_of(text)
        if storage.url is not None:
            with suppress(SettingsError):
                _parameters(storage.url, 1.0, pooler=False)
        if isinstance(storage.url, PostgresUrl) and "@" in f"{storage}":
            raise AssertionError("a user is shown")


def environment(variables: dict[str, str]) -> None:
    """The settings in an environment."""
    with suppress(SettingsError):
        Settings.load(None, variables).storage  # noqa: B018 - read, for what it may raise


def env_file(data: bytes) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory, ".env")
        path.write_bytes(data)
        with suppress(SettingsError):
            Settings.load(path, {})


def cursor(text: str) -> None:
    """A page's cursor; one that is taken stands for one place."""
    with suppress(InvalidValueError):
        position = from_cursor(text)
        if position and from_cursor(to_cursor(position)) != position:
            raise AssertionError("a cursor stands for two places")


def command_line(arguments: list[str]) -> None:
    """A command beside an empty store: it works, says what is wrong, or how it is used."""
    with TemporaryDirectory() as directory, chdir(directory), silence():
        with open_repository("sessions.db"):
            pass
        try:
            code = main([*arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        if code not in (0, 1, 2):
            raise AssertionError(f"it ended with {code}")


@contextmanager
def silence() -> Iterator[None]:
    """Printed, but nowhere, and in UTF-8, which refuses lone surrogates."""
    nowhere = TextIOWrapper(BytesIO(), "utf-8")
    with redirect_stdout(nowhere), redirect_stderr(TextIOWrapper(BytesIO(), "utf-8")):
        yield
        nowhere.flush()


Reader = Callable[[bytes], None]
OF_BYTES: Final[dict[str, Reader]] = {"sessions_file": sessions_file, "archive": archive}
"""Those that a coverage-guided fuzzer is let loose on."""
