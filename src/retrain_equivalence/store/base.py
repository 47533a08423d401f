"""What a store is: objects that are whole or absent, named by the key of what was asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from retrain_equivalence.core.errors import Problem
from retrain_equivalence.core.identity import Digest, Key, Plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an object says of itself; written last, so its presence is the object's completeness."""

    key: Key
    kind: str
    """`base`, `dataset`, `stage`, `unlearn`, `probe`, `distance`, `checkpoint`."""
    recipe: Plain
    """What was asked; with `parents` it re-derives the key."""
    parents: tuple[tuple[Key, Digest], ...]
    """Keys of what was read, in order, and the digests that were found there."""
    files: Mapping[str, tuple[int, str]]
    """Name -> (size in bytes, SHA-256)."""
    digest: Digest
    """What came out: the digest over `files`."""
    made: Mapping[str, float | int | str] = field(default_factory=dict)
    """Outside key and digest: `seconds`, `tokens`, `steps`, ... for estimates and provenance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who works on a key, as far as its lease tells."""

    host: str
    pid: int
    foreign: bool
    """On a host (or in a pid namespace) where this process cannot tell the living from the dead."""
    silent_seconds: float
    """For how long *this* process has watched the lease without a sign of life; no clock of the holder is read."""

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}" if self.foreign else f"pid {self.pid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One thing in a store that is not as it was written."""

    key: Key | None
    """The object; None for a stray entry."""
    problem: Problem


class Artifact(Protocol):
    """An object of the store, opened through its manifest."""

    @property
    def manifest(self) -> Manifest:
        """The manifest."""
        ...

    def read(self, name: str) -> bytes:
        """Return a listed file's bytes after checking size and SHA-256; `StoreError` E-STORE-01/02 if they differ."""
        ...

    def path(self, name: str) -> Path:
        """Return a listed file's path after checking it as `read` does (once per process), for memory mapping."""
        ...


class Store(Protocol):
    """Content-addressed objects. Correctness never depends on a lock: the commit is one rename."""

    def has(self, key: Key) -> bool:
        """Whether a complete object of that key is there."""
        ...

    def get(self, key: Key) -> Artifact:
        """Open an object; `StoreError` E-STORE-04 if it is absent, E-STORE-03 if key and recipe do not agree."""
        ...

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
        """Commit an object, whole or not at all.

        If the key is already there with the same digest, the own copy is dropped; with another digest both are kept as
        evidence and `StoreError` E-STORE-06 is raised. `ValueError` if kind, recipe and parents do not give `key`.
        """
        ...

    def discard(self, key: Key) -> None:
        """Remove an object that is no result (an in-stage checkpoint after its stage was committed)."""
        ...

    def keys(self) -> Iterator[Key]:
        """All keys, sorted."""
        ...

    def manifests(self, kind: str | None = None) -> Iterator[Manifest]:
        """All manifests in the order of their keys, or those of one kind; damaged objects are left out."""
        ...

    def verify(self) -> Iterator[Damage]:
        """Check every byte of every object and report what is wrong; nothing is changed."""
        ...

    def size(self) -> int:
        """Bytes in all objects."""
        ...

    def claim(self, key: Key) -> Holder | None:
        """Say that this process works on `key`: None if so, else who does. A hint that only avoids double work."""
        ...

    def release(self, key: Key) -> None:
        """Take back a claim of this process; quiet if there is none."""
        ...

    def abandoned(self) -> frozenset[Key]:
        """Keys whose claimant is provably dead: its work may lack its last step, for example pruning checkpoints."""
        ...

    def in_use(self) -> AbstractContextManager[None]:
        """Hold off collection of garbage while a run works; `BusyError` E-LOCK-02 while a collection goes on."""
        ...
