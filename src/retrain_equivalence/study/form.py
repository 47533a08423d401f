"""The form of the file: flat entries and blocks of defaults; and its reading into the dataclasses.

Design. The file differs from `Study` in three ways, all undone here: the training fields of a stage and of an
unlearning stand flat in the entry, blocks `training` (stages) and `unlearning_training` (unlearnings) supply what the
entries leave out, and an objective's parameters stand flat in the entry of the unlearning. An unlearning of one phase
is that entry itself; one of several steps lists them under `procedure`, each phase as flat as an entry.
The result is validated from the dataclasses themselves (`adapters`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from retrain_equivalence.core.errors import Problem, StudyError
from retrain_equivalence.core.identity import Plain
from retrain_equivalence.histories.history import Stage
from retrain_equivalence.histories.unlearning import Unlearning
from retrain_equivalence.objectives.catalogue import SUM, answers_of, entries, passes_of, resolve, resolve_sum
from retrain_equivalence.recipes.dataset import AnyDataset
from retrain_equivalence.recipes.model import AnyModel
from retrain_equivalence.recipes.objective import Term
from retrain_equivalence.recipes.probe import AnyProbe
from retrain_equivalence.study.adapters import all_findings, findings_in, parse, value_at
from retrain_equivalence.study.fields import (
    BLOCKS,
    DURATIONS,
    OTHER_NAMES,
    STAGE_FIELDS,
    STEP_KINDS,
    TRAINING_FIELDS,
    UNLEARNING_FIELDS,
    UNNEEDED,
    names_of,
)
from retrain_equivalence.study.places import Path, Places, nearest, suggestion
from retrain_equivalence.study.study import Comparison, Given, Study
from retrain_equivalence.study.wording import described, refuse_unknown, translate

OF_ENTRY = tuple(name for name in (*UNLEARNING_FIELDS, *TRAINING_FIELDS) if name != "objective")
"""Keys that belong to an unlearning and its training, and so can be no objective's."""


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


def _check_keys(
    name: Plain, given: Iterable[str], parameters: tuple[str, ...], fields_: tuple[str, ...], path: Path, places: Places
) -> None:
    """Refuse the keys of an objective's mapping that are neither its own, nor of training, nor of its objective.

    Args:
        name: of the objective.
        given: the keys.
        parameters: those of the objective.
        fields_: the other keys that may stand here.
        path: of the mapping.
        places: where problems are noted.
    """
    known = entries()
    # A misspelt training field would reach the objective as a parameter: the nearest name is looked for among both.
    valid = (*fields_, *parameters)
    is_known = isinstance(name, str) and name in known
    of_others = {parameter for entry in known.values() for parameter in names_of(entry.kind)}
    for key in given:
        if key in OF_ENTRY and key not in valid:
            places.add("E-CFG-10", (*path, key), "unknown key", "write it into the entry of the unlearning")
            continue
        far = nearest(key, valid) is None and OTHER_NAMES.get(key) not in valid and key not in UNNEEDED
        if key in parameters or (not is_known and (far or key in of_others)):
            continue  # what is wrong with an objective that is unknown is its name
        if far or (key in of_others and is_known):
            takes = f"takes {', '.join(parameters)}" if parameters else "takes no parameters"
            places.add("E-CFG-10", (*path, key), "unknown key", f"leave it out: objective '{name}' {takes}")
        else:
            refuse_unknown(places, (*path, key), valid)


def _objective(entry: Mapping[str, Plain], fields_: tuple[str, ...], path: Path, places: Places) -> Plain:
    """Return the recipe of the objective that a mapping names, whose parameters stand beside it.

    Args:
        entry: has the key `objective`, its parameters, and keys among `fields_`.
        fields_: keys that are not the objective's.
        path: of the mapping.
        places: where problems are noted.
    """
    objective: Plain = entry.get("objective")
    source = ""
    given = {key: value for key, value in entry.items() if key not in fields_}
    if isinstance(given.get("retain"), list):
        fix = "the stages that retain rows come from stand under retain_stages"
        places.add("E-CFG-42", (*path, "retain"), f"expected text, found {described(given.pop('retain'))}", fix)
    if isinstance(objective, dict) and SUM in objective:
        for key in (key for key in objective if key != SUM):
            places.add("E-CFG-10", (*path, "objective", key), "unknown key", f"write it into a term of {SUM}")
        for key in given:
            refuse_unknown(places, (*path, key), fields_)
        return _sum(objective[SUM], (*path, "objective", SUM), places)
    if isinstance(objective, dict):
        for key in objective:
            if key not in {"name", "source"}:
                places.add("E-CFG-10", (*path, "objective", key), "unknown key", UNNEEDED["parameters"])
        objective, source = objective.get("name"), str(objective.get("source", ""))
    known = entries()
    parameters = names_of(known[objective].kind) if isinstance(objective, str) and objective in known else ()
    _check_keys(objective, given, parameters, fields_, path, places)
    if taken := [parameter for parameter in parameters if parameter in (*OF_ENTRY, *fields_)]:
        # The value in the file would go to the field of that name, and the parameter would keep its default unseen.
        message = f"parameter '{taken[0]}' of '{objective}' has the name of a field of the study"
        places.add("E-CFG-45", (*path, "objective"), message, "rename it in the plug-in")
    if objective == SUM:
        places.add("E-CFG-14", (*path, "objective"), f"'{SUM}' is no objective by itself", UNNEEDED[SUM])
        return {"name": "nll"}
    if isinstance(objective, str):
        own = {key: given[key] for key in given if key in parameters}
        return _resolve(objective, own, source, path, places)
    if "objective" not in entry:
        if not any(kind in entry for kind in STEP_KINDS):
            places.add("E-CFG-11", path, "'objective' is missing", suggestion("", known))
        return {"name": "nll"}
    return {"name": objective}


def _sum(terms: Plain, path: Path, places: Places) -> Plain:
    """Return the recipe of a weighted sum; each term is a mapping with an objective, its parameters and a weight."""
    if not isinstance(terms, list):
        places.add("E-CFG-12", path, f"expected a list, found {described(terms)}", "[{objective: …, weight: 1}, …]")
        return {"name": SUM}
    found: list[Plain] = []
    for number, term in enumerate(terms):
        at = (*path, number)
        if not isinstance(term, dict):
            fix = "{objective: …, weight: 1}"
            places.add("E-CFG-12", at, f"expected a mapping (`field: value`), found {described(term)}", fix)
            continue
        weight = term.get("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            places.add("E-CFG-12", (*at, "weight"), f"expected a number, found {described(weight)}", "for example 1.0")
            weight = 1.0
        found.append({"objective": _objective(term, ("objective", "weight"), at, places), "weight": float(weight)})
    for problem in _problems_of_sum(found) if found or not terms else ():
        at_term = problem.place.lstrip(".")
        places.add(problem.code, (*path, int(at_term)) if at_term else path, problem.message, problem.fix)
    return {"name": SUM, "terms": found}


def _problems_of_sum(terms: list[Plain]) -> tuple[Problem, ...]:
    try:
        parsed: list[Term] = [parse("term", term) for term in terms]
        resolve_sum(parsed, "")
    except StudyError as error:
        return error.problems
    except ValueError:  # a term is wrong in itself, and was reported
        return ()
    return tuple(problem for number, term in enumerate(parsed) for problem in _problems_of_weight(number, term))


def _problems_of_weight(number: int, term: Term) -> list[Problem]:
    """Return what speaks against the weight of a term: a composition with a weight that learns takes no further one."""
    try:
        passes_of(resolve_sum((term,), ""))
    except StudyError as error:  # any other code is of the term in itself, and was reported
        return [replace(problem, place=f".{number}") for problem in error.problems if problem.code == "E-CFG-43"]
    except (TypeError, ValueError):  # a parameter of the term is missing or wrong, and was reported
        return []
    return []


def _phase(entry: Mapping[str, Plain], outside: tuple[str, ...], block: Plain, path: Path, places: Places) -> Plain:
    """Return a phase from a mapping in which training fields, objective and its parameters stand side by side."""
    flat = {key: value for key, value in entry.items() if key not in outside}
    training = _with_defaults({key: value for key, value in flat.items() if key in TRAINING_FIELDS}, block)
    return {"objective": _objective(flat, ("objective", *TRAINING_FIELDS), path, places), "training": training}


def _procedure(entry: Mapping[str, Plain], block: Plain, path: Path, places: Places) -> Plain:
    """Return the steps of an entry with a procedure; its own training fields are defaults of the phases."""
    steps, at = entry["procedure"], (*path, "procedure")
    if "objective" in entry:
        message = "an unlearning has an objective or a procedure, found both"
        places.add("E-CFG-61", (*path, "objective"), message, "write the objective into a step of the procedure")
    if not isinstance(steps, list):
        return steps
    # A step that is misspelt may be meant as a phase: only that is reported, not the training fields beside it.
    kinds = [{kind for kind in STEP_KINDS if kind in step} if isinstance(step, dict) else set() for step in steps]
    no_phase = bool(kinds) and all(kind and "objective" not in kind for kind in kinds)
    allowed = (*UNLEARNING_FIELDS, *(() if no_phase else TRAINING_FIELDS))
    for key in entry:
        if key in TRAINING_FIELDS and no_phase:
            places.add("E-CFG-10", (*path, key), "unknown key", "leave it out: this procedure takes no gradient steps")
        elif key not in allowed:
            refuse_unknown(places, (*path, key), allowed)
    defaults = _with_defaults({key: entry[key] for key in entry if key in TRAINING_FIELDS}, block)
    found: list[Plain] = []
    for number, whole in enumerate(steps):
        step = _one_kind(whole, (*at, number), places)
        if isinstance(step, dict) and "objective" in step:
            found.append(_phase(step, (), defaults, (*at, number), places))
        else:
            found.append(step)
    return found


def _one_kind(step: Plain, path: Path, places: Places) -> Plain:
    """Return a step with one of the keys that say what it is; note a second one, and a replay that is none."""
    if not isinstance(step, dict):
        return step
    first, *others = [kind for kind in STEP_KINDS if kind in step] or [""]
    for other in others:
        message = f"'{first}' and '{other}' both say what it is"
        places.add("E-CFG-14", (*path, other), message, "keep exactly one of the two")
    kept: dict[str, Plain] = {key: value for key, value in step.items() if key not in others}
    replay = kept.get("replay", 1)
    if replay != "since_forget" and (isinstance(replay, bool) or not isinstance(replay, int)):
        message = f"expected a number of stages or since_forget, found {described(replay)}"
        places.add("E-CFG-61", (*path, "replay"), message, "since_forget goes back to before the forget stage")
        kept["replay"] = "since_forget"
    return kept


def _unlearning(index: int, entry: Plain, block: Plain, places: Places) -> Plain:
    if not isinstance(entry, dict):
        return entry
    path: Path = ("unlearnings", index)
    outside = tuple(key for key in UNLEARNING_FIELDS if key != "objective")
    own = {key: entry[key] for key in outside if key in entry and key != "procedure"}
    if "procedure" in entry:
        procedure = _procedure(entry, block, path, places)
    else:
        procedure = [_phase(entry, outside, block, path, places)]
    if own.get("preferred") is None and "idk" in _own_answers(procedure):
        own["preferred"] = "idk"
    return {**own, "procedure": procedure}


def _own_answers(procedure: Plain) -> set[str]:
    """Return the preferred answers that the objectives of a procedure bring along."""
    found: set[str] = set()
    for step in procedure if isinstance(procedure, list) else []:
        if isinstance(step, dict) and isinstance(step.get("objective"), dict):
            try:
                found.add(answers_of(parse("objective", step["objective"])))
            except (ValueError, StudyError):  # wrong in itself, and reported
                continue
    return found


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


def file_path(path: Path, places: Places) -> Path:
    """Return the path in the file of a path in the dataclasses.

    Args:
        path: in the tree of `Study`.
        places: of the file: an entry with a `procedure` has its steps there, another one is a phase itself.
    """
    if path[:1] == ("stages",) and path[2:3] == ("training",):
        return (*path[:2], *path[3:])
    if path[:1] == ("unlearnings",) and path[2:3] == ("procedure",) and len(path) > 3:
        start = path[:4] if has_procedure(places, int(path[1])) else path[:2]
        rest = path[4:]
        if rest[:1] == ("training",):
            rest = rest[1:]
        elif rest[:1] == ("objective",):
            rest = rest[2:] if rest[1:2] == ("parameters",) else ("objective",)
        return (*start, *rest)
    return path


def has_procedure(places: Places, index: int) -> bool:
    """Whether an unlearning of the file is written as a procedure."""
    return ("unlearnings", index, "procedure") in places.positions


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
        at = file_path(path, places)
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
