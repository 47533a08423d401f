"""Unlearnings in a study file: every form that is right, and one line for every one that is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.histories.unlearning import Phase, ReplayFrom, Unlearning, WeightEdit
from retrain_equivalence.recipes.dataset import JsonlDataset
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.questions import DESCRIBED
from retrain_equivalence.study.study import CONTRASTS
from retrain_equivalence.study.template import template

NPO = "{name: npo, objective: npo, beta: 0.1, learning_rate: 1e-4, max_steps: 10}"
"""The entry of the right study that is replaced."""

ROOT = Path(__file__).parents[2]


@pytest.fixture
def read(study_text: str, write: Callable[..., str]) -> Callable[[str], Unlearning]:
    def load(entry: str) -> Unlearning:
        assert NPO in study_text
        return load_study(write(study_text.replace(NPO, entry))).unlearnings[-1]

    return load


def test_one_phase_is_the_entry_itself(read: Callable[[str], Unlearning]) -> None:
    found = read(NPO)
    assert [type(step) for step in found.procedure] == [Phase]
    assert (found.retain_stages, found.preferred) == ((), None)


def test_a_procedure_lists_its_steps_and_its_entry_has_their_defaults(read: Callable[[str], Unlearning]) -> None:
    found = read(
        "{name: x, learning_rate: 2e-4, procedure: ["
        "{objective: nll, max_steps: 3, learning_rate: 1e-3}, {task_vector: 0.5}, "
        "{objective: npo, beta: 0.2, max_steps: 4}]}"
    )
    first, edit, second = found.procedure
    assert isinstance(first, Phase)
    assert isinstance(second, Phase)
    assert edit == WeightEdit(task_vector=0.5)
    assert [step.training.learning_rate for step in (first, second)] == [1e-3, 2e-4]
    assert second.objective.parameters == {"beta": 0.2}
    assert found.steps == (0, 8)


@pytest.mark.parametrize("replay", ["since_forget", 2])
def test_a_replay_needs_no_training_fields(read: Callable[[str], Unlearning], replay: object) -> None:
    assert read(f"{{name: x, procedure: [{{replay: {replay}}}]}}").replay == ReplayFrom(replay=replay)  # type: ignore[arg-type]


def test_a_weighted_sum_names_its_terms(read: Callable[[str], Unlearning]) -> None:
    found = read(
        "{name: x, learning_rate: 1e-4, max_steps: 5, retain_stages: [tofu], objective: {weighted_sum: ["
        "{objective: simnpo, gamma: 0.5}, {objective: retain_nll, weight: 2}]}}"
    )
    terms = found.phases[0].objective.terms
    assert [(term.objective.name, term.weight) for term in terms] == [("simnpo", 1.0), ("retain_nll", 2.0)]
    assert terms[0].objective.parameters == {"beta": 4.5, "gamma": 0.5}


def test_preferred_answers_are_the_packages_or_a_data_set(read: Callable[[str], Unlearning]) -> None:
    assert read("{name: x, objective: dpo, preferred: idk, learning_rate: 1e-4, max_steps: 5}").preferred == "idk"
    other = read("{name: x, objective: dpo, preferred: {jsonl: b.jsonl}, learning_rate: 1e-4, max_steps: 5}").preferred
    assert isinstance(other, JsonlDataset)
    assert read("{name: x, objective: idk, learning_rate: 1e-4, max_steps: 5}").preferred == "idk", "idk brings its own"
    assert read("{name: x, objective: idk_dpo, preferred: idk, learning_rate: 1e-4, max_steps: 5}").preferred == "idk"


@pytest.mark.parametrize(
    ("entry", "code", "said"),
    [
        (
            "objective: graddiff",
            "E-CFG-60",
            "reads retain rows, and no stage is named.*add retain_stages: \\[tofu, math\\]",
        ),
        (
            "objective: ga, retain_stages: [tofu]",
            "E-CFG-60",
            "retain_stages: no objective of this unlearning reads retain",
        ),
        ("objective: graddiff, retain_stages: [safety]", "E-CFG-60", "'safety' is the stage that is unlearned"),
        ("objective: graddiff, retain_stages: [tofuu]", "E-CFG-20", "unknown stage 'tofuu'. Fix: did you mean 'tofu'"),
        ("objective: graddiff, retain_stages: [tofu, tofu]", "E-CFG-60", "a stage stands twice"),
        ("objective: graddiff, retain: l2, retain_stages: [tofu]", "E-CFG-43", "retain must be nll or kl, found 'l2'"),
        (
            "objective: npo_retain, retain_weight: 0, retain_stages: [tofu]",
            "E-CFG-43",
            "retain_weight must be a finite",
        ),
        ("objective: dpo", "E-CFG-60", "reads preferred answers, and none are given. Fix: add preferred: idk"),
        ("objective: dpo, beta: 0, preferred: idk", "E-CFG-43", "beta must be a finite number above 0"),
        ("objective: ga, preferred: idk", "E-CFG-60", "no objective of this unlearning reads preferred answers"),
        ("objective: idk_dpo, preferred: {jsonl: b.jsonl}", "E-CFG-60", "brings its own answers, 'idk'"),
        ("objective: dpo, preferred: yes please", "E-CFG-12", "preferred: expected idk or a data set, found the text"),
        (
            "objective: dpo, preferred: ikd",
            "E-CFG-13",
            "preferred: the text 'ikd' is not one of idk.*did you mean 'idk'",
        ),
        ("objective: dpo, preferred: [idk]", "E-CFG-12", "preferred: expected idk or a data set, found a list"),
        ("objective: dpo, preferred: {jsnl: b.jsonl}", "E-CFG-14", "preferred: no key says which data set it is"),
        ("objective: dpo, preferred: {text: b.txt}", "E-CFG-60", "preferred: plain text answers no prompt"),
        (
            "objective: dpo, preferred: {generated: refusals, rows: 100}",
            "E-CFG-29",
            "the same data serve the forget stage 'safety' .* and the preferred answers",
        ),
        (
            "objective: graddiff, retain: [tofu], retain_stages: [tofu]",
            "E-CFG-42",
            "retain: expected text, found a list.*stand under retain_stages",
        ),
        ("objective: weighted_sum", "E-CFG-14", "'weighted_sum' is no objective by itself.*write objective: {weighted"),
        (
            "objective: {weighted_sum: [{objective: {weighted_sum: [{objective: ga}]}}]}",
            "E-CFG-43",
            "weighted_sum.0: a weighted sum cannot be a term of another one",
        ),
        (
            "objective: {weighted_sum: [{objective: ga, max_steps: 3}]}",
            "E-CFG-10",
            "0.max_steps: unknown key. Fix: write it into the entry of the unlearning",
        ),
        ("objective: {weighted_sum: [[]]}", "E-CFG-12", "weighted_sum.0: expected a mapping"),
        (
            "objective: {weighted_sum: [{objective: {name: ga, source: x}}]}",
            "E-CFG-47",
            "0.objective: locked with the source 'x'",
        ),
        ("objective: ga, replay: 1", "E-CFG-10", "replay: unknown key. Fix: it is a step: procedure: "),
        (
            "procedure: [{objective: nll, save_at: [0, 1]}]",
            "E-CFG-10",
            "procedure.0.save_at: unknown key. Fix: write it into the entry",
        ),
        (
            "procedure: [{objective: nll, num_train_epochs: 2}]",
            "E-CFG-21",
            "procedure.0.num_train_epochs: unlearning is counted in steps",
        ),
        ("objective: rmu, retain_stages: [tofu]", "E-CFG-41", "needs the parameter 'layer'"),
        ("objective: rmu_forget, layer: -1", "E-CFG-43", "layer must be at least 0"),
        ("objective: {weighted_sum: [{objective: ga, weight: -1}]}", "E-CFG-43", "the weight must be > 0, found -1"),
        ("objective: {weighted_sum: [{objective: ga, weight: two}]}", "E-CFG-12", "weight: expected a number"),
        (
            "objective: {weighted_sum: [{objective: gaa}]}",
            "E-CFG-40",
            "weighted_sum.0.objective: unknown objective 'gaa'",
        ),
        (
            "objective: {weighted_sum: [{objective: npo, bata: 1}]}",
            "E-CFG-10",
            "bata: unknown key.*did you mean 'beta'",
        ),
        (
            "objective: {weighted_sum: [{objective: ga}, {objective: pdu, retain_bound: 1, weight: 2}]}, "
            "retain_stages: [tofu]",
            "E-CFG-43",
            "study.yaml:12:.*weighted_sum.1: a dual variable takes no further weight. Fix: weight: 1",
        ),
        ("objective: {weighted_sum: []}", "E-CFG-43", "a weighted sum needs a term"),
        ("objective: {weighted_sum: ga}", "E-CFG-12", "expected a list"),
        ("objective: {weighted_sum: [{objective: ga}]}, beta: 1", "E-CFG-10", "beta: unknown key"),
        ("objective: ga, procedure: [{objective: ga}]", "E-CFG-61", "an objective or a procedure, found both"),
        ("procedure: []", "E-CFG-61", "procedure: a procedure needs a step"),
        ("procedure: [{task_vector: 1}]", "E-CFG-61", "procedure.0: a task vector is what the phases before it"),
        (
            "procedure: [{objective: nll}, {task_vector: 0}]",
            "E-CFG-15",
            "procedure.1.task_vector: must be > 0, found 0",
        ),
        ("procedure: [{objective: nll}, {task_vector: 1}, {task_vector: 1}]", "E-CFG-61", "procedure.2: a task vector"),
        ("procedure: [{objective: nll}, {replay: 1}]", "E-CFG-61", "procedure.1: a replay stands alone"),
        ("procedure: [{replay: 0}]", "E-CFG-61", "replay: must be 1 to 3 .* or since_forget, found 0"),
        ("procedure: [{replay: 4}]", "E-CFG-61", "replay: must be 1 to 3"),
        (
            "procedure: [{replay: before}]",
            "E-CFG-61",
            "replay: expected a number of stages or since_forget, found the text",
        ),
        ("procedure: [{objective: nll, replay: 1}]", "E-CFG-14", "both say what it is"),
        ("procedure: [{objectiv: nll}]", "E-CFG-14", "no key says which step it is.*did you mean 'objective'"),
        ("procedure: [{objective: gaa}]", "E-CFG-40", "procedure.0.objective: unknown objective 'gaa'"),
        (
            "procedure: [{objective: nll, lr: 1}]",
            "E-CFG-10",
            "procedure.0.lr: unknown key.*did you mean 'learning_rate'",
        ),
        (
            "procedure: [{objective: nll, learning_rate: fast}]",
            "E-CFG-12",
            "procedure.0.learning_rate: expected a number",
        ),
        ("procedure: [{objective: nll, max_steps: 0}]", "E-CFG-15", "procedure.0.max_steps: must be >= 1"),
        ("procedure: [{objective: nll}, {objective: ga}], beta: 1", "E-CFG-10", "beta: unknown key"),
        ("objective: ga, steps: 5", "E-CFG-10", "steps: unknown key.*did you mean 'max_steps'"),
    ],
)
def test_a_wrong_unlearning_is_one_line(read: Callable[[str], Unlearning], entry: str, code: str, said: str) -> None:
    only_replay = "objective" not in entry
    rate = "" if only_replay or "learning_rate" in entry else ", learning_rate: 1e-4"
    steps = "" if only_replay or "max_steps" in entry.partition("weighted_sum")[0] else ", max_steps: 10"
    training = rate + steps
    with pytest.raises(StudyError, match=f"error\\[{code}.*{said}") as caught:
        read(f"{{name: x, {entry}{training}}}")
    assert all(len(line) <= 300 for line in caught.value.lines())
    assert len(caught.value.lines()) <= 2


def test_a_phase_without_a_duration_is_refused_where_it_stands(read: Callable[[str], Unlearning]) -> None:
    with pytest.raises(StudyError, match=r"E-CFG-21.*procedure\.1.*max_steps"):
        read("{name: x, learning_rate: 1e-4, procedure: [{objective: nll, max_steps: 2}, {objective: ga}]}")


def test_neither_objective_nor_procedure_is_refused(read: Callable[[str], Unlearning]) -> None:
    with pytest.raises(StudyError, match=r"E-CFG-11.*unlearnings\.1: 'objective' is missing"):
        read("{name: x, learning_rate: 1e-4, max_steps: 3}")


@pytest.mark.parametrize("steps", ["[{objectiv: nll}]", "[[nll]]", "[]"])
def test_training_fields_beside_a_wrong_step_are_not_what_is_wrong(
    read: Callable[[str], Unlearning], steps: str
) -> None:
    with pytest.raises(StudyError) as caught:
        read(f"{{name: x, learning_rate: 1e-4, max_steps: 3, procedure: {steps}}}")
    assert len(caught.value.lines()) == 1


def test_a_composition_with_a_dual_weight_may_be_a_term_of_weight_one(read: Callable[[str], Unlearning]) -> None:
    terms = "[{objective: ga, weight: 2}, {objective: pdu, retain_bound: 1}]"
    found = read(
        f"{{name: x, learning_rate: 1e-4, max_steps: 3, retain_stages: [tofu], objective: {{weighted_sum: {terms}}}}}"
    )
    assert [term.weight for term in found.phases[0].objective.terms] == [2.0, 1.0]


def test_a_replay_takes_no_tuning(read: Callable[[str], Unlearning]) -> None:
    with pytest.raises(StudyError, match=r"E-CFG-61.*tuning: nothing here takes gradient steps"):
        read("{name: x, tuning: full, procedure: [{replay: since_forget}]}")


def test_an_override_reaches_a_step_and_a_term(study_text: str, write: Callable[..., str]) -> None:
    entries = (
        "{name: relearn, learning_rate: 1e-4, procedure: [{objective: nll, max_steps: 3}, {task_vector: 1}]}\n"
        "  - {name: sum, learning_rate: 1e-4, max_steps: 2, objective: {weighted_sum: [{objective: ga}]}}"
    )
    overrides = (
        "unlearnings.relearn.procedure.0.max_steps=5",
        "unlearnings.relearn.procedure.1.task_vector=0.5",
        "unlearnings.sum.objective.weighted_sum.0.weight=3",
        "unlearnings.ga.objective=npo",
        "unlearnings.ga.beta=0.5",
    )
    found = load_study(write(study_text.replace(NPO, entries)), overrides=overrides).unlearnings
    ga, relearn, added = found
    assert (relearn.phases[0].n_steps, relearn.procedure[1]) == (5, WeightEdit(task_vector=0.5))
    assert added.phases[0].objective.terms[0].weight == 3.0
    assert ga.phases[0].objective.parameters == {"beta": 0.5}


def test_a_plugin_may_not_name_a_parameter_like_a_field(study_text: str, write: Callable[..., str]) -> None:
    """The value in the file would go to the field, and the parameter would keep its default unseen."""
    plugin = write(
        "from dataclasses import dataclass\nfrom typing import ClassVar\n"
        "from retrain_equivalence.objectives.base import POLICY_LOGPS, Per, token_terms\n\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Slow:\n"
        "    name: ClassVar[str] = 'slow_for_test'\n    passes: ClassVar = (POLICY_LOGPS,)\n"
        "    per: ClassVar[Per] = Per.TOKEN\n    cite: ClassVar[str] = '@misc{me, title={x}}'\n"
        "    max_steps: int = 1\n"
        "    def __call__(self, seen):\n        return token_terms(seen[POLICY_LOGPS].values_BT, seen[POLICY_LOGPS])\n"
        "OBJECTIVES = [Slow]\n",
        name="slow.py",
    )
    entry = "{name: x, objective: slow_for_test, learning_rate: 1e-4, max_steps: 10}"
    with pytest.raises(StudyError, match=r"E-CFG-45.*'max_steps' of 'slow_for_test' has the name of a field"):
        load_study(write(study_text.replace(NPO, entry)), plugins=(Path(plugin),))


def test_a_replay_takes_no_training_fields(read: Callable[[str], Unlearning]) -> None:
    with pytest.raises(StudyError, match=r"E-CFG-10.*max_steps: unknown key.*takes no gradient steps"):
        read("{name: x, max_steps: 3, procedure: [{replay: 1}]}")


def test_save_at_counts_the_whole_procedure(read: Callable[[str], Unlearning]) -> None:
    with pytest.raises(StudyError, match=r"E-CFG-22.*from 0 to the last \(7\)"):
        read(
            "{name: x, learning_rate: 1e-4, max_steps: 3, save_at: [0, 3], "
            "procedure: [{objective: nll}, {task_vector: 1}, {objective: ga}]}"
        )


def _uncommented(text: str) -> str:
    """Return the text with its commented entries of unlearnings among the others."""
    shown = re.compile(r"^#   (- \{name: .*)$", flags=re.M)
    entries = "".join(f"  {entry}\n" for entry in shown.findall(text))
    assert entries.count("\n") == 3
    return shown.sub("", text).replace("\nunlearnings:\n", f"\nunlearnings:\n{entries}")


def test_the_entries_shown_in_comments_are_right(write: Callable[..., str]) -> None:
    made = load_study(write(_uncommented(template()), "made.yaml"))
    assert [u.name for u in made.unlearnings] == ["npo-retain", "idk", "relearn", "ga", "npo"]
    assert made.unlearnings[2].last == 25
    finetune, unlearn = ((ROOT / "configs" / name).read_text("utf-8") for name in ("finetune.yaml", "unlearn.yaml"))
    both = load_study(write(finetune, "finetune.yaml"), write(_uncommented(unlearn), "unlearn.yaml"))
    assert [u.last for u in both.unlearnings[:3]] == [20, 20, 20]


def test_the_documented_table_has_every_contrast() -> None:
    table = (ROOT / "docs" / "studies.md").read_text("utf-8").partition("## What may be asked")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*?) \|$", table, flags=re.M)
    rows = rows[1:]  # without the heading
    assert sorted(contrast for contrast, _ in rows) == sorted(CONTRASTS)
    assert {contrast for contrast, margin in rows if margin == "described only"} == set(DESCRIBED)
