"""In-stage checkpoints: objects too, keyed by the task and the step, gone when the task is committed.

A new one is committed before the previous one is removed, so one complete checkpoint is there at any instant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from retrain_equivalence.core.errors import StoreError
from retrain_equivalence.core.identity import Key, Plain, key_of
from retrain_equivalence.store.base import Artifact, Store

KIND = "checkpoint"


class Checkpoints:
    """The checkpoints of one task.

    Args:
        store: where they are.
        of: key of the task.
        n_steps: how many steps the task has; checkpoints lie at steps 1..n_steps.
    """

    def __init__(self, store: Store, of: Key, n_steps: int) -> None:
        self._store = store
        self._of = of
        self._n_steps = n_steps
        self._last: int | None = None

    def newest(self) -> tuple[int, Artifact, dict[str, bytes]] | None:
        """Return step, object and files of the newest whole checkpoint, None if there is none.

        A damaged one is passed over: it goes to quarantine and the one before it, or the start, is as good.
        """
        for step in range(self._n_steps, 0, -1):
            key = key_of(KIND, self._recipe(step))
            if not self._store.has(key):
                continue
            try:
                found = self._store.get(key)
                files = {name: found.read(name) for name in found.manifest.files}
            except StoreError:
                if self._store.has(key):
                    raise
                continue
            self._last = step
            return step, found, files
        return None

    def save(self, step: int, files: Mapping[str, bytes | Path]) -> None:
        """Commit the checkpoint of `step`, then remove the one before it."""
        recipe = self._recipe(step)
        self._store.put(key_of(KIND, recipe), kind=KIND, recipe=recipe, parents={}, files=files)
        if self._last is not None and self._last != step:
            self._store.discard(key_of(KIND, self._recipe(self._last)))
        self._last = step

    def clear(self) -> None:
        """Remove all of them; for after the task's own commit."""
        for step in range(1, self._n_steps + 1):
            key = key_of(KIND, self._recipe(step))
            if self._store.has(key):
                self._store.discard(key)

    def _recipe(self, step: int) -> Plain:
        return {"of": self._of, "step": step}


def discard_checkpoints(store: Store, of: Collection[Key]) -> None:
    """Remove every checkpoint whose recipe says that it is `of` one of these tasks.

    For tasks whose worker died between committing and pruning; it reads all manifests, so it is for that case only.
    """
    if not of:
        return
    stale = [
        found.key for found in store.manifests(KIND) if isinstance(found.recipe, dict) and found.recipe.get("of") in of
    ]
    for key in stale:
        store.discard(key)
