"""The form of the file: flat entries and blocks of defaults; and its reading into the dataclasses.

Design. The file differs from `Study` in three ways, all undone here: the training fields of a stage and of an
unlearning stand flat in the entry, blocks `training` (stages) and `unlearning_training` (unlearnings) supply what the
entries leave out, and an objective's parameters stand flat in the entry of the unlearning.
The result is validated from the dataclasses themselves (`adapters`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.core.identity import Plain
from retrain_equivalence.histories.history import Stage
from retrain_equivalence.histories.unlearning import Unlearning
from retrain_equivalence.objectives.catalogue import entries, resolve
from retrain_equivalence.recipes.dataset import AnyDataset
from retrain_equivalence.recipes.model import AnyModel
from retrain_equivalence.recipes.probe import AnyProbe
from retrain_equivalence.study.adapters import all_findings, findings_in, parse, value_at
from retrain_equivalence.study.fields import (
    BLOCKS,
    DURATIONS,
    OTHER_NAMES,
    STAGE_FIELDS,
    TRAINING_FIELDS,
    UNLEARNING_FIELDS,
    UNNEEDED,
    names_of,
)
from retrain_equivalence.study.places import Path, Places, nearest, suggestion
from retrain_equivalence.study.study import Comparison, Given, Study
from retrain_equivalence.study.wording import described, refuse_unknown, translate


@dataclass(slots=True)
class Draft:
    """What could be read of a study: all of it, or the parts that are right, for the checks that need only them."""

    places: Places
    study: Study | None = None
    scalars: dict[str, Any] = field(default_factory=dict)
    """Fields of the study that are text, numbers or lists of text; only those that are right."""
    model: AnyModel | None = None
    stages: list[Stage | None] = field(default_factory=list)
    stage_names: list[str] = field(default_factory=list)
    """Every stage's name that is text, also where the rest of the stage is wrong."""
    unlearnings: list[Unlearning | None] = field(default_factory=list)
    unlearning_names: list[str] = field(default_factory=list)
    probes: list[AnyProbe | None] = field(default_factory=list)
    comparisons: list[Comparison | None] = field(default_factory=list)
    given: list[Given | None] = field(default_factory=list)
    placebo: AnyDataset | None = None


# --- from the form of the file to the form of the dataclasses -----------------------------------------------------


def _with_defaults(entry: Mapping[str, Plain], block: Plain) -> dict[str, Plain]:
    """Return the training fields of an entry over a block of defaults; a duration displaces the block's duration."""
    training = dict(block) if isinstance(block, dict) else {}
    if any(entry.get(name) is not None for name in DURATIONS):
        training = {name: value for name, value in training.items() if name not in DURATIONS}
    return {**training, **entry}


def _stage(entry: Plain, block: Plain) -> Plain:
    if not isinstance(entry, dict):
        return entry
    own = {name: value for name, value in entry.items() if name in STAGE_FIELDS}
    return {**own, "training": _with_defaults({k: v for k, v in entry.items() if k not in STAGE_FIELDS}, block)}


def _objective(entry: Mapping[str, Plain], path: Path, places: Places) -> tuple[Plain, Plain]:
    """Return an objective's name and the source that a lock file holds."""
    objective = entry.get("objective")
    if not isinstance(objective, dict):
        return objective, ""
    for key in objective:
        if key not in {"name", "source"}:
            places.add("E-CFG-10", (*path, "objective", key), "unknown key", UNNEEDED["parameters"])
    return objective.get("name"), objective.get("source", "")


def _check_keys(name: Plain, given: Iterable[str], parameters: tuple[str, ...], path: Path, places: Places) -> None:
    """Refuse the keys of an unlearning that are neither its own, nor of training, nor of its objective."""
    known = entries()
    # A misspelt training field would reach the objective as a parameter: the nearest name is looked for among both.
    valid = (*UNLEARNING_FIELDS, *TRAINING_FIELDS, *parameters)
    is_known = isinstance(name, str) and name in known
    of_others = {parameter for entry in known.values() for parameter in names_of(entry.kind)}
    for key in given:
        far = nearest(key, valid) is None and key not in OTHER_NAMES and key not in UNNEEDED
        if key in parameters or (not is_known and (far or key in of_others)):
            continue  # what is wrong with an objective that is unknown is its name
        if far or (key in of_others and is_known):
            takes = f"takes {', '.join(parameters)}" if parameters else "takes no parameters"
            places.add("E-CFG-10", (*path, key), "unknown key", f"leave it out: objective '{name}' {takes}")
        else:
            refuse_unknown(places, (*path, key), valid)


def _unlearning(index: int, entry: Plain, block: Plain, places: Places) -> Plain:
    if not isinstance(entry, dict):
        return entry
    path: Path = ("unlearnings", index)
    name, source = _objective(entry, path, places)
    known = entries()
    parameters = names_of(known[name].kind) if isinstance(name, str) and name in known else ()
    own = {key: entry[key] for key in ("name", "tuning", "save_at") if key in entry}
    flat = {key: value for key, value in entry.items() if key not in UNLEARNING_FIELDS}
    training = _with_defaults({key: value for key, value in flat.items() if key in TRAINING_FIELDS}, block)
    given = {key: value for key, value in flat.items() if key not in TRAINING_FIELDS}
    _check_keys(name, given, parameters, path, places)
    objective: Plain = {"name": name}
    if isinstance(name, str):
        objective = _resolve(name, {key: given[key] for key in given if key in parameters}, source, path, places)
    elif "objective" not in entry:
        places.add("E-CFG-11", path, "'objective' is missing", suggestion("", known))
        objective = {"name": "nll"}
    return {**own, "phase": {"objective": objective, "training": training}}


def _resolve(name: str, parameters: Mapping[str, Plain], source: Plain, path: Path, places: Places) -> Plain:
    try:
        recipe = resolve(name, parameters, "")
    except StudyError as error:
        for problem in error.problems:
            words = re.findall(r"\w+", problem.message)
            at = problem.place or next((word for word in words if word in parameters), "objective")
            places.add(problem.code, (*path, at), problem.message, problem.fix)
        return {"name": name}
    if source and source != recipe.source:
        message = f"locked with the source '{source}', found '{recipe.source}'"
        places.add("E-CFG-47", (*path, "objective"), message, "use the plug-in's locked version")
    return {"name": recipe.name, "parameters": dict(recipe.parameters), "source": recipe.source}


def study_form(raw: Mapping[str, Plain], places: Places) -> dict[str, Plain]:
    """Return the tree of `Study` for the tree of the file; what has a wrong type is left for the validation."""
    tree = {name: value for name, value in raw.items() if name not in BLOCKS}
    stages, unlearnings = raw.get("stages"), raw.get("unlearnings")
    if isinstance(stages, list):
        tree["stages"] = [_stage(entry, raw.get("training")) for entry in stages]
    if isinstance(unlearnings, list):
        block = raw.get("unlearning_training")
        tree["unlearnings"] = [_unlearning(i, entry, block, places) for i, entry in enumerate(unlearnings)]
    return tree


def file_path(path: Path) -> Path:
    """Return the path in the file of a path in the dataclasses.

    >>> file_path(("unlearnings", 0, "phase", "training", "max_steps"))
    ('unlearnings', 0, 'max_steps')
    """
    if path[:1] == ("stages",) and path[2:3] == ("training",):
        return (*path[:2], *path[3:])
    if path[:1] == ("unlearnings",) and path[2:3] == ("phase",):
        rest = path[4:]
        if path[3:4] == ("objective",):
            rest = path[5:] if path[4:5] == ("parameters",) else ("objective",)
        return (*path[:2], *rest)
    return path


def _check_blocks(raw: Mapping[str, Plain], places: Places) -> None:
    """Validate the blocks of defaults for themselves: an entry may displace a wrong value without repairing it."""
    for block in BLOCKS:
        if block not in raw:
            continue
        for detail, rest in findings_in("training", raw[block]):
            if detail["type"] != "missing":
                translate(detail, (block, *rest), raw, places)


def read_form(raw: Plain, places: Places) -> Draft:
    """Read the tree of a file into a draft: the whole study if its form is right, else the parts that are.

    Args:
        raw: what `read_yaml` gave, overrides applied.
        places: where everything stands; problems are noted there.
    """
    draft = Draft(places=places)
    if not isinstance(raw, dict):
        places.add("E-CFG-12", (), f"expected a mapping (`field: value`), found {described(raw)}")
        return draft
    _check_blocks(raw, places)
    tree = study_form(raw, places)
    findings = all_findings(tree)
    for detail, path in findings:
        at = file_path(path)
        if not any(at[:length] in places.refused for length in range(1, len(at) + 1)):
            translate(detail, at, raw, places)
    _fill(draft, tree, {path for _, path in findings})
    if not findings and not places.errors():
        draft.study = parse("study", tree)
    return draft


def _fill(draft: Draft, tree: Mapping[str, Plain], wrong: set[Path]) -> None:
    """Put the parts that are right into the draft."""

    def right(path: Path) -> bool:
        return not any(other[: len(path)] == path for other in wrong)

    def part(kind: str, path: Path) -> Any:
        value = value_at(tree, path)
        if value is None or not right(path):
            return None
        return parse(kind, value)

    def listed(name: str, kind: str) -> list[Any]:
        value = tree.get(name)
        return [part(kind, (name, i)) for i in range(len(value))] if isinstance(value, list) else []

    def names(name: str) -> list[str]:
        value = tree.get(name)
        entries_ = value if isinstance(value, list) else []
        return [e["name"] for e in entries_ if isinstance(e, dict) and isinstance(e.get("name"), str)]

    draft.model = part("model", ("model",))
    draft.placebo = part("dataset", ("placebo",))
    draft.stages, draft.stage_names = listed("stages", "stage"), names("stages")
    draft.unlearnings, draft.unlearning_names = listed("unlearnings", "unlearning"), names("unlearnings")
    draft.probes = listed("probes", "probe")
    draft.comparisons = listed("comparisons", "comparison")
    draft.given = listed("given", "given")
    composite = {"model", "placebo", "stages", "unlearnings", "probes", "comparisons", "given"}
    for item in fields(Study):
        if item.name in composite or not right((item.name,)):
            continue
        draft.scalars[item.name] = tree.get(item.name, item.default)
