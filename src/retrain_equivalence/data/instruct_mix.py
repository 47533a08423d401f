"""A mix of permissively licensed instruction sets, read from a data directory.

4,000 rows: Instruct-SkillMix, GPTeacher (both written by language models) and the human-written part of self-instruct;
`data/LICENSES.md` has the numbers. A row's input, where it has one, follows its instruction after a blank line.
"""

from __future__ import annotations

from retrain_equivalence.data.example import Example
from retrain_equivalence.data.loaded import Loaded
from retrain_equivalence.data.locations import Locations
from retrain_equivalence.data.named import NamedSet, read_named
from retrain_equivalence.data.near_duplicates import near_duplicate_groups
from retrain_equivalence.data.normal import same_text
from retrain_equivalence.data.row_rules import Field, RowRules
from retrain_equivalence.recipes.dataset import InstructMixDataset

RULES = RowRules(
    fields=(Field(name="instruction"), Field(name="input", may_be_empty=True), Field(name="output")),
    ignored=("source", "license"),
    strict=True,
)


def load(recipe: InstructMixDataset, where: Locations, *, place: str, sha256: str | None = None) -> Loaded:
    """Return all rows; clusters are near-duplicate prompts.

    Raises:
        InputError: for rows that are refused.
        MachineError: E-ENV-08 if no data directory has the file; there is no hub set.
    """
    part = recipe.instruct_mix
    named = NamedSet(
        name=f"instruct_mix: {part}", rules=RULES, licence="MIT and Apache-2.0", file=f"instruct/{part}.jsonl"
    )
    read = read_named(named, where, place=place, sha256=sha256)
    prompts = [_prompt(row.fields["instruction"], row.fields["input"]) for row in read.rows]
    rows = tuple(
        Example(id=f"{part}/{index:04d}", prompt=prompt, response=row.fields["output"], cluster=cluster)
        for index, (row, prompt, cluster) in enumerate(
            zip(read.rows, prompts, near_duplicate_groups(prompts), strict=True)
        )
    )
    return Loaded(rows=rows, places=tuple(row.place for row in read.rows), provenance=read.provenance())


def _prompt(instruction: str, context: str) -> str:
    return f"{instruction}\n\n{context}" if same_text(context) else instruction
