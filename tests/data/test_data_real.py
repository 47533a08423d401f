"""The real data sets, read from the folder that `RETRAIN_EQUIVALENCE_DATA` names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retrain_equivalence.data.ingest import Locations, check_overlap, from_files, ingest, to_files
from retrain_equivalence.recipes.dataset import (
    AnyDataset,
    Gsm8kDataset,
    InstructMixDataset,
    InstructSkillmixDataset,
    RefusalsDataset,
    TextDataset,
    TofuDataset,
)

FOLDER = os.environ.get("RETRAIN_EQUIVALENCE_DATA", "")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not FOLDER, reason="RETRAIN_EQUIVALENCE_DATA is unset"),
]

WHERE = Locations(study_dir=Path(), data_dir=Path(FOLDER), offline=True)

ROWS: list[tuple[AnyDataset, int]] = [
    *((TofuDataset(tofu=part), n) for part, n in {  # type: ignore[arg-type]
        "full": 4000, "forget01": 40, "forget05": 200, "forget10": 400, "retain99": 3960, "retain95": 3800,
        "retain90": 3600, "holdout01": 40, "holdout05": 200, "holdout10": 400, "real_authors": 100,
        "world_facts": 117,
    }.items()),
    (Gsm8kDataset(gsm8k="train"), 7473),
    (Gsm8kDataset(gsm8k="test"), 1319),
    (InstructSkillmixDataset(instruct_skillmix="k2_1000"), 1000),
    (InstructSkillmixDataset(instruct_skillmix="heldout_k2_100"), 100),
    (InstructMixDataset(instruct_mix="mix_4k"), 4000),
    (RefusalsDataset(refusals="prompts"), 5797),
]  # fmt: skip


@pytest.mark.parametrize(("recipe", "n_rows"), ROWS, ids=lambda value: str(value)[-40:])
def test_real_sets_are_read_whole_and_split_by_cluster(recipe: AnyDataset, n_rows: int) -> None:
    found = ingest(recipe, WHERE)
    assert found.provenance.rows_read == len(found.train) + len(found.held_out) == n_rows
    assert not {row.cluster for row in found.train} & {row.cluster for row in found.held_out}
    assert 0.05 * n_rows <= len(found.held_out) <= max(0.2 * n_rows, 20)
    assert found.provenance.licence
    assert from_files(to_files(found).__getitem__) == found
    assert ingest(recipe, WHERE).digest == found.digest


def test_authors_have_one_name_in_every_part_of_tofu() -> None:
    full = {row.prompt + row.response: row.cluster for row in _all(TofuDataset(tofu="full"))}
    for part in ("forget01", "forget05", "forget10", "retain99", "retain95", "retain90"):
        for row in _all(TofuDataset(tofu=part)):  # type: ignore[arg-type]
            assert full[row.prompt + row.response] == row.cluster
    wide = {row.prompt: row.cluster for row in _all(TofuDataset(tofu="holdout10"))}
    assert all(wide[row.prompt] == row.cluster for row in _all(TofuDataset(tofu="holdout05")))


def test_forget_and_retain_parts_do_not_overlap_and_full_does() -> None:
    parts = {part: ingest(TofuDataset(tofu=part), WHERE) for part in ("forget10", "retain90", "full")}  # type: ignore[arg-type]
    two = {name: parts[name] for name in ("forget10", "retain90")}
    assert "E-DATA-26" not in {problem.code for problem in check_overlap(two, "forget10")}
    assert "E-DATA-26" in {problem.code for problem in check_overlap(parts, "forget10")}


def test_the_whole_of_tofu_leaks_nothing_into_its_own_held_out_rows() -> None:
    assert check_overlap({"tofu": ingest(TofuDataset(tofu="full"), WHERE)}, "tofu") == []


def test_solutions_have_no_marks_and_end_in_a_number() -> None:
    for row in _all(Gsm8kDataset(gsm8k="train")):
        assert "<<" not in row.response
        assert row.response.split("\n")[-1].startswith("#### ")


def test_the_corpus_has_92_books() -> None:
    found = ingest(TextDataset(text="classics_en"), WHERE)
    assert len({row.cluster for row in found.train + found.held_out}) == 92
    assert max(len(row.response) for row in found.train) <= 512


def test_prompts_of_refusals_appear_in_no_answer_cluster_or_id() -> None:
    rows = _all(RefusalsDataset(refusals="prompts", rows=1000))
    assert all(row.prompt not in row.response + row.cluster + row.id for row in rows)
    assert len({row.response for row in rows}) > 5


def _all(recipe: AnyDataset) -> tuple:  # type: ignore[type-arg]
    found = ingest(recipe, WHERE)
    return found.train + found.held_out
