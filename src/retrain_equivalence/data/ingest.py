"""From a recipe to rows: found, checked, grouped, chosen and split, before anything is trained.

Design. Each kind of data set has a file of its own that returns all rows of its source as `Loaded`; everything after
that is the same for all of them. Training reads what was ingested, never the source again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from retrain_equivalence.data import (
    generated,
    gsm8k,
    instruct_mix,
    instruct_skillmix,
    jsonl,
    refusals_set,
    text,
    tofu,
)
from retrain_equivalence.data.duplicates import check_duplicates
from retrain_equivalence.data.example import Dataset, Example, digest_of_rows
from retrain_equivalence.data.frozen import from_files, to_files
from retrain_equivalence.data.loaded import Loaded
from retrain_equivalence.data.locations import Locations
from retrain_equivalence.data.overlap import check_overlap
from retrain_equivalence.data.problems import Problems
from retrain_equivalence.data.selection import split, take
from retrain_equivalence.data.source import refuse
from retrain_equivalence.recipes.dataset import AnyDataset, DatasetRecipe, kind_of

__all__ = ["Locations", "check_overlap", "from_files", "ingest", "to_files"]

LOADERS: dict[str, Callable[..., Loaded]] = {
    "generated": generated.load,
    "tofu": tofu.load,
    "gsm8k": gsm8k.load,
    "instruct_skillmix": instruct_skillmix.load,
    "instruct_mix": instruct_mix.load,
    "refusals": refusals_set.load,
    "jsonl": jsonl.load,
    "text": text.load,
}
"""Kind -> its loader: a new data set adds its line here."""


def ingest(recipe: AnyDataset, where: Locations, *, place: str = "", sha256: str | None = None) -> Dataset:
    """Return the rows that `recipe` asks for, split into training and held-out rows.

    `rows` are taken by whole clusters, then the share `held_out` is kept out by whole clusters; `selection` has the
    rules. Rows keep the order of their source, and at least one is trained on.

    Args:
        recipe: what is asked for.
        where: where data may come from.
        place: where the study names the data set, for problems that no file is to blame for.
        sha256: what the source file must hash to, where a study is locked.

    Raises:
        InputError: every problem of the source; up to 20 are shown, then how many more there are.
        MachineError: E-ENV-08 if the data are not on this machine and may or can not be fetched.
    """
    loaded = LOADERS[kind_of(recipe)](recipe, where, place=place, sha256=sha256)
    found = Problems()
    check_duplicates(loaded, allowed=recipe.allow_duplicates, found=found)
    found.raise_errors()
    rows = loaded.rows if loaded.chosen else _taken(loaded, recipe)
    train, held_out = split(rows, recipe.held_out, recipe.seed)
    if recipe.held_out > 0 and not held_out:
        found.warn(25, loaded.provenance.source, "nothing is held out: the rows are one cluster of near duplicates")
    warnings = (*loaded.provenance.warnings, *found.warnings)
    return Dataset(
        train=train,
        held_out=held_out,
        digest=digest_of_rows(train, held_out),
        sensitive=loaded.sensitive,
        provenance=replace(loaded.provenance, warnings=warnings),
    )


def _taken(loaded: Loaded, recipe: DatasetRecipe) -> tuple[Example, ...]:
    if recipe.rows is None:
        return loaded.rows
    if recipe.rows > len(loaded.rows):
        message = f"{len(loaded.rows):,} rows, {recipe.rows:,} were asked for"
        raise refuse(25, loaded.provenance.source, message, f"set rows: {len(loaded.rows)} or less, or rows: null")
    return take(loaded.rows, recipe.rows, recipe.seed)
