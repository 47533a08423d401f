"""The JSON schema (draft 2020-12) of a study file, for editors: names, types, choices and descriptions.

Made from the dataclasses and their docstrings, then brought into the form of the file. What holds between parts (an
order is a permutation, a margin is one of two) is left to `validate`.
"""

from __future__ import annotations

from typing import Any

from retrain_equivalence.objectives.catalogue import OBJECTIVES, SUM
from retrain_equivalence.study.adapters import schema_of
from retrain_equivalence.study.fields import BLOCKS, STAGE_FIELDS, UNLEARNING_FIELDS, names_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def _flat(definitions: dict[str, Schema], own: Schema, names: tuple[str, ...], more: Schema) -> Schema:
    """Return an entry whose training fields, and `more`, stand beside its own fields."""
    fields = {name: value for name, value in own["properties"].items() if name in names}
    training = definitions["TrainingRecipe"]["properties"]
    return {
        **own,
        "properties": {**fields, **training, **more},
        "required": [name for name in own["required"] if name in fields],
        "additionalProperties": False,
    }


def _objectives() -> Schema:
    locked = {
        "type": "object",
        "description": "A plug-in's objective, locked to the source it was loaded from.",
        "properties": {"name": {"type": "string"}, "source": {"type": "string"}},
        "required": ["name", "source"],
        "additionalProperties": False,
    }
    named = {"anyOf": [{"enum": sorted(OBJECTIVES)}, {"type": "string"}, locked]}
    term = {
        "type": "object",
        "description": "One summand: an objective, its parameters, and its weight.",
        "properties": {"objective": named, "weight": {"type": "number", "exclusiveMinimum": 0}, **_parameters()},
        "required": ["objective"],
        "additionalProperties": {"type": ["number", "string", "boolean"]},
    }
    added = {
        "type": "object",
        "description": "Several objectives, added up with weights.",
        "properties": {SUM: {"type": "array", "items": term, "minItems": 1}},
        "required": [SUM],
        "additionalProperties": False,
    }
    return {
        "description": "What is minimised; its parameters stand beside it. A plug-in's name is valid too.",
        "anyOf": [*named["anyOf"], added],
    }


def _parameters() -> Schema:
    found: dict[str, list[str]] = {}
    for name, kind in OBJECTIVES.items():
        for parameter in names_of(kind):
            found.setdefault(parameter, []).append(name)
    return {
        parameter: {"type": ["number", "string", "boolean"], "description": f"Parameter of {', '.join(names)}."}
        for parameter, names in sorted(found.items())
    }


def schema() -> Schema:
    """Return the JSON schema of a study file. One part of a study that is split over files lacks required keys."""
    whole = schema_of("study")
    definitions: dict[str, Schema] = whole["$defs"]
    study = definitions.pop("Study")
    definitions["Stage"] = _flat(definitions, definitions["Stage"], STAGE_FIELDS, {})
    unlearning = definitions["Unlearning"]
    unlearning["required"].remove("procedure")  # an entry of one phase is that phase
    unlearning["properties"]["objective"] = _objectives()
    # An objective of the user's own has parameters that are not known here, so further keys are left to `validate`.
    others: Schema = {"type": ["number", "string", "boolean"]}
    entry = _flat(definitions, unlearning, UNLEARNING_FIELDS, _parameters())
    either = [{"required": [name]} for name in ("objective", "procedure")]
    definitions["Unlearning"] = {**entry, "additionalProperties": others, "oneOf": either}
    phase = {**definitions["Phase"], "required": ["objective"]}
    phase["properties"] = {**phase["properties"], "objective": _objectives()}
    phase = _flat(definitions, phase, ("objective",), _parameters())
    definitions["Phase"] = {**phase, "additionalProperties": others}
    for name in ("Term", "ObjectiveRecipe"):
        definitions.pop(name, None)
    defaults = {**definitions["TrainingRecipe"], "required": []}
    for block, what in zip(BLOCKS, ("stage", "unlearning"), strict=True):
        study["properties"][block] = {
            **defaults,
            "description": f"Defaults of every {what}; an entry may say otherwise.",
        }
    return {"$schema": DIALECT, **study, "title": "Study", "$defs": definitions}
