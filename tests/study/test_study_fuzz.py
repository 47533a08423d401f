"""Any value in any place of a study is either right or refused with our own error."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.study.dump import _block
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.yaml_reader import read_yaml

ODD: list[Any] = [None, True, -1, 1e30, "", "tofu", ["a"], [["a"]], {"name": "x"}, {"tofu": "full"}]
ODD += [{"objective": "ga"}, [{"replay": 1}], {"weighted_sum": [{"objective": "nll"}]}]
MORE = """
  - {name: sum, objective: {weighted_sum: [{objective: npo, beta: 1}, {objective: retain_nll, weight: 2}]},
     retain_stages: [tofu], learning_rate: 1e-4, max_steps: 3}
  - {name: dpo, objective: dpo, preferred: {jsonl: other.jsonl}, learning_rate: 1e-4, max_steps: 3}
  - name: edit
    procedure: [{objective: nll, learning_rate: 1e-4, max_steps: 3}, {task_vector: 0.5}, {objective: ga, max_steps: 2}]
    learning_rate: 1e-4
    save_at: [0, 6]
  - {name: replay, procedure: [{replay: since_forget}]}
"""
"""Unlearnings of every form, beside those of the right study."""


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from _paths(value[key], (*path, key))


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_an_odd_value_anywhere(odd: Any, write: Callable[..., str], study_text: str) -> None:
    """Loaded or refused in short lines; never another exception."""
    study = read_yaml(study_text.replace("probes:", MORE.strip("\n") + "\nprobes:"), "s").value
    load_study(write("\n".join(_block(study, 0))))
    refused = 0
    for path in list(_paths(study))[1:]:
        changed = copy.deepcopy(study)
        here = changed
        for part in path[:-1]:
            here = here[part]
        here[path[-1]] = odd
        try:
            load_study(write("\n".join(_block(changed, 0))))
        except StudyError as error:
            refused += 1
            assert all(len(line) <= 300 and line.isprintable() for line in error.lines())
    assert refused > 60
