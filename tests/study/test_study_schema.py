"""The JSON schema: valid itself, true to every study we ship, and strict about names."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from retrain_equivalence.study.bundled import BUNDLED, bundled_text
from retrain_equivalence.study.dump import dump_study
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.schema import schema
from retrain_equivalence.study.template import template
from retrain_equivalence.study.yaml_reader import read_yaml

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    """The schema as a validator."""
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


def _errors(validator: jsonschema.Draft202012Validator, text: str) -> list[str]:
    return [error.message for error in validator.iter_errors(read_yaml(text, "s").value)]


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_studies_are_valid(name: str, validator: jsonschema.Draft202012Validator) -> None:
    """As they are, and written out."""
    assert not _errors(validator, bundled_text(name))
    assert not _errors(validator, dump_study(load_study(name)))


def test_template_and_configurations_are_valid(validator: jsonschema.Draft202012Validator) -> None:
    """The two configurations together."""
    assert not _errors(validator, template())
    parts = [(CONFIGS / name).read_text(encoding="utf-8") for name in ("finetune.yaml", "unlearn.yaml")]
    assert not _errors(validator, "\n".join(parts))


WRONG: list[tuple[tuple[Any, ...], Any]] = [
    (("stages", 0, "num_epochs"), 3),
    (("stages", 0, "dataset", "rwos"), 3),
    (("stages", 0, "role"), "forgot"),
    (("model", "tiny"), "huge"),
    (("training", "learning_rte"), 1e-3),
    (("training", "learning_rate"), "1e-3"),
    (("replicats",), 3),
    (("replicates",), "8"),
    (("probes", 0), {"forget_scor": "safety"}),
    (("comparisons", 0, "contrast"), "distance"),
    (("unlearnings", 0, "save_at"), "all"),
]


@pytest.mark.parametrize(("path", "value"), WRONG, ids=[".".join(map(str, path)) for path, _ in WRONG])
def test_wrong_studies_are_not(path: tuple[Any, ...], value: Any, validator: jsonschema.Draft202012Validator) -> None:
    """An editor underlines what `validate` would refuse."""
    study = copy.deepcopy(read_yaml(bundled_text("quickstart"), "s").value)
    here = study
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    assert not validator.is_valid(study)


RIGHT_UNLEARNINGS = [
    "{name: x, objective: npo_retain, retain: kl, retain_stages: [math], learning_rate: 1e-4, max_steps: 3}",
    "{name: x, objective: {weighted_sum: [{objective: ga}, {objective: retain_nll, weight: 2}]}, retain_stages: [a]}",
    "{name: x, objective: dpo, preferred: idk}",
    "{name: x, objective: dpo, preferred: {jsonl: other.jsonl, prompt: question}}",
    "{name: x, procedure: [{objective: nll, max_steps: 3}, {objective: mine, own: 2}], save_at: [0, 6]}",
    "{name: x, procedure: [{objective: nll}, {task_vector: 0.5}]}",
    "{name: x, procedure: [{replay: since_forget}]}",
    "{name: x, procedure: [{replay: 2}]}",
]
WRONG_UNLEARNINGS = [
    "{name: x}",
    "{name: x, objective: ga, procedure: [{objective: ga}]}",
    "{name: x, objective: dpo, preferred: yes please}",
    "{name: x, objective: dpo, preferred: {jsonl: other.jsonl, promt: question}}",
    "{name: x, objective: graddiff, retain_stages: math}",
    "{name: x, objective: {weighted_sum: []}}",
    "{name: x, objective: {weighted_sum: [{weight: 2}]}}",
    "{name: x, objective: {weighted_sum: [{objective: ga, weight: 0}]}}",
    "{name: x, objective: {weighted_sum: [{objective: ga}], beta: 2}}",
    "{name: x, procedure: {objective: ga}}",
    "{name: x, procedure: [{max_steps: 3}]}",
    "{name: x, procedure: [{task_vector: one}]}",
    "{name: x, procedure: [{replay: before}]}",
    "{name: x, procedure: [{replay: 1, max_steps: 2}]}",
]


def _with_unlearning(text: str) -> Any:
    study = copy.deepcopy(read_yaml(bundled_text("quickstart"), "s").value)
    study["unlearnings"].append(read_yaml(text, "s").value)
    return study


@pytest.mark.parametrize("text", RIGHT_UNLEARNINGS)
def test_every_form_of_an_unlearning_is_valid(text: str, validator: jsonschema.Draft202012Validator) -> None:
    assert [error.message for error in validator.iter_errors(_with_unlearning(text))] == []


@pytest.mark.parametrize("text", WRONG_UNLEARNINGS)
def test_a_wrong_unlearning_is_not(text: str, validator: jsonschema.Draft202012Validator) -> None:
    assert not validator.is_valid(_with_unlearning(text))


def test_fields_are_described() -> None:
    """Descriptions are the docstrings of the dataclasses."""
    found = schema()
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "Runs per history" in found["properties"]["replicates"]["description"]
    assert "Peak learning rate" in found["$defs"]["Stage"]["properties"]["learning_rate"]["description"]
    assert "beta" in found["$defs"]["Unlearning"]["properties"]
