"""Files that are wholly there or reported: the few operations on disk that the store is made of.

Every failure of the operating system becomes a `MachineError` that says which store and what was being done. A failed
fsync is never retried on the same file: the kernel may have dropped the pages and would report success.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrain_equivalence.core.errors import MachineError, Problem

CHUNK = 2**20

_CODES = {
    errno.ENOSPC: "E-ENV-01",
    errno.EDQUOT: "E-ENV-01",
    errno.EACCES: "E-ENV-02",
    errno.EPERM: "E-ENV-02",
    errno.EROFS: "E-ENV-02",
    errno.EMFILE: "E-ENV-04",
    errno.ENFILE: "E-ENV-04",
    errno.EFBIG: "E-ENV-04",
}
_FIXES = {
    "E-ENV-01": "free space or choose another store with --store; finished work is kept",
    "E-ENV-02": "give this user the right to write there, or choose another store with --store",
    "E-ENV-03": "check the disk; finished work is kept",
    "E-ENV-04": "raise the limit (ulimit -n, ulimit -f) and run again",
}
NETWORK_FILE_SYSTEMS = frozenset(
    (
        "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3",
        "smbfs", "virtiofs",
    )
)  # fmt: skip


class NotRegular(Exception):
    """A file of the store is a link, a pipe or a device."""


def is_machine_fault(error: OSError) -> bool:
    """Whether the machine is at fault: disk full, permission, limits or input/output, not a missing file."""
    return error.errno == errno.EIO or error.errno in _CODES


def machine_error(error: OSError, place: str, doing: str) -> MachineError:
    """Return what an `OSError` means for the user: disk full, permission, limit, or an input/output error."""
    code = _CODES.get(error.errno or 0, "E-ENV-03")
    reason = os.strerror(error.errno) if error.errno else str(error)
    if code == "E-ENV-01":
        reason = f"{reason} ({_free(place.removeprefix('store '))} free)"
    elif code == "E-ENV-02":
        reason = f"{reason} for uid {os.getuid()}"
    message = f"{reason} while {doing}: not committed"
    return MachineError(Problem(code=code, place=place, message=message, fix=_FIXES[code]))


@contextmanager
def faults(place: Path, doing: str) -> Iterator[None]:
    """Turn an `OSError` inside the block into a `MachineError`."""
    try:
        yield
    except OSError as error:
        raise machine_error(error, f"store {place}", doing) from error


def write_new(path: Path, content: bytes | Path) -> tuple[int, str]:
    """Write a file that was not there, read-only and on the disk when this returns.

    Args:
        path: where; an existing entry of any sort raises `FileExistsError`.
        content: the bytes, or a regular file to copy.

    Returns:
        Its size in bytes and its SHA-256, of what was written.
    """
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        for chunk in _chunks(content):
            digest.update(chunk)
            size += len(chunk)
            left = memoryview(chunk)
            while left:
                left = left[os.write(descriptor, left) :]
        os.fchmod(descriptor, 0o444)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return size, digest.hexdigest()


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with opened(content) as descriptor:
        while chunk := os.read(descriptor, CHUNK):
            yield chunk


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a regular file for reading.

    Raises:
        NotRegular: for links, pipes, sockets, devices and directories; it never blocks on them.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NotRegular(str(path)) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotRegular(str(path))
        yield descriptor
    finally:
        os.close(descriptor)


def names_in(path: Path) -> list[str]:
    """Return the names in a directory, sorted."""
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries)


def read_up_to(path: Path, limit: int) -> bytes:
    """Return at most `limit + 1` bytes of a regular file: one more than allowed says that it is too long."""
    parts, left = [], limit + 1
    with opened(path) as descriptor:
        while left and (chunk := os.read(descriptor, min(left, CHUNK))):
            parts.append(chunk)
            left -= len(chunk)
    return b"".join(parts)


def sha256_of(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a regular file."""
    digest, size = hashlib.sha256(), 0
    with opened(path) as descriptor:
        while chunk := os.read(descriptor, CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a directory and what is in it, never following a link; what is gone already is no error."""
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISDIR(mode):
            path.unlink()
            return
        # Committed directories are read-only; a normal user could not empty them.
        path.chmod(0o700)
        with os.scandir(path) as entries:
            inside = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_directory in inside:
            if is_directory:
                remove_tree(Path(name))
            else:
                Path(name).unlink(missing_ok=True)
        path.rmdir()
    except FileNotFoundError:
        return


def file_system(path: Path) -> str:
    """Return the type of the file system that holds `path` (`ext4`, `nfs4`, ...), empty where that is unknown."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    return type_in_mounts(mounts, path.resolve())


def type_in_mounts(mounts: str, path: Path) -> str:
    """Return the type of the mount of `/proc/self/mountinfo` that `path` lies on: the last one with the longest point.

    >>> type_in_mounts("1 0 8:1 / / rw - ext4 /dev/a rw\\n2 1 0:4 / /home rw - nfs4 h:/x rw\\n", Path("/home/me"))
    'nfs4'
    """
    found, longest = "", -1
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        point = Path(before.split(" ")[4].encode("latin-1", "backslashreplace").decode("unicode_escape"))
        if path.is_relative_to(point) and len(point.parts) >= longest:
            found, longest = after.split(" ")[0], len(point.parts)
    return found


def is_network(kind: str) -> bool:
    """Whether a file system of that type may break the commit protocol: rename and fsync there promise less."""
    return kind in NETWORK_FILE_SYSTEMS or kind.startswith("fuse.")


def _free(place: str) -> str:
    try:
        found = os.statvfs(place)
    except OSError:
        return "unknown"
    return f"{found.f_bavail * found.f_frsize / 1e9:.1f} GB"
