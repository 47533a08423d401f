"""The data sets that this package writes itself, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from retrain_equivalence.data import (
    generated_arithmetic,
    generated_authors,
    generated_instructions,
    generated_refusals,
)
from retrain_equivalence.data.example import Example, Provenance
from retrain_equivalence.data.loaded import Loaded
from retrain_equivalence.data.locations import Locations
from retrain_equivalence.recipes.dataset import GeneratedDataset

DEFAULT_ROWS = 512
"""How many rows `rows: null` makes, since there is no whole of it."""

GENERATORS: dict[str, Callable[[int, int], Iterator[Example]]] = {
    "instructions": generated_instructions.generate,
    "authors": generated_authors.generate,
    "arithmetic": generated_arithmetic.generate,
    "refusals": generated_refusals.generate,
}
"""Name -> (rows, seed) -> rows. Each is deterministic, without equal rows, and not sensitive."""


def load(recipe: GeneratedDataset, where: Locations, *, place: str, sha256: str | None = None) -> Loaded:
    """Return the rows that were asked for. Nothing is read, so nothing is refused."""
    n_rows = DEFAULT_ROWS if recipe.rows is None else recipe.rows
    rows = tuple(GENERATORS[recipe.generated](n_rows, recipe.seed))
    provenance = Provenance(
        source="generated", revision="", sha256="", licence="MIT (part of retrain-equivalence)", rows_read=n_rows
    )
    return Loaded(rows=rows, places=tuple(row.id for row in rows), provenance=provenance, chosen=True)
