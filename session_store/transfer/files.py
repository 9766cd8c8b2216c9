"""The bytes of an export: compressed by its suffix, written whole or not at all, read bounded."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from session_store.backends.json_file import atomic_file
from session_store.errors import ExportFormatError, SettingsError, TransferError
from session_store.transfer.format import MAX_LINE

STANDARD: Final = "-"
"""Standard output or input, in place of a path."""

NO_ZSTD: Final = 'reading and writing .zst needs a package: pip install "session-store[zstd]"'
ZSTD_LEVEL: Final = 3

_GZIP_LEVEL: Final = 6
_CHUNK: Final = 256 * 1024
_MAGIC_GZIP: Final = b"\x1f\x8b"
_MAGIC_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_HEAD: Final = 64

MAX_RATIO: Final = 500
"""How many bytes one of a compressed file may become; conversations become 5 to 30."""
_FREE: Final = 64 * 1024 * 1024
"""Bytes before which nobody asks that."""


def zstd() -> Any:
    """The module; ``SettingsError`` names what to install. Python has it from 3.14 on."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd as module
        else:
            from backports import zstd as module
    except ImportError:
        raise SettingsError(NO_ZSTD) from None
    return module


# Writing ----------------------------------------------------------------------------------------


def write(
    path: str | os.PathLike[str],
    lines: Iterable[bytes],
    *,
    overwrite: bool = False,
    level: int | None = None,
) -> int:
    """Let ``lines`` be the file, durably, for its owner only; how many bytes it has.

    ``TransferError`` when there is a file already, unless it is to be overwritten. What is there
    stays until the new one is whole.
    """
    name = os.fspath(path)
    chunks = _compressed(name, lines, level)
    if name == STANDARD:
        return _to_standard_output(chunks)
    file = Path(os.path.abspath(name))
    if not overwrite and os.path.lexists(file):
        raise TransferError(f"{name} is there already; choose another name, or overwrite it")
    written = atomic_file.replace(file, chunks, is_new=not overwrite)
    return written.size


def _to_standard_output(chunks: Iterable[bytes]) -> int:
    size = 0
    for chunk in chunks:
        size += sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
    return size


def _compressed(name: str, lines: Iterable[bytes], level: int | None) -> Iterator[bytes]:
    compress, finish = _compressor(name, level)
    waiting = io.BytesIO()
    for line in lines:
        waiting.write(line)
        if waiting.tell() >= _CHUNK:
            yield compress(waiting.getvalue())
            waiting = io.BytesIO()
    yield compress(waiting.getvalue())
    yield finish()


def _compressor(
    name: str, level: int | None
) -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    if name.endswith(".zst"):
        module = zstd()
        options = {
            module.CompressionParameter.compression_level: level or ZSTD_LEVEL,
            module.CompressionParameter.checksum_flag: 1,
        }
        stream = module.ZstdCompressor(options=options)
        return stream.compress, stream.flush
    if name.endswith(".gz"):
        packer = zlib.compressobj(level or _GZIP_LEVEL, wbits=zlib.MAX_WBITS | 16)
        return packer.compress, packer.flush
    return bytes, bytes


# Reading ----------------------------------------------------------------------------------------


class Line(NamedTuple):
    """A line and its number, which begins with 1; ``digest`` is that of all lines before it."""

    number: int
    text: bytes
    digest: Callable[[], str]


class ExportFile:
    """An open file that can be read several times. ``place`` is what messages call it."""

    def __init__(self, file: IO[bytes], place: str) -> None:
        self._file, self.place = file, place
        self.size = os.fstat(file.fileno()).st_size

    @property
    def position(self) -> int:
        """How many of the file's bytes were read."""
        return self._file.tell()

    def head(self) -> bytes:
        """The first bytes of what it holds, uncompressed."""
        with self._errors(1):
            return self._opened().read(_HEAD)

    def lines(self) -> Iterator[Line]:
        """From the first one. ``ExportFormatError`` for what can't be unpacked, is too long, or
        grows beyond measure in unpacking."""
        content, digest, number, size = self._opened(), hashlib.sha256(), 0, 0
        while True:
            with self._errors(number + 1):
                text = content.readline(MAX_LINE + 1)
            if not text:
                return
            number, size = number + 1, size + len(text)
            self._check(text, number, size)
            yield Line(number, text, digest.hexdigest)
            digest.update(text)

    def _check(self, text: bytes, number: int, size: int) -> None:
        if len(text) > MAX_LINE:
            raise self.error(number, f"is longer than {MAX_LINE:,} bytes")
        if not text.endswith(b"\n"):
            raise self.error(number, "is cut off")
        if size > _FREE and size > MAX_RATIO * max(self.position, 1):
            raise self.error(number, f"unpacks to more than {MAX_RATIO} times its size")

    def error(self, number: int, problem: str) -> ExportFormatError:
        return ExportFormatError(self.place, number, problem)

    def _opened(self) -> IO[bytes]:
        """Not closed after use: that would close what it reads from."""
        self._file.seek(0)
        magic = self._file.read(4)
        self._file.seek(0)
        if magic == _MAGIC_ZSTD:
            return io.BufferedReader(zstd().ZstdFile(self._file), _CHUNK)
        if magic.startswith(_MAGIC_GZIP):
            packed: Any = gzip.GzipFile(fileobj=self._file, mode="rb")
            return io.BufferedReader(packed, _CHUNK)
        return self._file

    @contextmanager
    def _errors(self, number: int) -> Iterator[None]:
        try:
            yield
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise self.error(number, f"can't be unpacked: {error}") from None
        except Exception as error:
            if type(error).__name__ != "ZstdError":
                raise
            raise self.error(number, f"can't be unpacked: {error}") from None


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[ExportFile]:
    """A file to read; what comes through standard input is kept until the end in a file of no
    name, since it is read twice."""
    name = os.fspath(path)
    if name == STANDARD:
        with tempfile.TemporaryFile() as kept:
            while chunk := sys.stdin.buffer.read(_CHUNK):
                kept.write(chunk)
            kept.flush()
            yield ExportFile(kept, "standard input")
        return
    with _for_reading(name) as file:
        yield ExportFile(file, name)


def _for_reading(name: str) -> IO[bytes]:
    try:
        return open(name, "rb", buffering=_CHUNK)
    except OSError as error:
        raise TransferError(f"{name} can't be read: {error.strerror}") from None
