"""Leases: who works on what. A hint that avoids double work; correctness never depends on it.

`leases/<key>.json` is made with O_EXCL by the process that starts on a key. A thread rewrites its counter every ten
seconds. On the same host a lease is free exactly if its process is provably gone. Of another host a waiter sees only
whether the counter moved during its own monotonic time, and takes over only if it was told after how long.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrain_equivalence.core.identity import Key, canonical_json
from retrain_equivalence.store.base import Holder
from retrain_equivalence.store.disk import NotRegular, read_up_to
from retrain_equivalence.store.manifest import is_key
from retrain_equivalence.store.owner import Owner

HEARTBEAT_SECONDS = 10.0
UNREADABLE_SECONDS = 2.0
"""A lease that cannot be read for so long was cut off while being written."""
MAX_BYTES = 4096


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What this process has observed of another's lease."""

    sign: object
    """Whatever changes with a heartbeat."""
    since: float
    """Monotonic time of the first look at that sign."""


class Leases:
    """The leases of one store, as one process holds and sees them.

    Args:
        directory: `leases/` of the store.
        takeover_seconds: after how long without a sign of life a lease of *another host* may be taken; None: never.
    """

    def __init__(self, directory: Path, *, takeover_seconds: float | None) -> None:
        self._directory = directory
        self._takeover_seconds = takeover_seconds
        self._held: dict[Key, dict[str, Any]] = {}
        self._seen: dict[Key, _Seen] = {}
        self._guard = threading.Lock()
        self._beat: threading.Thread | None = None

    def claim(self, key: Key) -> Holder | None:
        """Take the lease of `key`: None if this process has it now, else who has it. Raises `OSError`."""
        if self._create(key):
            return None
        with self._takeover_lock():
            found = self._read(key)
            if found is not None and not self._free(key, found):
                return self._holder(key, found)
            # Whoever waits for the same dead process waits for this lock, then meets the new lease.
            self._place(key).unlink(missing_ok=True)
            if self._create(key):
                return None
            return self._holder(key, self._read(key) or {})

    def release(self, key: Key) -> None:
        """Give the lease of `key` back; a lease that someone else took meanwhile stays."""
        # A heartbeat between the look and the removal would bring the lease back.
        with self._guard:
            mine = self._held.pop(key, None)
            if mine is None:
                return
            found = self._read(key)
            if found is not None and found.get("uuid") == mine["uuid"]:
                self._place(key).unlink(missing_ok=True)

    def unlock(self, key: Key) -> bool:
        """Remove whatever lease there is, on the user's word; False if there is none."""
        there = self._place(key).exists()
        self._place(key).unlink(missing_ok=True)
        return there

    def abandoned(self) -> frozenset[Key]:
        """Return the keys whose lease belongs to a process that is provably gone."""
        return frozenset(key for key in self._all() if self._owner(self._read(key) or {}).dead())

    def live(self) -> list[Holder]:
        """Return the holders that are not provably gone."""
        found = ((key, self._read(key)) for key in self._all())
        return [self._holder(key, lease) for key, lease in found if lease and not self._owner(lease).dead()]

    def _all(self) -> list[Key]:
        names = sorted(path.name.removesuffix(".json") for path in self._directory.glob("*.json"))
        return [Key(name) for name in names if is_key(name)]

    def _place(self, key: Key) -> Path:
        return self._directory / f"{key}.json"

    def _create(self, key: Key) -> bool:
        me = Owner.current()
        lease = {
            "boot": me.boot,
            "counter": 0,
            "host": me.host,
            "pid": me.pid,
            "start": me.start,
            "uuid": uuid.uuid4().hex,
        }
        try:
            descriptor = os.open(self._place(key), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        except FileExistsError:
            return False
        try:
            os.write(descriptor, canonical_json(lease).encode())
        finally:
            os.close(descriptor)
        with self._guard:
            self._held[key] = lease
            self._seen.pop(key, None)
            self._keep_beating()
        return True

    def _read(self, key: Key) -> dict[str, Any] | None:
        """Return the lease, empty if it cannot be read, None if there is none."""
        try:
            found = json.loads(read_up_to(self._place(key), MAX_BYTES))
        except FileNotFoundError:
            return None
        except (ValueError, NotRegular, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _free(self, key: Key, found: dict[str, Any]) -> bool:
        owner = self._owner(found)
        silent = self._silent_seconds(key, found)
        if not found or owner.pid <= 0:
            return silent > UNREADABLE_SECONDS
        if owner.foreign():
            return self._takeover_seconds is not None and silent > self._takeover_seconds
        return owner.dead()

    def _silent_seconds(self, key: Key, found: dict[str, Any]) -> float:
        sign = (str(found.get("uuid")), str(found.get("counter")))
        seen = self._seen.get(key)
        if seen is None or seen.sign != sign:
            seen = self._seen[key] = _Seen(sign=sign, since=time.monotonic())
        return time.monotonic() - seen.since

    def _holder(self, key: Key, found: dict[str, Any]) -> Holder:
        owner = self._owner(found)
        return Holder(
            host=owner.host.partition("/")[0],
            pid=owner.pid,
            foreign=owner.foreign(),
            silent_seconds=self._silent_seconds(key, found),
        )

    @staticmethod
    def _owner(found: dict[str, Any]) -> Owner:
        pid = found.get("pid")
        return Owner(
            host=str(found.get("host", "")),
            boot=str(found.get("boot", "")),
            pid=pid if isinstance(pid, int) and 0 < pid < 2**31 else 0,
            start=str(found.get("start", "")),
        )

    @contextmanager
    def _takeover_lock(self) -> Iterator[None]:
        descriptor = os.open(self._directory / "takeover", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _keep_beating(self) -> None:
        # After a fork the thread is not alive in the child, and is started there anew.
        if self._beat is None or not self._beat.is_alive():
            self._beat = threading.Thread(target=self._heartbeat, name="lease heartbeat", daemon=True)
            self._beat.start()

    def _heartbeat(self) -> None:
        while True:
            time.sleep(HEARTBEAT_SECONDS)
            with self._guard:
                if not self._held:
                    self._beat = None
                    return
                for key, lease in self._held.items():
                    lease["counter"] += 1
                    self._rewrite(key, lease)

    def _rewrite(self, key: Key, lease: dict[str, Any]) -> None:
        fresh = self._directory / f"{key}.{lease['uuid']}"
        try:
            if (self._read(key) or {}).get("uuid") != lease["uuid"]:
                return
            fresh.write_text(canonical_json(lease), encoding="ascii")
            fresh.replace(self._place(key))
        except OSError:
            # A lease is a hint: a heartbeat that cannot be written must not end the work that it speaks for.
            fresh.unlink(missing_ok=True)
