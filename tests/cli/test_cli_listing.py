"""`list objectives`: everything that helps to choose, for losses, compositions, and losses with required parameters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache

import pytest

from retrain_equivalence.objectives.catalogue import OBJECTIVES
from retrain_equivalence.study.fields import STEP_KINDS
from retrain_equivalence.study.yaml_reader import read_yaml


def typed(*words: str, kind: str = "objectives", columns: str = "200") -> str:
    call = [sys.executable, "-m", "retrain_equivalence", "list", kind, *words]
    variables = {**os.environ, "COLUMNS": columns}
    return subprocess.run(call, env=variables, capture_output=True, text=True, check=True, timeout=60).stdout


@cache
def listed() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(typed("--json"))
    return found


@pytest.mark.parametrize(
    ("name", "needs", "local", "defaults", "passes"),
    [
        ("ga", "forget", "yes", "", "1 forward, 1 backward"),
        ("npo", "forget, reference", "yes", "beta=0.1", "1 forward, 1 backward; once 1 forward"),
        ("graddiff", "forget, retain", "no", "retain=nll, retain_weight=1.0", "2 forward, 2 backward"),
        ("distill", "forget, teacher", "no", "beta=0.0", "2 forward, 1 backward"),
        ("rmu", "forget, reference, retain, hidden", "no", "layer, steering=2.0, retain_weight=1.0",
         "3 forward, 2 backward"),
    ],
)  # fmt: skip
def test_what_is_said_of_an_objective(name: str, needs: str, local: str, defaults: str, passes: str) -> None:
    entry = listed()[name]
    assert (entry["needs"], entry["local"], entry["defaults"]) == (needs, local, defaults)
    assert entry["passes per step"] == passes


def test_each_has_a_source_and_the_names_of_others() -> None:
    assert set(listed()) >= set(OBJECTIVES)
    assert all(entry["source"] and entry["what"] for entry in listed().values())
    assert listed()["npo"]["source"] == "Zhang et al. 2024"
    assert "GradAscent" in listed()["ga"]["also called"].split("; ")


def test_names_stay_whole_on_a_narrow_screen() -> None:
    said = typed(columns="80")
    assert {name for name in OBJECTIVES if name not in said} == set()


def test_steps_of_procedures_are_listed_as_they_are_written() -> None:
    found = json.loads(typed("--json", kind="procedures"))
    assert set(found) == {"phase", "task_vector", "replay"}
    for entry in found.values():
        assert entry["what"].endswith((".", ","))
        step = read_yaml(entry["a step"], "s").value
        assert isinstance(step, dict)
        assert len(set(step) & set(STEP_KINDS)) == 1, "a step as a study file takes it"
    assert "{replay: since_forget}" in typed(kind="procedures")
