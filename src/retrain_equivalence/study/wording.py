"""Pydantic's findings in our words: one line with the place, the field, what was found and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from retrain_equivalence.core.errors import visible
from retrain_equivalence.core.identity import Plain
from retrain_equivalence.recipes.dataset import DATASET_KINDS
from retrain_equivalence.recipes.model import Lora, LoraTuning, Pretraining
from retrain_equivalence.study.adapters import kind_by_key, union_at, value_at
from retrain_equivalence.study.fields import (
    KINDS,
    OTHER_NAMES,
    STAGE_FIELDS,
    STUDY_FIELDS,
    TRAINING_FIELDS,
    UNLEARNING_FIELDS,
    UNNEEDED,
    names_of,
)
from retrain_equivalence.study.places import Path, Places, nearest, suggestion
from retrain_equivalence.study.study import Comparison, Given, Margin

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dataclass_type": "a mapping (`field: value`)",
    "mapping_type": "a mapping (`field: value`)",
    "dict_type": "a mapping (`field: value`)",
    "none_required": "null",
}


def described(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text '{visible(value, limit=40)}'"
    return "a list" if isinstance(value, list) else "a mapping"


def _hint(value: object, expected: str) -> str:
    """Return the fix for a value of the wrong type."""
    if expected in {"a number", "a whole number"} and isinstance(value, str):
        if value.rstrip().endswith("%"):
            return "write a share of 1, for example 0.1 for 10 %"
        if re.fullmatch(r"0\d+", value):
            return f"write {value.lstrip('0') or '0'}, without leading zeros"
        if re.fullmatch(r"\d[\d_]*_\d+", value):
            return f"write {value.replace('_', '')}"
        try:
            float(value)
        except ValueError:
            return f"write {expected} without a unit"
        return "remove the quotes"
    if expected == "a whole number" and isinstance(value, float):
        return f"write {value:.0f}" if value == int(value) else ""
    if expected == "true or false":
        return "write true or false"
    if expected == "text" and value is not None:
        return "put it in quotes"
    if expected == "a list" and value is not None:
        return "write [ … ]"
    return ""


def refuse_unknown(places: Places, path: Path, valid: Iterable[str]) -> None:
    name = str(path[-1])
    known = tuple(valid)
    if name in UNNEEDED:
        fix = UNNEEDED[name]
    elif OTHER_NAMES.get(name) in known:
        fix = f"did you mean '{OTHER_NAMES[name]}'?"
    else:
        fix = suggestion(name, known)
    places.add("E-CFG-10", path, "unknown key", fix)


def _valid_names(path: Path, raw: Plain) -> tuple[str, ...]:
    """Return the keys that may stand in the mapping at `path` of the file."""
    patterns: tuple[tuple[tuple[str | type[int], ...], tuple[str, ...]], ...] = (
        ((), STUDY_FIELDS),
        (("training",), TRAINING_FIELDS),
        (("unlearning_training",), TRAINING_FIELDS),
        (("stages", int), (*STAGE_FIELDS, *TRAINING_FIELDS)),
        (("unlearnings", int), (*UNLEARNING_FIELDS, *TRAINING_FIELDS)),
        (("unlearnings", int, "tuning"), names_of(LoraTuning)),
        (("unlearnings", int, "tuning", "lora"), names_of(Lora)),
        (("comparisons", int), names_of(Comparison)),
        (("comparisons", int, "margin"), names_of(Margin)),
        (("given", int), names_of(Given)),
        (("model", "tuning"), names_of(LoraTuning)),
        (("model", "tuning", "lora"), names_of(Lora)),
        (("model", "pretraining"), names_of(Pretraining)),
        (("model", "pretraining", "training"), TRAINING_FIELDS),
        (("model", "pretraining", "dataset"), names_of(DATASET_KINDS["text"])),
    )
    for pattern, valid in patterns:
        if len(pattern) == len(path) and all(
            isinstance(part, int) if wanted is int else part == wanted
            for part, wanted in zip(path, pattern, strict=True)
        ):
            return valid
    union = union_at(path)
    if union is not None and union[0] == len(path):
        kinds = KINDS["data set" if union[1] == "dataset" else union[1]]
        name = kind_by_key(kinds)(value_at(raw, path))
        return names_of(kinds[name]) if name else tuple(kinds)
    return ()


def translate(detail: ErrorDetails, path: Path, raw: Plain, places: Places) -> None:
    """Note one of pydantic's errors in our words."""
    kind, value = detail["type"], detail["input"]
    if kind in {"unexpected_keyword_argument", "extra_forbidden"}:
        valid = _valid_names(path[:-1], raw)
        union = union_at(path[:-1])
        if union is not None and union[0] == len(path) - 1:
            kinds = KINDS.get("data set" if union[1] == "dataset" else union[1], {})
            if path[-1] in kinds:
                chosen = kind_by_key(kinds)(value_at(raw, path[:-1]))
                message = f"'{chosen}' and '{path[-1]}' both say what it is"
                places.add("E-CFG-14", path, message, "keep exactly one of the two")
                return
        refuse_unknown(places, path, valid)
    elif kind == "missing":
        block: Path = ({"stages": "training", "unlearnings": "unlearning_training"}.get(str(path[0]), ""),)
        block_is_wrong = not isinstance(value_at(raw, block), dict | None)
        misspelt = [*_unknown_names(raw, path[:-1]), *_unknown_names(raw, block)]
        if not block_is_wrong and nearest(str(path[-1]), misspelt) is None:
            places.add("E-CFG-11", path[:-1], f"'{path[-1]}' is missing", f"add {path[-1]}: …")
    elif kind in {"union_tag_not_found", "union_tag_invalid"}:
        union = union_at(path)
        what = {"dataset": "data set", "preferred": "data set"}.get(union[1], union[1]) if union else ""
        kinds = KINDS[what]
        if isinstance(value, dict):
            near = next((found for key in value if (found := nearest(key, kinds))), None)
            fix = f"did you mean '{near}'?" if near else ""
            message = f"no key says which {what} it is; exactly one of {', '.join(kinds)} is expected"
            places.add("E-CFG-14", path, message, fix)
        else:
            first = next(iter(kinds))
            message = f"expected a mapping such as {{{first}: …}}, found {described(value)}"
            places.add("E-CFG-12", path, message, f"one of {', '.join(kinds)} as its key")
    elif kind in {"literal_error", "enum"}:
        choices = _choices(detail["msg"])
        if path[-1] == "preferred" and not (isinstance(value, str) and nearest(value, choices)):
            message = f"expected idk or a data set, found {described(value)}"
            places.add("E-CFG-12", path, message, "idk, or for example {jsonl: answers.jsonl}")
            return
        shown = suggestion(value, choices, "one of") if isinstance(value, str) else f"one of: {', '.join(choices)}"
        places.add("E-CFG-13", path, f"{described(value)} is not one of {', '.join(choices)}", shown)
    else:
        expected = _EXPECTED.get(kind)
        if expected is None:
            places.add("E-CFG-12", path, f"{detail['msg']}, found {described(value)}")
            return
        places.add("E-CFG-12", path, f"expected {expected}, found {described(value)}", _hint(value, expected))


def _choices(message: str) -> list[str]:
    return re.findall(r"'([^']*)'", message)


def _unknown_names(raw: Plain, path: Path) -> list[str]:
    """Return the unknown keys at `path`: if one of them is a misspelt field, that field is not reported as missing."""
    value = value_at(raw, path)
    valid = _valid_names(path, raw)
    return [name for name in value if name not in valid] if isinstance(value, dict) else []
