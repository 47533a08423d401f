"""The in-memory twin of the local store, for tests and for studies that keep nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from retrain_equivalence.core.errors import Problem, StoreError
from retrain_equivalence.core.identity import Digest, Key, Plain, digest_of_bytes
from retrain_equivalence.store.base import Artifact, Damage, Holder, Manifest
from retrain_equivalence.store.local import checked_recipe, listed_file, made_manifest
from retrain_equivalence.store.manifest import encode


class MemoryArtifact:
    """An object of a `MemoryStore`."""

    def __init__(self, store: MemoryStore, manifest: Manifest, files: Mapping[str, bytes]) -> None:
        self._store = store
        self._manifest = manifest
        self._files = files

    @property
    def manifest(self) -> Manifest:
        """The manifest."""
        return self._manifest

    def read(self, name: str) -> bytes:
        """Return a listed file's bytes."""
        listed_file(self._manifest, name)
        return self._files[name]

    def path(self, name: str) -> Path:
        """Return a copy of a listed file in a temporary folder that lives as long as the store."""
        return self._store.spill(self._manifest, name, self.read(name))


class MemoryStore:
    """A store in this process's memory, with the semantics of `LocalStore`."""

    def __init__(self) -> None:
        self._objects: dict[Key, MemoryArtifact] = {}
        self._claims: set[Key] = set()
        self._guard = threading.RLock()
        self._folder: Path | None = None

    def has(self, key: Key) -> bool:
        """Whether an object of that key is there."""
        return key in self._objects

    def get(self, key: Key) -> Artifact:
        """Open an object; its recorded parents must still have the digests that it was made from."""
        with self._guard:
            if key not in self._objects:
                raise StoreError.of("E-STORE-04", key[:12], "is not in the store", "run the study that makes it")
            found = self._objects[key]
            for parent, digest in found.manifest.parents:
                if parent in self._objects and self._objects[parent].manifest.digest != digest:
                    raise StoreError.of("E-STORE-06", key[:12], f"was made from another result of {parent[:12]}")
            return found

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
        """Keep an object; the first one of a key stays."""
        recipe = checked_recipe(key, kind, recipe, parents, files)
        kept = {name: data if isinstance(data, bytes) else data.read_bytes() for name, data in files.items()}
        listed = {name: (len(data), str(digest_of_bytes(data))) for name, data in sorted(kept.items())}
        found = made_manifest(key, kind, recipe, parents, listed, made)
        with self._guard:
            winner = self._objects.setdefault(key, MemoryArtifact(self, found, kept))
        if winner.manifest.digest != found.digest:
            raise StoreError.of("E-STORE-06", key[:12], f"{kind} was made twice with different results")
        return winner

    def discard(self, key: Key) -> None:
        """Remove an object; quiet if it is absent."""
        with self._guard:
            self._objects.pop(key, None)

    def keys(self) -> Iterator[Key]:
        """All keys, sorted."""
        with self._guard:
            return iter(sorted(self._objects))

    def manifests(self, kind: str | None = None) -> Iterator[Manifest]:
        """All manifests in the order of their keys, or those of one kind."""
        for key in self.keys():
            found = self._objects.get(key)
            if found is not None and kind in (None, found.manifest.kind):
                yield found.manifest

    def verify(self) -> Iterator[Damage]:
        """Check every byte of every object: what is kept may have been changed in place only by a bug."""
        for key in self.keys():
            found = self._objects[key]
            for name, (_, sha) in found.manifest.files.items():
                if digest_of_bytes(found.read(name)) != sha:
                    yield Damage(
                        key=key, problem=Problem(code="E-STORE-02", place=f"{key[:12]}/{name}", message="differs")
                    )

    def size(self) -> int:
        """Bytes in all objects, manifests included."""
        return sum(len(encode(found)) + sum(size for size, _ in found.files.values()) for found in self.manifests())

    def claim(self, key: Key) -> Holder | None:
        """Say that this process works on `key`: None if so, else who does."""
        with self._guard:
            if key in self._claims:
                return Holder(host="", pid=os.getpid(), foreign=False, silent_seconds=0.0)
            self._claims.add(key)
            return None

    def release(self, key: Key) -> None:
        """Take back a claim."""
        with self._guard:
            self._claims.discard(key)

    def abandoned(self) -> frozenset[Key]:
        """Nobody can die here and leave a claim."""
        return frozenset()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Nothing collects garbage here."""
        yield

    def spill(self, manifest: Manifest, name: str, data: bytes) -> Path:
        """Write a file where it can be mapped."""
        with self._guard:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="retrain-equivalence-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            place = self._folder / manifest.key / name
            if not place.exists():
                place.parent.mkdir(exist_ok=True)
                place.write_bytes(data)
            return place
