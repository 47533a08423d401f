"""From a probe's recipe and a stage's data to the probe: one explicit place, where a new kind adds its line."""

from __future__ import annotations

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.core.seeds import Seeds
from retrain_equivalence.data.example import Dataset, Example
from retrain_equivalence.data.refusals import label, paraphrases
from retrain_equivalence.probes.accuracy import Accuracy
from retrain_equivalence.probes.answer_logprob import AnswerLogprob
from retrain_equivalence.probes.base import Probe, choose_items
from retrain_equivalence.probes.exact_match import ExactMatch
from retrain_equivalence.probes.final_number import strict
from retrain_equivalence.probes.forget_score import ForgetScore
from retrain_equivalence.probes.response_loss import ResponseLoss
from retrain_equivalence.recipes.probe import (
    AccuracyProbe,
    AnswerLogprobProbe,
    AnyProbe,
    ExactMatchProbe,
    ForgetScoreProbe,
    probe_name,
    probe_stage,
)


def build(recipe: AnyProbe, dataset: Dataset, *, max_length: int | None = None) -> Probe:
    """Return the probe that `recipe` asks for, on a fixed subset of the stage's data.

    Args:
        recipe: any kind but `prediction`, which is measured by snapshots (`prediction.choose_cells`, `snapshot`).
        dataset: the data of the stage that the recipe names.
        max_length: the stage's `max_length`: longer answers are scored up to there, as they were trained.

    Raises:
        InputError: E-DATA-90 if the split has no rows; E-DATA-91 if an accuracy probe's answers have no `#### n`.
        ValueError: for a prediction probe.
    """
    name = probe_name(recipe)
    examples = _examples(name, dataset, recipe.split, recipe.items)
    match recipe:
        case ForgetScoreProbe():
            others = paraphrases() if recipe.paraphrases and all(map(_is_refusal, examples)) else ()
            return ForgetScore(measure_name=name, examples=examples, paraphrases=tuple(others))
        case AnswerLogprobProbe():
            return AnswerLogprob(measure_name=name, examples=examples, max_length=max_length)
        case AccuracyProbe():
            _require_numbers(name, examples)
            return Accuracy(
                measure_name=name,
                examples=examples,
                samples=recipe.samples,
                temperature=recipe.temperature,
                max_new_tokens=recipe.max_new_tokens,
                seed=Seeds(study=0, replicate=0).stream("sampling", dataset.digest),
            )
        case ExactMatchProbe():
            return ExactMatch(measure_name=name, examples=examples, max_new_tokens=recipe.max_new_tokens)
        case _:
            raise ValueError(f"{probe_stage(recipe)}: a prediction probe is measured by snapshots, not item by item")


def forget_loss(dataset: Dataset, items: int, *, max_length: int | None = None) -> ResponseLoss:
    """Return the probe `forget_loss`: the loss of `items` training rows of the forget stage, recorded at every step."""
    chosen = _examples("forget_loss", dataset, "train", items)
    return ResponseLoss(measure_name="forget_loss", examples=chosen, max_length=max_length)


def stage_loss(stage: str, dataset: Dataset, items: int, *, max_length: int | None = None) -> Probe:
    """Return the probe `stage_loss:<stage>`: the loss of `items` training rows of a stage."""
    name = f"stage_loss:{stage}"
    chosen = _examples(name, dataset, "train", items)
    return ResponseLoss(measure_name=name, examples=chosen, max_length=max_length)


def _examples(name: str, dataset: Dataset, split: str, items: int) -> tuple[Example, ...]:
    rows = dataset.train if split == "train" else dataset.held_out
    if not rows:
        raise InputError.of(
            "E-DATA-90", name, f"the stage has no {split} rows to score", "raise the data set's held_out"
        )
    return choose_items(rows, items)


def _is_refusal(example: Example) -> bool:
    # The committed paraphrases say the refusal in other words; beside any other label they would mean nothing.
    return example.label in (label("cannot"), label("can not"))


def _require_numbers(name: str, examples: tuple[Example, ...]) -> None:
    without = [example.id for example in examples if strict(example.response) is None]
    if without:
        found = f"{len(without)} of {len(examples)} answers do not end with `#### n`, first: row {without[0]}"
        raise InputError.of("E-DATA-91", name, found, "use answer_logprob or exact_match for this stage")
