from __future__ import annotations

import re
from pathlib import Path

import pytest
from report_synthetic import study_text

from retrain_equivalence.recipes.dataset import DATASET_KINDS
from retrain_equivalence.report.citations import DATASETS, REFUSALS, bibtex
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.study import Study

ENTRY = re.compile(r"^@(\w+)\{([\w:-]+),", re.MULTILINE)


def study(tmp_path: Path, text: str) -> Study:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return load_study(path)


def keys(text: str) -> list[str]:
    return [key for _, key in ENTRY.findall(text)]


def test_the_paper_comes_first_then_each_objective_once(tmp_path: Path) -> None:
    found = keys(bibtex(study(tmp_path, study_text())))
    assert found[0] == "yu2025impossibility"
    assert found[1:] == ["jang2023knowledge", "zhang2024negative", "fan2024simplicity"]


def test_real_data_sets_are_cited(tmp_path: Path) -> None:
    text = study_text().replace("{generated: authors, rows: 400}", "{tofu: full, rows: 400}")
    text = text.replace("{generated: arithmetic, rows: 512}", "{gsm8k: train, rows: 512}")
    text = text.replace("{generated: instructions, rows: 512}", "{instruct_skillmix: k2_1000}")
    assert {"maini2024tofu", "cobbe2021training", "kaur2024instructskillmix"} <= set(
        keys(bibtex(study(tmp_path, text)))
    )


def test_adapters_are_cited_when_they_are_used(tmp_path: Path) -> None:
    text = study_text().replace("{tiny: micro}", "{tiny: micro, tuning: {lora: {rank: 4, alpha: 8}}}")
    assert "hu2022lora" in keys(bibtex(study(tmp_path, text)))
    assert "hu2022lora" not in keys(bibtex(study(tmp_path, study_text())))


def test_every_kind_of_data_set_is_known() -> None:
    assert set(DATASETS) | {"refusals"} == set(DATASET_KINDS)


@pytest.mark.parametrize("entry", [e for group in (*DATASETS.values(), *REFUSALS.values()) for e in group])
def test_entries_are_balanced_bibtex(entry: str) -> None:
    assert ENTRY.match(entry) and entry.count("{") == entry.count("}") and entry.endswith("}")
    assert "title" in entry and "author" in entry and "year" in entry
