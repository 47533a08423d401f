"""What a row is to training and probing, and what a chosen, split set of rows is.

Design. Everything that reads data hands on these values and nothing else: text, where it belongs, and where it came
from. They hold no tokens, so that one data set serves every model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from retrain_equivalence.core.identity import Digest, canonical_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row: what is asked and what is answered."""

    id: str
    """Unique within its data set; never a row's text."""
    prompt: str
    """What comes before the scored text; empty for plain text, where everything is scored."""
    response: str
    """What is trained on and scored; never empty."""
    cluster: str
    """Which near duplicates it belongs to (an author, a template, a book): clusters are held out whole."""
    label: str = ""
    """The string that the forget score scores; empty scores the response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where rows came from; outside every digest."""

    source: str
    """`generated`, a file's name below its root, or `hub:owner/name`."""
    revision: str
    """The hub's commit, or empty."""
    sha256: str
    """SHA-256 of the source file; of sorted `name size sha256` lines where there are several; empty if generated."""
    licence: str
    """SPDX name or a sentence; `not stated` for a user's own file."""
    rows_read: int
    """Rows in the source, before any were chosen."""
    warnings: tuple[str, ...] = ()
    """One line each: what was accepted although it is unusual. Holds no row text of a sensitive set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Chosen rows, split by whole clusters."""

    train: tuple[Example, ...]
    """In the order of the source; at least one."""
    held_out: tuple[Example, ...]
    """Never trained on; clusters disjoint from those of `train`. May be empty."""
    digest: Digest
    """`digest_of_rows(train, held_out)`."""
    sensitive: bool
    """Whether row texts must never be shown."""
    provenance: Provenance


def digest_of_rows(train: Iterable[Example], held_out: Iterable[Example]) -> Digest:
    """Return the digest of rows in order: equal for equal rows, wherever and whenever they were read.

    SHA-256 over the canonical JSON line of each row of `train` after the word `train`, then of `held_out` after the
    word `held_out`, so that moving a row from one to the other changes it.
    """
    hashed = hashlib.sha256(b"retrain-equivalence/rows/v1\0")
    for name, rows in (("train", train), ("held_out", held_out)):
        hashed.update(f"{name}\n".encode())
        for row in rows:
            hashed.update(f"{canonical_json(row)}\n".encode())
    return Digest(hashed.hexdigest())
