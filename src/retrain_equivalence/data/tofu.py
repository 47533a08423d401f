"""TOFU: 200 fictitious authors with 20 questions each, and questions about real authors and the world.

Source: Maini et al., *TOFU: A Task of Fictitious Unlearning for LLMs* (COLM 2024); `locuslab/TOFU` on the hub.
Questions and answers were written by a language model.

Clusters are authors. `full` lists them in blocks of 20; `forgetNN` is its last NN percent and `retainNN` its first, so
an author has the same cluster name in every part. `holdoutNN` has authors of its own, 01 being the first of 05 and of
10. Deviation: none in the texts. `real_authors` and `world_facts` have options too, which are not read.
"""

from __future__ import annotations

from retrain_equivalence.data.example import Example
from retrain_equivalence.data.hub import HubSet
from retrain_equivalence.data.loaded import Loaded
from retrain_equivalence.data.locations import Locations
from retrain_equivalence.data.named import NamedSet, read_named
from retrain_equivalence.data.near_duplicates import near_duplicate_groups
from retrain_equivalence.data.row_rules import Field, RowRules
from retrain_equivalence.data.source import refuse
from retrain_equivalence.recipes.dataset import TofuDataset

REPOSITORY = "locuslab/TOFU"
REVISION = "324592d84ae4f482ac7249b9285c2ecdb53e3a68"
ROWS_PER_AUTHOR = 20

FIRST_AUTHOR = {
    "full": 0, "retain99": 0, "retain95": 0, "retain90": 0, "forget01": 198, "forget05": 190, "forget10": 180,
    "holdout01": 0, "holdout05": 0, "holdout10": 0,
}  # fmt: skip
"""Which author the first block of a part is, counted in `full`, or among the held-out authors."""

N_ROWS = {
    "full": 4000, "retain99": 3960, "retain95": 3800, "retain90": 3600, "forget01": 40, "forget05": 200,
    "forget10": 400, "holdout01": 40, "holdout05": 200, "holdout10": 400,
}  # fmt: skip

RULES = RowRules(
    fields=(Field(name="question"), Field(name="answer")),
    ignored=("option1", "option2", "option3", "option4"),
    strict=True,
)


def load(recipe: TofuDataset, where: Locations, *, place: str, sha256: str | None = None) -> Loaded:
    """Return all rows of one part.

    Raises:
        InputError: E-DATA-45 if the part has not its published number of rows, since authors go by position.
        MachineError: E-ENV-08.
    """
    part = recipe.tofu
    named = NamedSet(
        name=f"tofu: {part}",
        rules=RULES,
        licence="MIT",
        file=f"tofu/{part}.jsonl",
        on_hub=HubSet(repository=REPOSITORY, files=(f"{part}.json",), revision=REVISION),
    )
    read = read_named(named, where, place=place, sha256=sha256)
    if part in N_ROWS:
        if len(read.rows) != N_ROWS[part]:
            message = f"{len(read.rows)} rows, tofu {part} has {N_ROWS[part]}: authors are found by position"
            raise refuse(45, read.source, message, "restore the file, or read your own rows with jsonl:")
        kind = "holdout" if part.startswith("holdout") else "author"
        first = FIRST_AUTHOR[part]
        clusters = [f"{kind}/{first + index // ROWS_PER_AUTHOR:03d}" for index in range(len(read.rows))]
    else:
        clusters = near_duplicate_groups([row.fields["question"] for row in read.rows])
    rows = tuple(
        Example(
            id=f"{part}/{index:04d}",
            prompt=row.fields["question"],
            response=row.fields["answer"],
            cluster=cluster,
        )
        for index, (row, cluster) in enumerate(zip(read.rows, clusters, strict=True))
    )
    return Loaded(rows=rows, places=tuple(row.place for row in read.rows), provenance=read.provenance())
