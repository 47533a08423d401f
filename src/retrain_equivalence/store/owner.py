"""Who wrote something, and whether that process is provably gone.

A pid alone proves nothing: it is reused, and another machine or container has its own. A process is named by host, pid
namespace, boot, pid and start time; only a process of the same host and namespace can be declared dead, and only when
the boot is over, the pid is free, or the pid belongs to a process that started at another time.
"""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """One process of one boot of one host."""

    host: str
    """Host name and, where there is one, the pid namespace: pids of different namespaces cannot be compared."""
    boot: str
    pid: int
    start: str
    """Start time in ticks since boot; empty where the system does not tell."""

    @classmethod
    def current(cls) -> Owner:
        """Return the calling process."""
        pid = os.getpid()
        return cls(host=_host(), boot=_boot(), pid=pid, start=_start(pid) or "")

    def foreign(self) -> bool:
        """Whether it lives where this process cannot tell the living from the dead."""
        return self.host != _host()

    def dead(self) -> bool:
        """Whether it is provably gone; False means alive *or* unknown."""
        if self.foreign():
            return False
        if self.boot != _boot():
            return True
        start = _start(self.pid)
        return start is None or bool(self.start and start and start != self.start)

    def tag(self) -> str:
        """Return a file name part that `parse_tag` can read back."""
        return f"{_short(self.host)}-{_short(self.boot)}-{self.pid}-{self.start or 0}"


def tag_of_dead(name: str) -> bool:
    """Whether a file name that begins with a tag belongs to a process that is provably gone."""
    parts = name.split("-")
    if len(parts) < 4 or not (parts[2].isascii() and parts[2].isdigit() and len(parts[2]) <= 9):
        return False
    host, boot, pid, start = parts[0], parts[1], int(parts[2]), parts[3]
    if host != _short(_host()):
        return False
    if boot != _short(_boot()):
        return True
    found = _start(pid)
    return found is None or bool(found and start != "0" and found != start)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _host() -> str:
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{namespace}"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _start(pid: int) -> str | None:
    """Return a process's start time, empty if the system does not tell, None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        return "" if _accepts_signals(pid) else None
    # The command name stands in parentheses and may hold blanks and parentheses itself.
    rest = stat[stat.rindex(b")") + 2 :].split()
    # A zombie has ended; it only waits for its parent to ask how.
    return None if rest[0] in (b"Z", b"X") else rest[19].decode("ascii")


def _accepts_signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
