"""Validation by pydantic, from the dataclasses themselves: there is no second set of models.

Where a field takes one of several kinds (data sets, models, probes), pydantic is told by the key that names the kind
which one is meant, so that a wrong field is one message and not one for each kind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from retrain_equivalence.core.identity import Plain
from retrain_equivalence.histories.history import Stage
from retrain_equivalence.histories.unlearning import Unlearning
from retrain_equivalence.recipes.model import LoraTuning
from retrain_equivalence.recipes.objective import ObjectiveRecipe, Term
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.study.fields import KINDS
from retrain_equivalence.study.places import Path
from retrain_equivalence.study.study import Comparison, Given, Study

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails


def kind_by_key(kinds: Mapping[str, type]) -> Callable[[object], str | None]:
    def discriminate(value: object) -> str | None:
        if isinstance(value, Mapping):
            return next((name for name in kinds if name in value), None)
        return next((name for name, kind in kinds.items() if type(value) is kind), None)

    return discriminate


def _config() -> Any:
    from pydantic import ConfigDict

    # The dataclasses stay free of pydantic: what is said here holds for every dataclass inside.
    return ConfigDict(extra="forbid", use_attribute_docstrings=True)


def _one_of(members: Mapping[str, Any], discriminate: Callable[[object], str | None]) -> Any:
    """Return the type of a field that takes one of `members`, told apart by `discriminate`."""
    from pydantic import Discriminator, Tag

    tagged = tuple(Annotated[kind, Tag(name)] for name, kind in members.items())
    union: Any = Union.__getitem__(tagged)
    return Annotated[union, Discriminator(discriminate)]


def _by_mapping(value: object) -> str:
    return "lora" if isinstance(value, Mapping | LoraTuning) else "full"


def _by_kind_or_name(value: object) -> str | None:
    return kind_by_key(KINDS["preferred"])(value) if isinstance(value, Mapping) else "idk"


def _by_list(value: object) -> str:
    return "list" if isinstance(value, list | tuple) else "name"


def _several(item: Any) -> Any:
    return tuple.__class_getitem__((item, ...))


@cache
def adapter(part: str) -> TypeAdapter[Any]:
    """Return the validator of one part of a study: `study`, `stage`, `dataset`, `model`, `probe`, ..."""
    from pydantic import TypeAdapter

    if part in WRAPPED:
        # Configuration reaches a dataclass only from a container around it.
        kind: Any = tuple.__class_getitem__((WRAPPED[part],))
    elif part == "tuning":
        kind = _one_of({"full": Literal["full"], "lora": LoraTuning}, _by_mapping)
    elif part == "preferred":
        kind = _one_of({"idk": Literal["idk"], **KINDS["preferred"]}, _by_kind_or_name)
    elif part == "histories":
        order = _one_of({"name": str, "list": tuple[str, ...]}, _by_list)
        kind = _one_of({"name": str, "list": _several(order)}, _by_list)
    else:
        kinds = KINDS["data set" if part == "dataset" else part]
        kind = _one_of(kinds, kind_by_key(kinds))
    return TypeAdapter(kind, config=_config())


WRAPPED: dict[str, type] = {
    "study": Study,
    "stage": Stage,
    "unlearning": Unlearning,
    "training": TrainingRecipe,
    "comparison": Comparison,
    "given": Given,
    "objective": ObjectiveRecipe,
    "term": Term,
}
"""The parts that are one dataclass."""


def parse(part: str, value: Plain) -> Any:
    """Return the frozen value of one part. Raises `pydantic.ValidationError` if its form is wrong."""
    # By way of JSON, because there strict means: lists may be tuples, mappings dataclasses, but text is never a number.
    text = json.dumps([value] if part in WRAPPED else value)
    parsed = adapter(part).validate_json(text, strict=True)
    return parsed[0] if part in WRAPPED else parsed


_UNIONS: tuple[tuple[tuple[str | type[int], ...], str], ...] = (
    (("model", "tuning"), "tuning"),
    (("model",), "model"),
    (("placebo",), "dataset"),
    (("histories",), "histories"),
    (("stages", int, "dataset"), "dataset"),
    (("unlearnings", int, "tuning"), "tuning"),
    (("unlearnings", int, "preferred"), "preferred"),
    (("unlearnings", int, "procedure", int), "step"),
    (("probes", int), "probe"),
)
"""Where a field takes one of several kinds; inner places first."""

Finding = tuple["ErrorDetails", Path]


def findings_in(part: str, value: Plain) -> Iterable[Finding]:
    """Validate one part; yield pydantic's errors with their paths relative to the part."""
    from pydantic import ValidationError

    try:
        parse(part, value)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False):
            yield detail, detail["loc"][1:] if part in WRAPPED else _untagged(part, detail["loc"])


def _untagged(kind: str, location: Path) -> Path:
    """Drop the names of kinds that pydantic inserts into a location."""
    if kind != "histories":
        return location[1:]
    return tuple(part for part in location if isinstance(part, int))


def union_at(path: Path) -> tuple[int, str] | None:
    for pattern, kind in _UNIONS:
        if len(path) >= len(pattern) and all(
            isinstance(part, int) if wanted is int else part == wanted
            for part, wanted in zip(path, pattern, strict=False)
        ):
            return len(pattern), kind
    return None


def value_at(tree: Plain, path: Path) -> Plain:
    for part in path:
        if isinstance(tree, dict):
            tree = tree.get(part)
        elif isinstance(tree, list) and isinstance(part, int):
            tree = tree[part]
        else:
            return None
    return tree


def all_findings(tree: Plain) -> list[Finding]:
    """Return every error of the whole tree, at its path, each kind of union asked by its own key."""
    found: list[Finding] = []
    asked: set[Path] = set()

    def ask(findings: Iterable[Finding], start: Path, inside: str) -> None:
        for detail, rest in findings:
            path = (*start, *rest)
            union = union_at(path)
            missing = detail["type"] == "missing"
            if union is None or union[1] == inside or (missing and len(path) == union[0]):
                found.append((detail, path))
                continue
            place = path[: union[0]]
            if place not in asked:
                asked.add(place)
                ask(findings_in(union[1], value_at(tree, place)), place, union[1])

    ask(findings_in("study", tree), (), "study")
    return found


def schema_of(part: str) -> dict[str, Any]:
    """Return pydantic's JSON schema of one part, with the fields' docstrings as descriptions."""
    return adapter(part).json_schema()
