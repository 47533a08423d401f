"""Which source the package has: a worker that would compute with other code than its planner must refuse."""

from __future__ import annotations

import hashlib
from pathlib import Path

import retrain_equivalence


def source_digest() -> str:
    """Return the SHA-256 over the names and bytes of all `*.py` of the package, sorted by name."""
    root = Path(retrain_equivalence.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()
