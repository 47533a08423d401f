"""GSM8K: grade-school word problems whose solutions end in `#### n`.

Source: Cobbe et al., *Training Verifiers to Solve Math Word Problems* (2021); `openai/gsm8k`, configuration `main`.
Deviation: calculator marks such as `<<48/2=24>>` are taken out of the solutions; everything else, commas in numbers
included, stands as it is.
"""

from __future__ import annotations

import re

from retrain_equivalence.data.example import Example
from retrain_equivalence.data.hub import HubSet
from retrain_equivalence.data.loaded import Loaded
from retrain_equivalence.data.locations import Locations
from retrain_equivalence.data.named import NamedSet, read_named
from retrain_equivalence.data.near_duplicates import near_duplicate_groups
from retrain_equivalence.data.row_rules import Field, RowRules
from retrain_equivalence.data.source import refuse
from retrain_equivalence.recipes.dataset import Gsm8kDataset

REPOSITORY = "openai/gsm8k"
REVISION = "740312add88f781978c0658806c59bc2815b9866"

RULES = RowRules(fields=(Field(name="question"), Field(name="answer")), strict=True)

_MARKS = re.compile(r"<<[^<>\n]*>>")
_FINAL = re.compile(r"^#### .*\d", re.MULTILINE)


def without_marks(solution: str) -> str:
    """Return a solution without calculator marks.

    >>> without_marks("48/2 = <<48/2=24>>24 clips\\n#### 1,024")
    '48/2 = 24 clips\\n#### 1,024'
    """
    return _MARKS.sub("", solution)


def load(recipe: Gsm8kDataset, where: Locations, *, place: str, sha256: str | None = None) -> Loaded:
    """Return all rows of one split; clusters are near-duplicate questions.

    Raises:
        InputError: E-DATA-46 for a solution without a final `#### n`.
        MachineError: E-ENV-08.
    """
    part = recipe.gsm8k
    named = NamedSet(
        name=f"gsm8k: {part}",
        rules=RULES,
        licence="MIT",
        file=f"gsm8k/{part}.jsonl",
        on_hub=HubSet(repository=REPOSITORY, files=(f"main/{part}-*.parquet",), revision=REVISION),
    )
    read = read_named(named, where, place=place, sha256=sha256)
    for row in read.rows:
        if not _FINAL.search(row.fields["answer"]):
            message = "field 'answer' has no last line '#### n': its answer cannot be scored"
            raise refuse(46, row.place, message, "end the solution with its number")
    clusters = near_duplicate_groups([row.fields["question"] for row in read.rows])
    rows = tuple(
        Example(
            id=f"{part}/{index:04d}",
            prompt=row.fields["question"],
            response=without_marks(row.fields["answer"]),
            cluster=cluster,
        )
        for index, (row, cluster) in enumerate(zip(read.rows, clusters, strict=True))
    )
    return Loaded(rows=rows, places=tuple(row.place for row in read.rows), provenance=read.provenance())
