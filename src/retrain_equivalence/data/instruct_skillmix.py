"""Instruct-SkillMix: instructions that combine skills, with answers, all written by a language model.

Source: Kaur et al., *Instruct-SkillMix* (2024). `sdd` is the set of the path-dependence paper; `sda_4k` names one file
of `PrincetonPLI/Instruct-SkillMix-SDA`, whose default configuration mixes four overlapping files. `k2_1000` and
`heldout_k2_100` are files of the authors' repository, read from a data directory.
"""

from __future__ import annotations

from retrain_equivalence.data.example import Example
from retrain_equivalence.data.hub import HubSet
from retrain_equivalence.data.loaded import Loaded
from retrain_equivalence.data.locations import Locations
from retrain_equivalence.data.named import NamedSet, read_named
from retrain_equivalence.data.near_duplicates import near_duplicate_groups
from retrain_equivalence.data.row_rules import Field, RowRules
from retrain_equivalence.recipes.dataset import InstructSkillmixDataset

FILES = {
    "k2_1000": "instruct/ism_sda_k2_1000.json",
    "heldout_k2_100": "instruct/ism_sda_heldout_k2_100.json",
    "sdd": "instruct/ism_sdd.json",
    "sda_4k": "instruct/ism_sda_k2_4K.json",
}

ON_HUB = {
    "sdd": HubSet(
        repository="PrincetonPLI/Instruct-SkillMix-SDD",
        files=("*.json", "*.jsonl", "data/*.json", "data/*.jsonl", "data/*.parquet"),
        revision=None,
    ),
    "sda_4k": HubSet(
        repository="PrincetonPLI/Instruct-SkillMix-SDA", files=("data/ism_sda_k2_4K.json",), revision=None
    ),
}

RULES = RowRules(fields=(Field(name="instruction"), Field(name="output")))


def load(recipe: InstructSkillmixDataset, where: Locations, *, place: str, sha256: str | None = None) -> Loaded:
    """Return all rows of one file or hub set; clusters are near-duplicate instructions.

    Raises:
        InputError: for rows that are refused.
        MachineError: E-ENV-08.
    """
    part = recipe.instruct_skillmix
    named = NamedSet(
        name=f"instruct_skillmix: {part}", rules=RULES, licence="MIT", file=FILES[part], on_hub=ON_HUB.get(part)
    )
    read = read_named(named, where, place=place, sha256=sha256)
    clusters = near_duplicate_groups([row.fields["instruction"] for row in read.rows])
    rows = tuple(
        Example(
            id=f"{part}/{index:04d}",
            prompt=row.fields["instruction"],
            response=row.fields["output"],
            cluster=cluster,
        )
        for index, (row, cluster) in enumerate(zip(read.rows, clusters, strict=True))
    )
    return Loaded(rows=rows, places=tuple(row.place for row in read.rows), provenance=read.provenance())
