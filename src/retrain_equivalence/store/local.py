"""Objects in a folder of the local disk.

    FORMAT                      {"format":1,"id":"..."}, written once
    LOCK                        held shared by runs, exclusively by the collection of garbage
    objects/ab/abcd…/           manifest.json and files; files 0444, directory 0555
    tmp/<owner>-<random>/       unfinished attempts, removed when their owner is provably dead
    leases/<key>.json           who works on what (a hint)
    quarantine/<key>-<n>/       refused objects, kept as evidence
    trash/<n>/                  what the last collection removed; the next one deletes it

An object is written under `tmp/`, its manifest last, everything fsynced, and then renamed to its place: one commit
point. A rename onto a directory that is not empty fails, so the first writer wins without a lock; the loser compares
digests. Two traps: a 0555 directory cannot be renamed by a normal user (so the mode comes after the rename, and goes
before the next one), and a rename onto an *empty* directory succeeds (so the target is never made beforehand).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import stat
import sys
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from retrain_equivalence.core.errors import BusyError, InstrumentError, MachineError, Problem, StoreError
from retrain_equivalence.core.identity import (
    Digest,
    Key,
    Plain,
    canonical_json,
    digest_of_bytes,
    digest_of_files,
    key_of,
    plain,
)
from retrain_equivalence.store import disk
from retrain_equivalence.store import manifest as manifests
from retrain_equivalence.store.base import Artifact, Damage, Holder, Manifest
from retrain_equivalence.store.leases import Leases
from retrain_equivalence.store.manifest import MANIFEST, NotAManifest
from retrain_equivalence.store.owner import Owner, tag_of_dead

FORMAT = 1
STORE_VARIABLE = "RETRAIN_EQUIVALENCE_STORE"
FOLDERS = ("objects", "tmp", "leases", "quarantine", "trash", "runs")
_LOCK_PATIENCE_SECONDS = 5.0
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


def open_store(
    path: Path | None = None, *, rebuild: bool = True, allow_network: bool = False, create: bool = True
) -> LocalStore:
    """Open the store that is meant: `path`, else RETRAIN_EQUIVALENCE_STORE, else the user's cache directory."""
    if path is None and (named := os.environ.get(STORE_VARIABLE)):
        path = Path(named)
    if path is None:
        from platformdirs import user_cache_path

        path = user_cache_path("retrain-equivalence") / "store"
    return LocalStore(path, rebuild=rebuild, allow_network=allow_network, create=create)


def to_stderr(problem: Problem) -> None:
    """Write a warning where people read."""
    print(problem.line(), file=sys.stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a collection of garbage did, or would do."""

    moved: tuple[Key, ...]
    """Objects that went to the trash."""
    bytes: int
    """Their size."""
    deleted: int
    """Objects of the previous collection that are gone now."""


class _Damaged(Exception):
    """An object is not as it was written."""

    def __init__(self, code: str, place: str, message: str) -> None:
        self.problem = Problem(code=code, place=place, message=message)
        super().__init__(message)


class LocalArtifact:
    """An object of a `LocalStore`."""

    def __init__(self, store: LocalStore, manifest: Manifest) -> None:
        self._store = store
        self._manifest = manifest

    @property
    def manifest(self) -> Manifest:
        """The manifest."""
        return self._manifest

    def read(self, name: str) -> bytes:
        """Return a listed file's bytes after checking them."""
        return self._store.read_file(self._manifest, name)

    def path(self, name: str) -> Path:
        """Return a listed file's path after checking its bytes once per process."""
        return self._store.path_of_file(self._manifest, name)


class LocalStore:
    """A store in a folder.

    Args:
        root: the folder.
        create: make a store where there is none. False: that is an error, and nothing is made.
        rebuild: what damage means while running. True: the object goes to quarantine, `warn` is told, and it counts as
            absent; whoever needs it makes it again. False: `StoreError`, nothing is moved.
        warn: told of every object that went to quarantine; a line on stderr by default.
        allow_network: accept a network file system, where the promises of rename and fsync are weaker.
        takeover_seconds: after how long without a sign of life a lease of another host may be taken; None: never.

    Raises:
        StoreError: E-STORE-07 for a foreign folder or another format, E-STORE-05 for links in place of folders.
        MachineError: E-ENV-10 on a network file system; E-ENV-01..04 if the folder cannot be made; E-ENV-11 if there
            is no store and none shall be made.
    """

    def __init__(
        self,
        root: Path,
        *,
        rebuild: bool = True,
        warn: Callable[[Problem], None] = to_stderr,
        allow_network: bool = False,
        takeover_seconds: float | None = None,
        create: bool = True,
    ) -> None:
        self.root = Path(root).expanduser().resolve()
        self.rebuild = rebuild
        self.allow_network = allow_network
        self.recovered = 0
        """Unfinished attempts of dead processes that were removed when the store was opened."""
        self._warn = warn
        self._objects = self.root / "objects"
        self._leases = Leases(self.root / "leases", takeover_seconds=takeover_seconds)
        self._digests: dict[Key, Digest] = {}
        self._checked: dict[tuple[Key, str], tuple[int, int, int]] = {}
        with disk.faults(self.root, "opening it"):
            self._refuse_network(allow_network)
            self._open_format(create=create)
            self._remove_leftovers()

    # -- opening -------------------------------------------------------------------------------------------------

    def _refuse_network(self, allowed: bool) -> None:
        there = next(path for path in (self.root, *self.root.parents) if path.exists())
        kind = disk.file_system(there)
        if disk.is_network(kind) and not allowed:
            raise self._unfit(f"commits may be lost on a network file system ({kind})", ", or pass --allow-network-fs")

    def _unfit(self, reason: str, otherwise: str = "") -> InstrumentError:
        return MachineError.of(
            "E-ENV-10", f"store {self.root}", f"this file system is unfit: {reason}",
            f"choose a local folder with --store{otherwise}",
        )  # fmt: skip

    def _open_format(self, *, create: bool) -> None:
        place = self.root / "FORMAT"
        if not place.exists():
            if create:
                self.root.mkdir(parents=True, exist_ok=True)
            elif not self.root.is_dir() or not disk.names_in(self.root):
                raise MachineError.of(
                    "E-ENV-11", f"{self.root}", "no store here", "name the store of a run with --store"
                )
            self._create()
        try:
            found = json.loads(disk.read_up_to(place, 4096))
            version = found["format"]
            if type(version) is not int or not isinstance(found["id"], str):
                raise ValueError("wrong types")
        except (ValueError, KeyError, TypeError, RecursionError, disk.NotRegular) as error:
            raise StoreError.of(
                "E-STORE-07", f"{place}", f"is not readable ({type(error).__name__})",
                "restore it from a backup, or choose another store with --store",
            ) from error  # fmt: skip
        if version != FORMAT:
            newer = version > FORMAT
            raise StoreError.of(
                "E-STORE-07", f"{place}", f"store format {version}, this version reads {FORMAT}",
                "upgrade retrain-equivalence" if newer else "choose another store with --store",
            )  # fmt: skip
        for name in FOLDERS:
            folder = self.root / name
            if folder.is_symlink():
                raise StoreError.of(
                    "E-STORE-05", f"{folder}", "is a link: a store's folders are its own", "replace it by its target"
                )
            if not folder.is_dir():
                folder.mkdir(exist_ok=True)
        if self.root.stat().st_mode & stat.S_IWOTH:
            self._warn(
                Problem(
                    code="E-STORE-05", place=str(self.root), message="everybody may write here", fix="chmod o-w",
                    severity="warning",
                )
            )  # fmt: skip

    def _create(self) -> None:
        """Make the store's FORMAT; racing processes all write an equal one but for its label."""
        foreign = sorted(set(disk.names_in(self.root)) - {"FORMAT", "LOCK", "lost+found", *FOLDERS})
        if foreign or any((self.root / "objects").glob("*")):
            if (self.root / "FORMAT").exists():
                return
            found = ", ".join(foreign[:3]) or "objects"
            raise StoreError.of(
                "E-STORE-07", f"{self.root}", f"is not empty and has no FORMAT (found: {found})",
                "choose an empty folder with --store",
            )  # fmt: skip
        (self.root / "tmp").mkdir(exist_ok=True)
        self._probe()
        lock = os.open(self.root / "LOCK", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        os.close(lock)
        fresh = self._fresh()
        disk.write_new(fresh, (canonical_json({"format": FORMAT, "id": uuid.uuid4().hex}) + "\n").encode())
        fresh.rename(self.root / "FORMAT")
        disk.sync_directory(self.root)

    def _probe(self) -> None:
        """Prove once that this file system keeps what the commit protocol relies on."""
        one, two = self._fresh(), self._fresh()
        try:
            for folder in (one, two):
                folder.mkdir()
                disk.write_new(folder / "x", b"x")
                disk.sync_directory(folder)
            with suppress(FileExistsError):
                disk.write_new(one / "x", b"y")
                raise self._unfit("exclusive creation does not exclude")
            try:
                one.rename(two)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
            else:
                raise self._unfit("a rename replaces what is there")
        finally:
            disk.remove_tree(one)
            disk.remove_tree(two)

    def _remove_leftovers(self) -> None:
        for entry in disk.names_in(self.root / "tmp"):
            if tag_of_dead(entry):
                # A store that may only be read still serves its readers.
                with suppress(OSError):
                    disk.remove_tree(self.root / "tmp" / entry)
                    self.recovered += 1

    def _fresh(self) -> Path:
        return self.root / "tmp" / f"{Owner.current().tag()}-{secrets.token_hex(4)}"

    # -- reading -------------------------------------------------------------------------------------------------

    def has(self, key: Key) -> bool:
        """Whether a complete object of that key is there: manifest, key, names and sizes are checked, bytes are not."""
        return self._look(key) is not None

    def get(self, key: Key) -> Artifact:
        """Open an object; its recorded parents must still have the digests that it was made from."""
        found = self._look(key)
        if found is None:
            raise StoreError.of(
                "E-STORE-04", key[:12], "is not in the store (removed, in quarantine, or never made)",
                "run the study that makes it again",
            )  # fmt: skip
        for problem in self._stale_parents(found, self._digest_now):
            raise StoreError(problem)
        return LocalArtifact(self, found)

    def keys(self) -> Iterator[Key]:
        """All keys, sorted."""
        with disk.faults(self.root, "listing objects"):
            shards = disk.names_in(self._objects)
        for shard in shards:
            try:
                names = disk.names_in(self._objects / shard)
            except (NotADirectoryError, FileNotFoundError):
                continue
            yield from (Key(name) for name in names if manifests.is_key(name) and name[:2] == shard)

    def manifests(self, kind: str | None = None) -> Iterator[Manifest]:
        """All manifests in the order of their keys, or those of one kind; damaged objects are left out."""
        for key in self.keys():
            try:
                found = self._inspect(key)
            except _Damaged:
                continue
            if found is not None and kind in (None, found.kind):
                yield found

    def size(self) -> int:
        """Bytes in all objects, manifests included."""
        return sum(self._size_of(key) for key in self.keys())

    def read_file(self, found: Manifest, name: str) -> bytes:
        """Return a file's bytes after checking size and digest."""
        size, sha = listed_file(found, name)
        with self._caught(found.key), disk.faults(self.root, f"reading {name} of {found.key[:12]}"):
            try:
                data = disk.read_up_to(self._place(found.key) / name, size)
            except (FileNotFoundError, disk.NotRegular) as error:
                raise self._gone(found.key, name, error) from error
            _compare(found.key, name, (len(data), digest_of_bytes(data)), (size, sha))
            return data

    def path_of_file(self, found: Manifest, name: str) -> Path:
        """Return a file's path after checking its bytes; again only if the file was replaced since."""
        wanted = listed_file(found, name)
        place = self._place(found.key) / name
        with self._caught(found.key), disk.faults(self.root, f"reading {name} of {found.key[:12]}"):
            try:
                status = place.lstat()
                identity = (status.st_ino, status.st_size, status.st_mtime_ns)
                if self._checked.get((found.key, name)) != identity:
                    _compare(found.key, name, disk.sha256_of(place), wanted)
                    self._checked[found.key, name] = identity
            except (FileNotFoundError, disk.NotRegular) as error:
                raise self._gone(found.key, name, error) from error
        return place

    def _gone(self, key: Key, name: str, error: Exception) -> Exception:
        if isinstance(error, disk.NotRegular):
            return _Damaged("E-STORE-05", f"{key[:12]}/{name}", "is no regular file")
        if not self._place(key).exists():
            return StoreError.of("E-STORE-04", key[:12], "was removed while it was being read", "run again")
        return _Damaged("E-STORE-04", f"{key[:12]}/{name}", "is missing")

    def _place(self, key: Key) -> Path:
        if not manifests.is_key(key):
            raise ValueError(f"not a key: {key!r}")
        return self._objects / key[:2] / key

    def _size_of(self, key: Key) -> int:
        try:
            with os.scandir(self._place(key)) as entries:
                return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def _inspect(self, key: Key) -> Manifest | None:
        """Check everything about an object but the bytes of its files; None if it is absent.

        Raises:
            _Damaged: if it is there and not as it was written.
        """
        place = self._place(key)
        with disk.faults(self.root, f"looking at {key[:12]}"):
            try:
                return self._inspect_folder(key, place)
            except FileNotFoundError as error:
                # Removed by someone else between two looks, or half of it is gone.
                if not os.path.lexists(place):
                    return None
                raise _Damaged("E-STORE-04", f"{key[:12]}", f"{Path(error.filename or '').name} is missing") from error

    def _inspect_folder(self, key: Key, place: Path) -> Manifest:
        short = key[:12]
        if not stat.S_ISDIR(place.lstat().st_mode):
            raise _Damaged("E-STORE-05", short, "is no folder")
        with os.scandir(place) as entries:
            inside = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
        irregular = sorted(name for name, status in inside.items() if not stat.S_ISREG(status.st_mode))
        if irregular:
            raise _Damaged("E-STORE-05", f"{short}/{irregular[0]}", "is no regular file")
        if MANIFEST not in inside:
            raise _Damaged("E-STORE-04", f"{short}/{MANIFEST}", "is missing")
        if inside[MANIFEST].st_size > manifests.MAX_BYTES:
            raise _Damaged("E-STORE-05", f"{short}/{MANIFEST}", f"has {inside[MANIFEST].st_size:,} bytes")
        try:
            found = manifests.decode(disk.read_up_to(place / MANIFEST, manifests.MAX_BYTES))
        except NotAManifest as error:
            raise _Damaged("E-STORE-02", f"{short}/{MANIFEST}", str(error)) from error
        except disk.NotRegular as error:
            raise _Damaged("E-STORE-05", f"{short}/{MANIFEST}", "is no regular file") from error
        if found.key != key:
            raise _Damaged("E-STORE-03", short, f"its manifest says {found.kind} {found.key[:12]}")
        if (derived := manifests.derived_key(found)) != key:
            raise _Damaged("E-STORE-03", short, f"its recipe gives the key {derived[:12]}")
        if manifests.derived_digest(found) != found.digest:
            raise _Damaged("E-STORE-02", f"{short}/{MANIFEST}", "its digest is not that of its list of files")
        if missing := sorted(found.files.keys() - inside.keys()):
            raise _Damaged("E-STORE-04", f"{short}/{missing[0]}", "is missing")
        if foreign := sorted(inside.keys() - found.files.keys() - {MANIFEST}):
            raise _Damaged("E-STORE-05", f"{short}/{foreign[0]}", "is not listed in the manifest")
        for name, (size, _) in found.files.items():
            if inside[name].st_size != size:
                raise _Damaged("E-STORE-01", f"{short}/{name}", f"{inside[name].st_size:,} of {size:,} bytes")
        return found

    def _look(self, key: Key) -> Manifest | None:
        """As `_inspect`, but damage has its consequence: quarantine and None, or `StoreError`."""
        try:
            found = self._inspect(key)
        except _Damaged as damaged:
            self._digests.pop(key, None)
            if not self._set_aside(key, damaged.problem):
                raise StoreError(_with_fix(damaged.problem, rebuild=False)) from damaged
            moved = _with_fix(damaged.problem, rebuild=True)
            self._warn(replace(moved, severity="warning"))
            return None
        if found is not None:
            self._digests[key] = found.digest
        return found

    @contextmanager
    def _caught(self, key: Key) -> Iterator[None]:
        """Damage in bytes that someone asked for is his error; with `rebuild` the object is absent afterwards."""
        try:
            yield
        except _Damaged as damaged:
            self._digests.pop(key, None)
            moved = self._set_aside(key, damaged.problem)
            raise StoreError(_with_fix(damaged.problem, rebuild=moved)) from damaged

    def _set_aside(self, key: Key, problem: Problem) -> bool:
        """Move a damaged object to quarantine if that is wanted and possible."""
        if not self.rebuild:
            return False
        try:
            self._to_quarantine(self._place(key), key)
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                return False
            raise disk.machine_error(error, f"store {self.root}", f"moving {problem.place} to quarantine") from error
        return True

    def _to_quarantine(self, place: Path, key: Key) -> Path | None:
        """Move a folder aside under the first free number; None if someone else just did."""
        for number in range(10**6):
            target = self.root / "quarantine" / f"{key}-{number}"
            if os.path.lexists(target):
                continue
            try:
                _move(place, target)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno in _TAKEN:
                    continue
                raise
            return target
        raise AssertionError("a million refused objects of one key")

    def _digest_now(self, key: Key) -> Digest | None:
        if key not in self._digests:
            self._look(key)
        return self._digests.get(key)

    @staticmethod
    def _stale_parents(found: Manifest, digest_now: Callable[[Key], Digest | None]) -> Iterator[Problem]:
        for parent, digest in found.parents:
            now = digest_now(parent)
            if now is not None and now != digest:
                yield Problem(
                    code="E-STORE-06",
                    place=found.key[:12],
                    message=f"was made from {parent[:12]} with digest {digest[:12]}, which is now {now[:12]}: "
                    "it was rebuilt with a different result",
                    fix="this hardware or setting is not deterministic; see retrain-equivalence doctor",
                )

    # -- writing -------------------------------------------------------------------------------------------------

    def put(
        self,
        key: Key,
        *,
        kind: str,
        recipe: Plain,
        parents: Mapping[Key, Digest],
        files: Mapping[str, bytes | Path],
        made: Mapping[str, float | int | str] | None = None,
    ) -> Artifact:
        """Commit an object, whole or not at all."""
        recipe = checked_recipe(key, kind, recipe, parents, files)
        attempt = self._fresh()
        try:
            with disk.faults(self.root, f"writing {kind} {key[:12]}"):
                attempt.mkdir()
                listed = {name: disk.write_new(attempt / name, files[name]) for name in sorted(files)}
                found = made_manifest(key, kind, recipe, parents, listed, made)
                disk.write_new(attempt / MANIFEST, manifests.encode(found))
                disk.sync_directory(attempt)
            self._commit(attempt, found)
        finally:
            # After the commit there is nothing left under that name; after a failure nothing may be left.
            with suppress(OSError):
                disk.remove_tree(attempt)
        self._digests[key] = found.digest
        return LocalArtifact(self, found)

    def _commit(self, attempt: Path, found: Manifest) -> None:
        key, place = found.key, self._place(found.key)
        with disk.faults(self.root, f"committing {found.kind} {key[:12]}"):
            if not place.parent.is_dir():
                place.parent.mkdir(exist_ok=True)
                disk.sync_directory(self._objects)
            while True:
                try:
                    attempt.rename(place)
                    break
                except OSError as error:
                    if error.errno not in _TAKEN:
                        raise
                winner = self._look(key)
                if winner is None:
                    continue
                if winner.digest == found.digest:
                    return
                evidence = self._to_quarantine(attempt, key)
                raise StoreError.of(
                    "E-STORE-06", key[:12],
                    f"{found.kind} was made twice with different results ({winner.digest[:12]} in the store, "
                    f"{found.digest[:12]} in quarantine/{evidence.name if evidence else ''})",
                    "this hardware or setting is not deterministic; see retrain-equivalence doctor",
                )  # fmt: skip
            try:
                disk.sync_directory(place.parent)
            except OSError:
                # What may not survive a power cut must not look committed.
                place.rename(attempt)
                raise
            with suppress(OSError):
                place.chmod(0o555)

    def discard(self, key: Key) -> None:
        """Remove an object that is no result; quiet if it is absent."""
        self._digests.pop(key, None)
        aside = self._fresh()
        with disk.faults(self.root, f"removing {key[:12]}"):
            try:
                _move(self._place(key), aside)
            except FileNotFoundError:
                return
            disk.remove_tree(aside)

    # -- checking ------------------------------------------------------------------------------------------------

    def verify(self) -> Iterator[Damage]:
        """Check every byte of every object and report what is wrong; nothing is changed."""
        digests: dict[Key, Digest] = {}
        complete: list[Manifest] = []
        for key in self.keys():
            try:
                found = self._inspect(key)
                if found is None:
                    continue
                for name, wanted in found.files.items():
                    with disk.faults(self.root, f"reading {name} of {key[:12]}"):
                        _compare(key, name, disk.sha256_of(self._place(key) / name), wanted)
            except _Damaged as damaged:
                yield Damage(key=key, problem=damaged.problem)
                continue
            digests[key] = found.digest
            complete.append(found)
        for found in complete:
            for problem in self._stale_parents(found, digests.get):
                yield Damage(key=found.key, problem=problem)
        yield from self._strays()

    def _strays(self) -> Iterator[Damage]:
        for shard in disk.names_in(self._objects):
            folder = self._objects / shard
            names = disk.names_in(folder) if folder.is_dir() and not folder.is_symlink() else [""]
            for name in names:
                if not (manifests.is_key(name) and name[:2] == shard):
                    place = f"objects/{shard}/{name}".rstrip("/")
                    problem = Problem(code="E-STORE-05", place=place, message="is nothing that a store would write")
                    yield Damage(key=None, problem=problem)

    def quarantine(self, key: Key) -> None:
        """Set an object aside on the user's word, so that it is made again."""
        self._digests.pop(key, None)
        with disk.faults(self.root, f"moving {key[:12]} to quarantine"):
            self._to_quarantine(self._place(key), key)

    # -- who works here ------------------------------------------------------------------------------------------

    def claim(self, key: Key) -> Holder | None:
        """Say that this process works on `key`: None if so, else who does."""
        with disk.faults(self.root, f"taking the lease of {key[:12]}"):
            return self._leases.claim(key)

    def release(self, key: Key) -> None:
        """Take back a claim of this process."""
        with disk.faults(self.root, f"giving back the lease of {key[:12]}"):
            self._leases.release(key)

    def unlock(self, key: Key) -> bool:
        """Remove a lease on the user's word; False if there is none."""
        with disk.faults(self.root, f"removing the lease of {key[:12]}"):
            return self._leases.unlock(key)

    def abandoned(self) -> frozenset[Key]:
        """Keys whose claimant is provably dead."""
        with disk.faults(self.root, "reading leases"):
            return self._leases.abandoned()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Hold off collection of garbage while a run works."""
        with self._locked(fcntl.LOCK_SH, _LOCK_PATIENCE_SECONDS, "its garbage is being collected"):
            yield

    @contextmanager
    def _locked(self, how: int, patience_seconds: float, busy: str) -> Iterator[None]:
        with disk.faults(self.root, "locking it"):
            descriptor = os.open(self.root / "LOCK", os.O_RDONLY | os.O_NOFOLLOW)
        try:
            give_up = time.monotonic() + patience_seconds
            while True:
                try:
                    fcntl.flock(descriptor, how | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= give_up:
                        raise BusyError.of("E-LOCK-02", f"store {self.root}", busy, "run again later") from None
                    time.sleep(0.05)
            yield
        finally:
            os.close(descriptor)

    def gc(self, keep: Collection[Key], *, dry_run: bool = False) -> Collected:
        """Move every object that neither `keep` nor an ancestor of it names to the trash.

        What the *previous* collection moved is deleted, so that one mistake costs nothing.

        Raises:
            BusyError: E-LOCK-02 while a run uses the store or a lease is live.
        """
        with self._locked(fcntl.LOCK_EX, 0.0, self._who_is_here()):
            if live := self._leases.live():
                who = ", ".join(map(str, live))
                raise BusyError.of("E-LOCK-02", f"store {self.root}", f"busy: {who}", "run again later")
            kept = self._closure(keep)
            moved = tuple(key for key in self.keys() if key not in kept)
            sizes = sum(self._size_of(key) for key in moved)
            old = sorted((self.root / "trash").iterdir())
            deleted = sum(len(disk.names_in(folder)) for folder in old if folder.is_dir())
            if not dry_run:
                with disk.faults(self.root, "collecting garbage"):
                    self._collect(moved, old)
            return Collected(moved=moved, bytes=sizes, deleted=deleted)

    def _collect(self, moved: tuple[Key, ...], old: list[Path]) -> None:
        for folder in old:
            disk.remove_tree(folder)
        if moved:
            batch = self.root / "trash" / secrets.token_hex(4)
            batch.mkdir()
            for key in moved:
                _move(self._place(key), batch / key)
        self._digests.clear()
        self._remove_leftovers()

    def _closure(self, keep: Collection[Key]) -> set[Key]:
        kept: set[Key] = set()
        left = list(keep)
        while left:
            key = left.pop()
            if key not in kept:
                kept.add(key)
                # A damaged object that is wanted stays where it is: only a run may decide about it.
                with suppress(_Damaged):
                    found = self._inspect(key)
                    left.extend(parent for parent, _ in found.parents) if found else None
        return kept

    def _who_is_here(self) -> str:
        live = self._leases.live()
        who = f" ({', '.join(sorted({str(holder) for holder in live}))})" if live else ""
        return f"busy: a run uses this store{who}"


def checked_recipe(
    key: Key, kind: str, recipe: Plain, parents: Mapping[Key, Digest], files: Mapping[str, bytes | Path]
) -> Plain:
    """Return the recipe as plain data after checking that an object may be stored like that.

    Raises:
        ValueError: if kind, recipe and parents do not give `key`, or a file name is not allowed: a bug of the caller.
    """
    given = plain(recipe)
    if (derived := key_of(kind, given, list(parents))) != key:
        raise ValueError(f"kind, recipe and parents of this {kind} give the key {derived[:12]}, not {key[:12]}")
    if wrong := sorted(name for name in files if not manifests.is_file_name(name)):
        raise ValueError(f"not a file name for the store: {wrong[0]!r}")
    return given


def made_manifest(
    key: Key,
    kind: str,
    recipe: Plain,
    parents: Mapping[Key, Digest],
    files: Mapping[str, tuple[int, str]],
    made: Mapping[str, float | int | str] | None,
) -> Manifest:
    """Return the manifest of files that were just written."""
    return Manifest(
        key=key,
        kind=kind,
        recipe=recipe,
        parents=tuple(parents.items()),
        files=dict(files),
        digest=digest_of_files(files),
        made=dict(made or {}),
    )


def listed_file(found: Manifest, name: str) -> tuple[int, str]:
    """Return size and SHA-256 of a listed file; `KeyError` with the names that there are."""
    try:
        return found.files[name]
    except KeyError:
        has = ", ".join(sorted(found.files)[:5])
        raise KeyError(f"{found.kind} {found.key[:12]} has no file {name!r} (has: {has})") from None


def _compare(key: Key, name: str, found: tuple[int, str], wanted: tuple[int, str]) -> None:
    if found[0] != wanted[0]:
        raise _Damaged("E-STORE-01", f"{key[:12]}/{name}", f"{found[0]:,} of {wanted[0]:,} bytes")
    if found[1] != wanted[1]:
        message = f"sha256 {found[1][:12]}…, expected {wanted[1][:12]}…"
        raise _Damaged("E-STORE-02", f"{key[:12]}/{name}", message)


def _with_fix(problem: Problem, *, rebuild: bool) -> Problem:
    if rebuild:
        return replace(problem, message=f"{problem.message}; moved to quarantine", fix="run again to rebuild it")
    return replace(problem, fix="restore it from a backup, or run without --no-rebuild")


def _move(place: Path, target: Path) -> None:
    """Rename a committed folder: it must be writable for that, and a link itself must not be followed."""
    if stat.S_ISDIR(place.lstat().st_mode):
        place.chmod(0o755)
    place.rename(target)
