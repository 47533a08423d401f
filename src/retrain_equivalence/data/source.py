"""Opening a data file safely: regular files only, hashed while they are read, refused if they change meanwhile.

Design. The kind of file is looked at before it is opened, since opening a FIFO waits for ever and opening a device may
do something. A link may not lead out of its root. The bytes that are parsed are the bytes that are hashed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.data.problems import short_place

MAX_FILE_BYTES = 1 << 30
"""Rows are held in memory, so a larger file is refused before it is read."""

ARCHIVES = {
    b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstandard", b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "rar", b"\x04\x22\x4d\x18": "lz4",
}  # fmt: skip

KINDS = (
    (stat.S_ISDIR, "directory"),
    (stat.S_ISFIFO, "FIFO"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISBLK, "block device"),
    (stat.S_ISCHR, "character device"),
)


def refuse(number: int, place: str, message: str, fix: str = "") -> InputError:
    """Return the `InputError` E-DATA-`number` with one problem."""
    error = InputError.of(f"E-DATA-{number:02d}", place, message, fix)
    assert isinstance(error, InputError)
    return error


@dataclass(slots=True)
class Source:
    """An open data file."""

    shown: str
    """Its name in messages."""
    stream: BinaryIO
    before: os.stat_result
    hashed: hashlib._Hash = field(default_factory=hashlib.sha256)
    n_bytes: int = 0

    def head(self, length: int = 512) -> bytes:
        """Return the first bytes without moving on."""
        return os.pread(self.stream.fileno(), length, 0)

    def lines(self, longest: int) -> Iterator[bytes]:
        r"""Yield the lines with their `\n`, split on `\n` alone; a line longer than `longest` comes cut, and last."""
        while line := self.stream.readline(longest + 1):
            self._seen(line)
            # A file that grows as fast as it is read would never end.
            if self.n_bytes > self.before.st_size:
                break
            yield line
            if len(line) > longest:
                return
        self._unchanged()

    def everything(self) -> bytes:
        """Return the whole content."""
        data = self.stream.read(self.before.st_size + 1)
        self._seen(data)
        self._unchanged()
        return data

    @property
    def sha256(self) -> str:
        """SHA-256 of what was read so far."""
        return self.hashed.hexdigest()

    def _seen(self, data: bytes) -> None:
        self.hashed.update(data)
        self.n_bytes += len(data)

    def _unchanged(self) -> None:
        after = os.fstat(self.stream.fileno())
        same = (self.before.st_size, self.before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
        if not same or self.n_bytes != after.st_size:
            raise refuse(31, self.shown, "changed while being read", "run again once nothing writes to it")


@contextmanager
def open_source(path: Path, *, root: Path, shown: str, archive: str = "") -> Iterator[Source]:
    """Open `path` for reading.

    Args:
        path: the file.
        root: the folder that links may not lead out of.
        shown: its name in messages.
        archive: the one compression that is accepted, for the one named corpus that ships compressed; else empty.

    Raises:
        InputError: E-DATA-30 (missing, not a regular file, a link out of `root`, not readable), 32 (an archive), 11
            (UTF-16 or UTF-32), 16 (too large), 31 (changed while it was read).
    """
    shown = short_place(shown)
    try:
        real = path.resolve(strict=True)
        kind = real.stat()
    except FileNotFoundError:
        raise refuse(30, shown, "is missing", "give the path of a file that exists") from None
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise refuse(30, shown, f"cannot be opened ({reason})", "check the path and its permissions") from None
    for is_kind, name in KINDS:
        if is_kind(kind.st_mode):
            raise refuse(30, shown, f"is a {name}; expected a regular file", "give the path of a file")
    if not real.is_relative_to(root.resolve()):
        raise refuse(30, shown, "is a link that leads out of its folder", "give the path of the file itself")
    try:
        handle = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise refuse(30, shown, f"cannot be opened ({error.strerror})", "check its permissions") from None
    with os.fdopen(handle, "rb") as stream:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise refuse(30, shown, "is not a regular file any more", "give the path of a file")
        if before.st_size > MAX_FILE_BYTES:
            size, limit = before.st_size / 1e9, MAX_FILE_BYTES / 1e9
            raise refuse(16, shown, f"file is {size:.1f} GB, limit {limit:.1f} GB", "split it, or take fewer rows")
        source = Source(shown=shown, stream=stream, before=before)
        _check_head(source, archive)
        yield source


def _check_head(source: Source, accepted: str) -> None:
    head = source.head()
    found = next((name for magic, name in ARCHIVES.items() if head.startswith(magic)), "")
    if head[257:262] == b"ustar":
        found = "tar"
    if found and found != accepted:
        raise refuse(32, source.shown, f"is a {found} archive; archives are not read", "unpack it first")
    marks = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
    # Without a mark: ASCII text in UTF-16 or UTF-32 has a NUL in every second byte, or in three of four.
    zeros = [head[start::4].count(0) for start in range(4)] if len(head) >= 8 else [0]
    quarter = len(head) // 4
    plain_wide = not head.startswith(b"PAR1") and sum(zero >= 0.9 * quarter > 0 for zero in zeros) >= 2
    if not accepted and (head.startswith(marks) or plain_wide):
        raise refuse(11, source.shown, "looks like UTF-16 or UTF-32", "convert it: iconv -f UTF-16 -t UTF-8")
