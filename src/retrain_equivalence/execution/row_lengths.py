"""The rows that a plan trains on, as tokens, and what a tokenizer refuses of them: all of it, before the first step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from retrain_equivalence.core.errors import InputError, Problem, visible
from retrain_equivalence.core.identity import Key
from retrain_equivalence.data.example import Dataset
from retrain_equivalence.execution.inputs import PLACEBO, PREFERRED, Inputs, asked_datasets, field_of, preferred_name
from retrain_equivalence.execution.specs import OnLong, StageSpec, UnlearnSpec
from retrain_equivalence.recipes.dataset import AnyDataset, JsonlDataset, TextDataset, kind_of

if TYPE_CHECKING:
    from retrain_equivalence.execution.plan import Plan
    from retrain_equivalence.models.codec import Codec, Encoded

STAGES, UNLEARNINGS = "training.max_length", "unlearning_training.max_length"

_LONGEST_SOURCE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way in which a data set is read by trainings."""

    data: Key
    max_length: int
    on_long: OnLong
    place: str
    """Where the study names the data set, and its source."""
    field: str
    """Which field limits the length."""


def readings(plan: Plan, inputs: Inputs) -> list[Reading]:
    """Return every reading of a plan: what a given checkpoint stands for is trained by nobody and read by nobody."""
    study, keys, asked = plan.study, inputs.dataset_keys(), asked_datasets(plan.study)
    forget = study.forget
    uses = [(stage.name, stage.training.max_length, STAGES) for stage in study.stages]
    if study.placebo is not None:
        uses.append((PLACEBO, forget.training.max_length, STAGES))
    for unlearning in study.unlearnings:
        read = [forget.name, *unlearning.retain_stages, preferred_name(unlearning)]
        uses += [(name, phase.training.max_length, UNLEARNINGS) for phase in unlearning.phases for name in read if name]
    needed: set[tuple[Key, int, OnLong]] = set()
    for planned in plan.planned.values():
        match planned.spec:
            case StageSpec() as spec:
                needed.add((spec.data, spec.training.max_length, spec.on_long))
            case UnlearnSpec() as spec:
                needed.update((rows.data, max_length, rows.on_long) for rows, max_length in spec.reads())
    found = [
        Reading(
            data=keys[name],
            max_length=max_length,
            # Preferred answers that are too long are treated as their forget rows are.
            on_long=asked[forget.name if name.startswith(PREFERRED) else name].on_long,
            place=f"{field_of(name).removesuffix('.dataset')} {source_words(asked[name]) if name in asked else 'idk'}",
            field=limit,
        )
        for name, max_length, limit in uses
    ]
    return [r for r in dict.fromkeys(found) if (r.data, r.max_length, r.on_long) in needed]


def source_words(recipe: AnyDataset) -> str:
    """Return where rows come from, as the study says it: a file's path, or kind and name."""
    kind = kind_of(recipe)
    which = str(getattr(recipe, kind))
    is_file = isinstance(recipe, JsonlDataset | TextDataset)
    return visible(which if is_file else f"{kind} {which}", limit=_LONGEST_SOURCE)


def encode_readings(
    found: Iterable[Reading], datasets: Mapping[Key, Dataset], codec: Codec
) -> dict[Reading, list[Encoded]]:
    """Return the rows of each reading as tokens; dropped rows are absent.

    Raises:
        InputError: E-DATA-17 to 19, one problem for each row that is refused, whatever reads it.
    """
    encoded: dict[Reading, list[Encoded]] = {}
    refused: dict[tuple[str, str], tuple[Problem, list[str]]] = {}
    for reading in found:
        kept = encoded[reading] = []
        for row in datasets[reading.data].train:
            try:
                tokens = codec.encode(
                    row.prompt, row.response, id=row.id, max_length=reading.max_length, on_long=reading.on_long
                )
            except InputError as error:
                problem = error.problems[0]
                _, fields = refused.setdefault((reading.place, row.id), (problem, []))
                fields += [] if reading.field in fields else [reading.field]
            else:
                kept += [] if tokens is None else [tokens]
    if refused:
        raise InputError(
            *(
                replace(problem, place=f"{place} {problem.place}", fix=_fix(problem, fields, place))
                for (place, _), (problem, fields) in refused.items()
            )
        )
    return encoded


def _fix(problem: Problem, fields: list[str], place: str) -> str:
    """Name the study's own fields: the codec knows of `max_length` only."""
    if problem.code == "E-DATA-19":
        return problem.fix
    how = "truncate or drop" if problem.code == "E-DATA-17" else "drop"
    # Preferred answers are cut and dropped as their forget rows are.
    which = "the forget stage's data set" if place.startswith("unlearnings.") else "this data set"
    return f"raise {' and '.join(fields)}, or set on_long: {how} for {which}"


def check_rows(plan: Plan, inputs: Inputs, study_dir: Path) -> None:
    """Refuse rows before the run where the tokenizer is at hand without torch.

    Raises:
        InputError: as `encode_readings`.
    """
    from retrain_equivalence.models.bare_tokenizer import codec_before_run

    if (codec := codec_before_run(plan.study.model, study_dir)) is not None:
        encode_readings(readings(plan, inputs), inputs.by_key(), codec)
