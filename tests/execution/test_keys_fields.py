"""Identity: every field of a study is declared here as one that moves trained states, or as one that cannot.

A new field fails `test_every_field_is_declared` until somebody has decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache

import pytest
import small_study

from retrain_equivalence.core.identity import Key, explain
from retrain_equivalence.execution import api
from retrain_equivalence.execution.inputs import Inputs
from retrain_equivalence.execution.keys import Environment, name_task
from retrain_equivalence.execution.plan import Plan, plan_study
from retrain_equivalence.histories.history import Role, Stage
from retrain_equivalence.histories.unlearning import Phase, Unlearning, WeightEdit
from retrain_equivalence.objectives.catalogue import resolve
from retrain_equivalence.recipes import dataset as datasets
from retrain_equivalence.recipes import model as models
from retrain_equivalence.recipes import probe as probes
from retrain_equivalence.recipes.objective import ObjectiveRecipe
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.study.study import Comparison, Given, Margin, Study

LORA = models.LoraTuning(lora=models.Lora(rank=2, alpha=4))
TEXT = datasets.TextDataset(text="corpus.txt")
PRETRAINING = models.Pretraining(dataset=TEXT, training=TrainingRecipe(learning_rate=1e-3, max_steps=2))

NUMERIC, COSMETIC, STRUCTURE, MEASURED = "numeric", "cosmetic", "structure", "measured"
"""Moves trained keys; moves none; moves which tasks there are, not their keys; moves keys of measurements only."""

TRAINING = {
    "learning_rate": 2e-3, "num_train_epochs": 3, "max_steps": 5, "max_tokens": 900, "global_batch_size": 4,
    "micro_batch_size": 2, "max_length": 100, "optimizer": "sgd", "adam_beta1": 0.8, "adam_beta2": 0.9,
    "adam_epsilon": 1e-6, "weight_decay": 0.1, "max_grad_norm": None, "lr_scheduler_type": "linear",
    "warmup_ratio": 0.5, "decay_ratio": 0.5, "min_lr_ratio": 0.5,
}  # fmt: skip

DECLARED: dict[type, dict[str, str]] = {
    Study: {
        "model": NUMERIC, "stages": NUMERIC, "unlearnings": NUMERIC, "seed": NUMERIC, "threads": NUMERIC,
        "forget_level_items": NUMERIC, "probes": MEASURED, "comparisons": MEASURED,
        "histories": STRUCTURE, "position": STRUCTURE, "placebo": STRUCTURE, "given": STRUCTURE,
        "replicates": STRUCTURE, "oracle_replicates": STRUCTURE,
        "name": COSMETIC, "question": COSMETIC, "notes": COSMETIC, "acknowledge": COSMETIC, "max_artifacts": COSMETIC,
        "looks": COSMETIC,
    },
    Stage: {"dataset": NUMERIC, "training": NUMERIC, "name": COSMETIC, "role": STRUCTURE},
    Unlearning: {
        "procedure": NUMERIC, "retain_stages": NUMERIC, "preferred": NUMERIC, "tuning": NUMERIC, "save_at": NUMERIC,
        "name": COSMETIC,
    },
    Phase: {"objective": NUMERIC, "training": NUMERIC},
    ObjectiveRecipe: dict.fromkeys(("name", "parameters", "source", "terms"), NUMERIC),
    TrainingRecipe: dict.fromkeys(TRAINING, NUMERIC),
    models.LoraTuning: {"lora": NUMERIC},
    models.Lora: dict.fromkeys(("rank", "alpha", "dropout", "target_modules", "across_stages"), NUMERIC),
    models.Pretraining: {"dataset": NUMERIC, "training": NUMERIC},
    models.TinyModel: {
        "tiny": NUMERIC, "pretraining": NUMERIC, "base_per": NUMERIC, "dtype": NUMERIC, "tuning": NUMERIC,
        "template": NUMERIC, "system_prompt": NUMERIC,
    },
    # Foreign weights enter by the digest of their files, or by a locked revision, never by where they lie.
    models.HubModel: {"hub": NUMERIC, "revision": NUMERIC},
    models.LocalModel: {"path": COSMETIC},
    models.GgufModel: {"gguf": COSMETIC},
    # Rows enter by the digest of what was read. These say what that is, so they act through it alone.
    datasets.DatasetRecipe: {
        "rows": NUMERIC, "held_out": NUMERIC, "seed": NUMERIC, "on_long": NUMERIC, "allow_duplicates": COSMETIC,
    },
    datasets.GeneratedDataset: {"generated": NUMERIC},
    datasets.TofuDataset: {"tofu": NUMERIC},
    datasets.Gsm8kDataset: {"gsm8k": NUMERIC},
    datasets.InstructSkillmixDataset: {"instruct_skillmix": NUMERIC},
    datasets.InstructMixDataset: {"instruct_mix": NUMERIC},
    datasets.RefusalsDataset: {"refusals": NUMERIC, "wording": NUMERIC},
    datasets.JsonlDataset: dict.fromkeys(
        ("jsonl", "prompt", "response", "row_id", "cluster", "label", "sensitive"), NUMERIC
    ),
    datasets.TextDataset: {"text": NUMERIC, "chunk_characters": NUMERIC},
    probes.ProbeRecipe: {"items": MEASURED, "split": MEASURED, "at": MEASURED},
    probes.ForgetScoreProbe: {"forget_score": MEASURED, "paraphrases": MEASURED},
    probes.AnswerLogprobProbe: {"answer_logprob": MEASURED},
    probes.AccuracyProbe: dict.fromkeys(("accuracy", "samples", "temperature", "max_new_tokens"), MEASURED),
    probes.ExactMatchProbe: {"exact_match": MEASURED, "max_new_tokens": MEASURED},
    probes.PredictionProbe: dict.fromkeys(("prediction", "positions", "cells", "max_rest"), MEASURED),
    Comparison: dict.fromkeys(("contrast", "probe", "margin", "alignment", "family"), MEASURED),
    Margin: dict.fromkeys(("rationale", "value", "times_band"), MEASURED),
    Given: dict.fromkeys(("history", "path", "replicate", "unlearning"), STRUCTURE),
}  # fmt: skip


@dataclass(frozen=True)
class Keys:
    trained: frozenset[Key]
    stages: frozenset[Key]
    all: frozenset[Key]


@cache
def inputs() -> Inputs:
    return api.read_inputs(small_study.small(), api.Runtime(study_dir=small_study.FOLDER).locations)


def keys(plan: Plan) -> Keys:
    return Keys(
        trained=frozenset(t.key for t in plan.tasks if t.kind in small_study.TRAINED),
        stages=frozenset(t.key for t in plan.tasks if t.kind == "stage"),
        all=frozenset(plan.planned),
    )


def keys_of(study: Study, read: Inputs | None = None) -> Keys:
    return keys(plan_study(study, read or inputs(), api.environment_of(study, "cpu")))


def reread(study: Study) -> Keys:
    return keys_of(study, api.read_inputs(study, api.Runtime(study_dir=small_study.FOLDER).locations))


SMALL = small_study.small()
BEFORE = keys_of(SMALL)


def with_stage(change: Callable[[Stage], Stage]) -> Study:
    """The first stage changed; it begins a history, so everything after it must get another key too."""
    first, *others = SMALL.stages
    return replace(SMALL, stages=(change(first), *others), histories="all_orders")


def with_unlearning(change: Callable[[Unlearning], Unlearning]) -> Study:
    return replace(SMALL, unlearnings=tuple(change(u) for u in SMALL.unlearnings))


def own_fields(kind: type) -> set[str]:
    inherited = {f.name for base in kind.__mro__[1:] if base is not object for f in fields(base)}
    return {f.name for f in fields(kind)} - inherited


@pytest.mark.parametrize("kind", DECLARED, ids=lambda kind: kind.__name__)
def test_every_field_is_declared(kind: type) -> None:
    declared = set(DECLARED[kind])
    if kind in (models.TinyModel, models.HubModel, models.LocalModel, models.GgufModel):
        shared = {f.name for f in fields(models.ModelRecipe)}
        assert shared <= set(DECLARED[models.TinyModel])
        declared -= shared
    assert declared == own_fields(kind), "declare the new field: does it move a trained state?"


def test_every_kind_is_declared() -> None:
    listed = {*datasets.DATASET_KINDS.values(), *models.MODEL_KINDS.values(), *probes.PROBE_KINDS.values()}
    assert listed <= set(DECLARED)


@pytest.mark.parametrize(("name", "value"), [("seed", 4), ("threads", 2)])
def test_fields_of_the_study_that_move_every_trained_key(name: str, value: object) -> None:
    assert not keys_of(replace(SMALL, **{name: value})).trained & BEFORE.trained


def test_the_recorded_forget_rows_belong_to_the_unlearning() -> None:
    after = keys_of(replace(SMALL, forget_level_items=5))
    assert after.stages == BEFORE.stages
    assert len(after.trained & BEFORE.trained) == len(BEFORE.trained) - SMALL.replicates * 2 * 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "other"), ("question", "another?"), ("notes", "a note"), ("acknowledge", "yes"),
        ("max_artifacts", 10**6), ("comparisons", ()), ("probes", ()), ("looks", (3,)),
    ],
)  # fmt: skip
def test_fields_of_the_study_that_move_no_trained_key(name: str, value: object) -> None:
    after = keys_of(replace(SMALL, **{name: value}))
    assert after.trained == BEFORE.trained
    if DECLARED[Study][name] == COSMETIC:
        assert after.all == BEFORE.all


@pytest.mark.parametrize(
    ("name", "value"),
    [("replicates", 3), ("oracle_replicates", 2), ("histories", "all_orders")],
)
def test_fields_that_add_tasks_keep_the_others(name: str, value: object) -> None:
    after = keys_of(replace(SMALL, **{name: value}))
    assert BEFORE.trained < after.trained


def test_a_single_position_is_a_part_of_all_orders() -> None:
    assert keys_of(replace(SMALL, histories=None, position=3)).trained < BEFORE.trained


@pytest.mark.parametrize(("name", "value"), TRAINING.items())
def test_every_field_of_a_stages_training_is_identity(name: str, value: object) -> None:
    durations = {"num_train_epochs": None, "max_steps": None, "max_tokens": None}
    changed = {**durations, name: value} if name in durations else {name: value}
    before = reread(with_stage(lambda stage: stage))
    after = keys_of(with_stage(lambda stage: replace(stage, training=replace(stage.training, **changed))))
    # What has not seen the stage keeps its key: the two others alone and in both orders in two replicates, and the
    # first stage of the oracle sums>facts in the oracle-only one. Everything after it has another.
    assert len(after.stages & before.stages) == 2 * 4 + 1
    assert len(after.stages) == len(before.stages)


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, v in TRAINING.items() if n not in ("num_train_epochs", "max_tokens")]
)
def test_every_field_of_an_unlearnings_training_is_identity(name: str, value: object) -> None:
    def change(unlearning: Unlearning) -> Unlearning:
        training = replace(unlearning.phases[0].training, **{name: value})
        return replace(unlearning, procedure=(replace(unlearning.phases[0], training=training),), save_at=())

    bare = keys_of(with_unlearning(lambda u: replace(u, save_at=())))
    after = keys_of(with_unlearning(change))
    assert after.stages == BEFORE.stages
    unlearned = after.trained - after.stages
    assert len(unlearned & bare.trained) == SMALL.replicates + SMALL.oracle_replicates, "only the bases are shared"


@pytest.mark.parametrize(
    "change",
    [
        lambda u: replace(u, save_at=(0, 4)),
        lambda u: replace(u, tuning=LORA),
        lambda u: replace(u, procedure=(replace(u.phases[0], objective=resolve("simnpo", {}, "")),)),
        lambda u: replace(u, procedure=(replace(u.phases[0], objective=resolve("npo", {"beta": 0.3}, "")),)),
        lambda u: replace(u, procedure=(*u.procedure, WeightEdit(task_vector=1.0)), save_at=()),
        lambda u: replace(u, procedure=u.procedure * 2, save_at=()),
    ],
    ids=["save_at", "tuning", "objective", "parameters", "edit", "phases"],
)  # fmt: skip
def test_what_an_unlearning_is_moves_its_key(change: Callable[[Unlearning], Unlearning]) -> None:
    after = keys_of(with_unlearning(change))
    assert after.stages == BEFORE.stages
    assert len((after.trained - after.stages) & BEFORE.trained) == SMALL.replicates + SMALL.oracle_replicates


def test_names_of_stages_and_unlearnings_are_labels() -> None:
    """Renaming retrains nothing; only what stands in a table under a name, predictions and distances, is made anew."""
    study = replace(
        SMALL,
        stages=tuple(replace(s, name=s.name.replace("facts", "people")) for s in SMALL.stages),
        histories=(("people", "sums", "safety"), ("safety", "people", "sums")),
        unlearnings=tuple(replace(u, name=u.name.replace("ga", "ascent")) for u in SMALL.unlearnings),
        probes=tuple(
            replace(p, answer_logprob="people") if isinstance(p, probes.AnswerLogprobProbe) else p for p in SMALL.probes
        ),
    )
    plan = plan_study(
        study,
        replace(inputs(), datasets={n.replace("facts", "people"): d for n, d in inputs().datasets.items()}),
        api.environment_of(study, "cpu"),
    )
    assert keys(plan).trained == BEFORE.trained
    moved = {task.kind for task in plan.tasks if task.key not in BEFORE.all}
    assert moved <= {"distance", "label", "cells", "probe"}


@pytest.mark.parametrize(
    "model",
    [
        models.TinyModel(tiny="micro", base_per="replicate"),
        models.TinyModel(tiny="nano", base_per="replicate", dtype="bfloat16"),
        models.TinyModel(tiny="nano", base_per="replicate", template="chat"),
        models.TinyModel(tiny="nano", base_per="replicate", template="chat", system_prompt="Be brief."),
    ],
    ids=["size", "dtype", "template", "system_prompt"],
)
def test_what_a_model_is_moves_every_trained_key(model: models.TinyModel) -> None:
    assert not keys_of(replace(SMALL, model=model)).trained & BEFORE.trained


def test_one_base_for_the_study_is_the_base_of_replicate_0() -> None:
    after = keys_of(replace(SMALL, model=models.TinyModel(tiny="nano", base_per="study")))
    assert after.trained & BEFORE.trained
    assert len(after.trained - after.stages) < len(BEFORE.trained - BEFORE.stages)


def test_how_stages_are_tuned_moves_stages_and_leaves_the_base() -> None:
    lora = keys_of(replace(SMALL, model=replace(SMALL.model, tuning=LORA)))
    assert not lora.stages & BEFORE.stages
    assert len(lora.trained & BEFORE.trained) == SMALL.replicates + SMALL.oracle_replicates
    for name, value in {
        "rank": 4, "alpha": 8.0, "dropout": 0.1, "target_modules": ("q_proj",), "across_stages": "merged",
    }.items():  # fmt: skip
        tuning = models.LoraTuning(lora=replace(LORA.lora, **{name: value}))
        assert not keys_of(replace(SMALL, model=replace(SMALL.model, tuning=tuning))).stages & lora.stages, name


def test_pretraining_moves_the_base_by_its_text_and_training() -> None:
    model = models.TinyModel(tiny="nano", pretraining=PRETRAINING)
    study = replace(SMALL, model=model)
    facts = inputs().datasets["facts"]
    read = replace(inputs(), datasets={**inputs().datasets, "(pretraining)": facts})
    other = replace(read, datasets={**read.datasets, "(pretraining)": inputs().datasets["sums"]})
    before = keys_of(study, read)
    assert not before.trained & BEFORE.trained
    assert not keys_of(study, other).trained & before.trained
    longer = replace(PRETRAINING, training=replace(PRETRAINING.training, max_steps=3))
    assert not keys_of(replace(study, model=replace(model, pretraining=longer)), read).trained & before.trained
    moved = replace(PRETRAINING, dataset=replace(TEXT, text="elsewhere/corpus.txt"))
    assert keys_of(replace(study, model=replace(model, pretraining=moved)), read).trained == before.trained


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (models.LocalModel(path="a"), models.LocalModel(path="b")),
        (models.GgufModel(gguf="a.gguf"), models.GgufModel(gguf="b.gguf")),
    ],
)
def test_foreign_weights_enter_by_content(one: models.AnyModel, two: models.AnyModel) -> None:
    read = replace(inputs(), model_source="0" * 64)
    before = keys_of(replace(SMALL, model=one), read)
    assert keys_of(replace(SMALL, model=two), read).trained == before.trained
    assert not keys_of(replace(SMALL, model=one), replace(read, model_source="1" * 64)).trained & before.trained


@pytest.mark.parametrize(
    ("name", "value"),
    [("rows", 23), ("held_out", 0.4), ("seed", 1), ("generated", "instructions")],
)
def test_data_enter_by_their_rows(name: str, value: object) -> None:
    study = with_stage(lambda s: replace(s, dataset=replace(s.dataset, **{name: value})))
    assert reread(study).stages != reread(with_stage(lambda s: s)).stages


def test_accepting_duplicates_that_are_not_there_moves_nothing() -> None:
    study = with_stage(lambda s: replace(s, dataset=replace(s.dataset, allow_duplicates=True)))
    assert reread(study).trained == reread(with_stage(lambda s: s)).trained


def test_what_happens_to_long_rows_is_identity() -> None:
    study = with_stage(lambda s: replace(s, dataset=replace(s.dataset, on_long="drop")))
    assert keys_of(study).stages != reread(with_stage(lambda s: s)).stages


def test_equal_rows_from_elsewhere_are_the_same_rows() -> None:
    moved = {
        name: replace(d, provenance=replace(d.provenance, source="elsewhere", sha256="1" * 64, revision="2"))
        for name, d in inputs().datasets.items()
    }
    assert keys_of(SMALL, replace(inputs(), datasets=moved)).all == BEFORE.all


def test_the_numeric_environment_moves_every_key() -> None:
    environment = api.environment_of(SMALL, "cpu")
    for name, value in environment.settings.items():
        other = Environment(settings={**environment.settings, name: f"{value}?"})
        assert not keys(plan_study(SMALL, inputs(), other)).all & BEFORE.all, name


def test_numerics_moves_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrain_equivalence.execution.keys.NUMERICS", 10**6)
    assert not keys_of(SMALL).all & BEFORE.all


def test_runtime_has_no_way_into_a_key() -> None:
    """A plan is made from study, inputs and environment; of the runtime only the kind of device reaches them."""
    runtime = api.Runtime(study_dir=small_study.FOLDER, workers=7, offline=True, data_dir=small_study.FOLDER)
    assert keys(api.plan(SMALL, runtime)[0]).all == BEFORE.all


def test_keys_do_not_depend_on_the_order_of_a_mapping_and_tell_types_apart() -> None:
    environment = Environment(settings={})
    one = name_task("stage", {"a": 1, "b": 2}, (), environment).key
    assert name_task("stage", {"b": 2, "a": 1}, (), environment).key == one
    different = {name_task("stage", {"a": v, "b": 2}, (), environment).key for v in (1, 1.0, "1", True)}
    assert len(different) == 4
    assert name_task("unlearn", {"a": 1, "b": 2}, (), environment).key != one


def test_the_field_that_moved_a_key_can_be_named() -> None:
    one = next(p for p in small_study.planned().planned.values() if p.task.kind == "stage")
    two = next(p for p in small_study.planned("training.learning_rate=1e-3").planned.values() if p.task.kind == "stage")
    assert explain(one.named.recipe, two.named.recipe) == "recipe.training.learning_rate: 0.003 -> 0.001"


def test_the_role_of_a_stage_is_not_part_of_its_training() -> None:
    """A forget stage trains like any other: what it is to the study is decided afterwards."""
    swapped = replace(
        SMALL,
        stages=tuple(replace(s, role=Role.FORGET if s.name == "sums" else Role.RETAIN) for s in SMALL.stages),
        probes=(), comparisons=(),
    )  # fmt: skip
    assert keys_of(swapped).stages & BEFORE.stages
