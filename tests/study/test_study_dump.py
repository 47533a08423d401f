"""`load(dump(study)) == study`, over studies that hypothesis makes up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrain_equivalence.histories.history import Role, Stage
from retrain_equivalence.histories.unlearning import Phase, ReplayFrom, Unlearning, WeightEdit
from retrain_equivalence.objectives.catalogue import resolve, resolve_sum
from retrain_equivalence.recipes.dataset import GeneratedDataset, Gsm8kDataset, JsonlDataset, TextDataset, TofuDataset
from retrain_equivalence.recipes.model import GgufModel, HubModel, LocalModel, Lora, LoraTuning, Pretraining, TinyModel
from retrain_equivalence.recipes.objective import ObjectiveRecipe, Term
from retrain_equivalence.recipes.probe import (
    AccuracyProbe,
    AnswerLogprobProbe,
    ExactMatchProbe,
    ForgetScoreProbe,
    PredictionProbe,
)
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.study.bundled import BUNDLED
from retrain_equivalence.study.dump import dump_study
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.schema import schema
from retrain_equivalence.study.study import Comparison, Given, Margin, Study
from retrain_equivalence.study.yaml_reader import read_yaml

NAMES = ("a", "Math-2", "no", "true", "1e-5", "012", "null", "über")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda text: text.strip() != "" and not any(mark in text for mark in ("${", "{{", "$("))
)
RATE = st.floats(1e-9, 1.0)
SHARE = st.floats(0, 0.4)
SCHEMA = jsonschema.Draft202012Validator(schema())


def training(**given_: st.SearchStrategy[Any]) -> st.SearchStrategy[TrainingRecipe]:
    """Any valid training."""
    return st.builds(
        TrainingRecipe,
        learning_rate=RATE,
        global_batch_size=st.integers(1, 64),
        micro_batch_size=st.none() | st.just(1),
        max_length=st.integers(8, 999),
        optimizer=st.sampled_from(["adamw", "sgd"]),
        weight_decay=st.floats(0, 1),
        max_grad_norm=st.none() | RATE,
        lr_scheduler_type=st.sampled_from(["constant", "linear", "cosine", "wsd"]),
        warmup_ratio=SHARE,
        decay_ratio=SHARE,
        min_lr_ratio=SHARE,
        **given_,
    )


SHARED: dict[str, Any] = {
    "rows": st.none() | st.integers(100, 10_000),
    "held_out": SHARE,
    "seed": st.integers(0, 9),
    "on_long": st.sampled_from(["error", "truncate", "drop"]),
    "allow_duplicates": st.booleans(),
}
STAGE_TRAINING = training(num_train_epochs=st.integers(1, 9)) | training(max_tokens=st.integers(1, 10**12))
LORA = st.builds(
    Lora,
    rank=st.integers(1, 64),
    alpha=st.floats(0.1, 256),
    target_modules=st.sampled_from([("q_proj",), ("q_proj", "v_proj")]),
    across_stages=st.sampled_from(["carried", "merged"]),
)
TUNING = st.just("full") | st.builds(LoraTuning, lora=LORA)
MODEL = (
    st.builds(
        TinyModel,
        tiny=st.sampled_from(["nano", "micro", "tiny"]),
        tuning=TUNING,
        base_per=st.sampled_from(["study", "replicate"]),
        pretraining=st.none()
        | st.builds(Pretraining, dataset=st.builds(TextDataset, text=st.just("books")), training=STAGE_TRAINING),
    )
    | st.builds(HubModel, hub=st.just("a/b-1.5"), revision=st.none() | st.just("0" * 40), tuning=TUNING)
    | st.builds(LocalModel, path=TEXT, template=st.just("chat"), system_prompt=st.none() | TEXT)
    | st.builds(GgufModel, gguf=TEXT, dtype=st.sampled_from(["float32", "bfloat16"]))
)
DATASETS = (
    st.builds(TofuDataset, tofu=st.sampled_from(["full", "forget10"]), **SHARED),
    st.builds(Gsm8kDataset, gsm8k=st.just("train"), **SHARED),
    st.builds(
        JsonlDataset,
        jsonl=st.just("rows.jsonl"),
        prompt=TEXT,
        label=st.none() | TEXT,
        cluster=st.none() | TEXT,
        **SHARED,
    ),
    st.builds(GeneratedDataset, generated=st.just("refusals"), **SHARED),
)


def recipe(name: str, **parameters: float) -> ObjectiveRecipe:
    return resolve(name, parameters, "")


LOCAL = st.sampled_from([recipe("ga"), recipe("npo", beta=0.25), recipe("simnpo", beta=2, gamma=1)])
WITH_RETAIN = st.sampled_from(
    [
        recipe("graddiff", retain_weight=0.5),
        resolve_sum((Term(objective=recipe("npo"), weight=2.0), Term(objective=recipe("retain_nll"))), ""),
    ]
)
PREFERRED = st.just("idk") | st.builds(JsonlDataset, jsonl=st.just("other.jsonl"), prompt=TEXT, **SHARED)


@st.composite
def unlearning(draw: st.DrawFn, name: str, retain: tuple[str, ...], k: int) -> Unlearning:
    """An unlearning of every form: one phase, several, an edit, a replay; with retain rows or preferred answers."""
    form = draw(st.sampled_from(["phase", "phases", "edit", "replay", "retain", "preferred"]))
    last = draw(st.integers(2, 30))

    def phase(objective: ObjectiveRecipe, steps: int = last) -> Phase:
        return Phase(objective=objective, training=draw(training(max_steps=st.just(steps))))

    common = {"name": name, "tuning": None if form == "replay" else draw(st.none() | TUNING)}
    match form:
        case "phases":
            return Unlearning(procedure=(phase(recipe("nll"), 3), phase(draw(LOCAL))), **common)
        case "edit":
            return Unlearning(
                procedure=(phase(recipe("nll")), WeightEdit(task_vector=draw(st.floats(0.1, 2)))), **common
            )
        case "replay":
            step = ReplayFrom(replay=draw(st.just("since_forget") | st.integers(1, k)))
            return Unlearning(procedure=(step,), **common)
        case "retain":
            return Unlearning(procedure=(phase(draw(WITH_RETAIN)),), retain_stages=retain[:1], **common)
        case "preferred":
            return Unlearning(procedure=(phase(recipe("dpo")),), preferred=draw(PREFERRED), **common)
        case _:
            saved = draw(st.sampled_from([(), (0, last), (0, 1, last)]))
            return Unlearning(procedure=(phase(draw(LOCAL)),), save_at=saved, **common)


@st.composite
def studies(draw: st.DrawFn) -> Study:
    """A valid study of two to four stages."""
    k = draw(st.integers(2, 4))
    names = draw(st.permutations(NAMES))[:k]
    kinds = draw(st.permutations(DATASETS))[:k]
    forget = draw(st.integers(0, k - 1))
    stages = tuple(
        Stage(
            name=name,
            dataset=draw(kind),
            training=draw(STAGE_TRAINING),
            role=Role.FORGET if index == forget else Role.RETAIN,
        )
        for index, (name, kind) in enumerate(zip(names, kinds, strict=True))
    )
    retain = tuple(name for index, name in enumerate(names) if index != forget)
    unlearnings = tuple(draw(unlearning(f"u{index}", retain, k)) for index in range(draw(st.integers(0, 3))))
    probes = (
        ForgetScoreProbe(forget_score=names[forget], paraphrases=draw(st.booleans())),
        AnswerLogprobProbe(answer_logprob=names[0], items=draw(st.integers(1, 99))),
        AccuracyProbe(accuracy=names[0], samples=draw(st.integers(0, 5)), temperature=draw(RATE)),
        ExactMatchProbe(exact_match=names[1], max_new_tokens=draw(st.integers(1, 99))),
        PredictionProbe(prediction=names[forget], cells=draw(st.integers(3, 999)), max_rest=draw(RATE)),
    )
    comparisons = (
        Comparison(contrast="oracle_distance", probe="prediction", margin=Margin(times_band=1.5, rationale=draw(TEXT))),
        Comparison(
            contrast="difference",
            probe=f"answer_logprob:{names[0]}",
            margin=Margin(value=draw(RATE), rationale=draw(TEXT)),
        ),
        Comparison(contrast="path_gap", probe="prediction", alignment="at_each_step", family=draw(TEXT)),
    )
    orders: Any = draw(
        st.sampled_from(
            ["all_orders", "shuffle_only", ("adjacent_swaps", "forget_at_each_position"), (tuple(names),), None]
        )
    )
    return Study(
        name=draw(st.sampled_from(["study", "s_1", "on"])),
        question=draw(TEXT),
        model=draw(MODEL),
        stages=stages,
        unlearnings=unlearnings,
        probes=probes,
        comparisons=comparisons,
        histories=orders,
        position=None if orders is not None else draw(st.integers(1, k)),
        given=draw(st.sampled_from([(), (Given(history=(names[0],), path="m"),)])),
        replicates=draw(st.integers(1, 9)),
        oracle_replicates=draw(st.integers(0, 9)),
        seed=draw(st.integers(0, 2**63 - 1)),
        notes=draw(TEXT | st.just("")),
    )


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(study=studies())
def test_a_written_study_is_read_back(study: Study, tmp_path: Path) -> None:
    """Equal, and written the same again."""
    path = tmp_path / "study.lock.yaml"
    text = dump_study(study)
    path.write_text(text, encoding="utf-8")
    again = load_study(path)
    assert again == study
    assert dump_study(again) == text
    assert not [error.message for error in SCHEMA.iter_errors(read_yaml(text, "s").value)]


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_studies_are_read_back(name: str, write: Callable[..., str]) -> None:
    """The lock file of a bundled study is that study."""
    study = load_study(name)
    assert load_study(write(dump_study(study))) == study


def test_every_default_is_written_out() -> None:
    """A lock file keeps its meaning when a default changes."""
    text = dump_study(load_study("quickstart"))

    def names(value: Any) -> set[str]:
        if isinstance(value, tuple):
            return {name for item in value for name in names(item)}
        if not is_dataclass(value) or isinstance(value, type):
            return set()
        own = {item.name for item in fields(value)} - {"training", "parameters", "source"}
        own -= {"procedure", "terms"}  # of one phase and one objective, whose fields stand in the entry itself
        return own | {name for item in fields(value) for name in names(getattr(value, item.name))}

    missing = {name for name in names(load_study("quickstart")) if f"{name}:" not in text}
    assert not missing


def test_text_is_quoted_where_it_must_be(write: Callable[..., str], study_text: str) -> None:
    """Text that looks like a number, a boolean or a comment stays text."""
    for text in (
        "1e-5",
        "true",
        "null",
        "# no comment",
        "a: b",
        "- a",
        "'",
        '"',
        "\\",
        "\n",
        "\u2028",
        "é",
        "😀",
        " x ",
    ):
        quoted = '"' + "".join(f"\\U{ord(character):08x}" for character in text) + '"'
        study = load_study(write(study_text + f"notes: {quoted}\n"))
        assert study.notes == text
        assert load_study(write(dump_study(study))).notes == text
