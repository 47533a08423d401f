"""Recipes are values: one kind per first field, complete lists, identity by every field."""

from dataclasses import FrozenInstanceError, fields, replace
from typing import Any, get_args

import pytest

from retrain_equivalence.core.identity import canonical_json
from retrain_equivalence.recipes.dataset import DATASET_KINDS, AnyDataset, DatasetRecipe, GeneratedDataset, kind_of
from retrain_equivalence.recipes.model import MODEL_KINDS, AnyModel, Lora, LoraTuning, ModelRecipe, TinyModel
from retrain_equivalence.recipes.objective import ObjectiveRecipe
from retrain_equivalence.recipes.passes import ForwardPass, Needs, Signal, Split, Weights
from retrain_equivalence.recipes.probe import (
    PROBE_KINDS,
    AccuracyProbe,
    AnyProbe,
    ForgetScoreProbe,
    ProbeRecipe,
    probe_kind,
    probe_name,
    probe_stage,
)
from retrain_equivalence.recipes.training import TrainingRecipe

FAMILIES = [
    (DATASET_KINDS, AnyDataset, DatasetRecipe),
    (MODEL_KINDS, AnyModel, ModelRecipe),
    (PROBE_KINDS, AnyProbe, ProbeRecipe),
]
ALL = [(name, kind, base) for kinds, _, base in FAMILIES for name, kind in kinds.items()]


@pytest.mark.parametrize(("kinds", "union", "base"), FAMILIES)
def test_a_list_of_kinds_is_the_union_and_nothing_else(kinds: dict[str, type], union: Any, base: type) -> None:
    assert set(kinds.values()) == set(get_args(union))
    # By name: a slotted dataclass is a second class beside the one that was written.
    assert {kind.__name__ for kind in kinds.values()} == {kind.__name__ for kind in base.__subclasses__()}


@pytest.mark.parametrize(("name", "kind", "base"), ALL)
def test_a_kind_is_told_by_its_own_first_field(name: str, kind: type, base: type) -> None:
    own = [field.name for field in fields(kind) if field.name not in {inherited.name for inherited in fields(base)}]
    assert own[0] == name
    with pytest.raises(TypeError):
        kind("positional")


@pytest.mark.parametrize(("name", "kind", "base"), ALL)
def test_recipes_are_frozen_values_with_a_canonical_form(name: str, kind: type, base: type) -> None:
    one, two = kind(**{name: "x"}), kind(**{name: "x"})
    assert one == two
    assert hash(one) == hash(two)
    assert canonical_json(one) == canonical_json(two)
    with pytest.raises(FrozenInstanceError):
        setattr(one, name, "y")
    assert canonical_json(kind(**{name: "y"})) != canonical_json(one)


def test_kinds_have_their_names_back() -> None:
    assert kind_of(GeneratedDataset(generated="authors")) == "generated"
    probe = ForgetScoreProbe(forget_score="safety")
    assert (probe_kind(probe), probe_stage(probe), probe_name(probe)) == (
        "forget_score",
        "safety",
        "forget_score:safety",
    )
    assert probe_name(AccuracyProbe(accuracy="math", split="held_out")) == "accuracy:math:held_out"


@pytest.mark.parametrize("field", [field.name for field in fields(TrainingRecipe)])
def test_every_field_of_a_training_is_identity(field: str) -> None:
    recipe = TrainingRecipe(learning_rate=1e-3)
    assert canonical_json(replace(recipe, **{field: "other"})) != canonical_json(recipe)


@pytest.mark.parametrize("given", [{}, {"num_train_epochs": 1, "max_steps": 2}, {"max_tokens": 0}])
def test_a_training_lasts_for_exactly_one_duration(given: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        _ = TrainingRecipe(learning_rate=1e-3, **given).duration


def test_durations_carry_over() -> None:
    assert TrainingRecipe(learning_rate=1e-3, num_train_epochs=3).duration.epochs == 3
    assert TrainingRecipe(learning_rate=1e-3, max_steps=3).duration.steps == 3
    assert TrainingRecipe(learning_rate=1e-3, max_tokens=3).duration.tokens == 3


def test_tuning_and_objectives_have_canonical_forms() -> None:
    tuned = TinyModel(tiny="micro", tuning=LoraTuning(lora=Lora(rank=4, alpha=8.0)))
    assert '"rank":4' in canonical_json(tuned)
    one = ObjectiveRecipe(name="npo", parameters={"beta": 0.1, "a": 1})
    two = ObjectiveRecipe(name="npo", parameters={"a": 1, "beta": 0.1})
    assert canonical_json(one) == canonical_json(two)
    assert canonical_json(ObjectiveRecipe(name="npo", parameters={"beta": 0.2, "a": 1})) != canonical_json(one)


@pytest.mark.parametrize(
    ("passes", "needs", "local"),
    [
        ([ForwardPass()], set(), True),
        ([ForwardPass(), ForwardPass(weights=Weights.REFERENCE)], {"reference"}, True),
        ([ForwardPass(), ForwardPass(split=Split.RETAIN)], {"retain"}, False),
        ([ForwardPass(split=Split.PREFERRED, weights=Weights.REFERENCE)], {"reference", "preferred"}, False),
        ([ForwardPass(signal=Signal.HIDDEN, layer=2)], {"hidden"}, True),
        ([], set(), True),
    ],
)
def test_needs_and_locality_are_derived_from_the_passes(
    passes: list[ForwardPass], needs: set[str], local: bool
) -> None:
    derived = Needs.of(iter(passes))
    assert {field.name for field in fields(derived) if getattr(derived, field.name)} == needs
    assert derived.is_local is local
