"""The list of objectives: the package's own by name, a user's own from a file or an installed package.

Design. The package's list is an explicit dict, so a reader sees at once what there is. A user's objective comes from

* `--plugin FILE`: a Python file with a module-level list `OBJECTIVES = [MyLoss, ...]`; locked as `name@sha256` of the
  file's bytes, so an edited file is another loss;
* an installed package's entry point in the group `retrain_equivalence.objectives`, whose name is the objective's;
  locked as `distribution==version@sha256` of the module's file.

A recipe that names a locked source is refused where another source is loaded. Importing this module loads no torch; a
plug-in may import torch itself.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.abc
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, get_type_hints

from retrain_equivalence.core.errors import Problem, StudyError
from retrain_equivalence.objectives.base import Objective, Per
from retrain_equivalence.objectives.ce_u import CEU
from retrain_equivalence.objectives.distill import Distill
from retrain_equivalence.objectives.dpo import DPO
from retrain_equivalence.objectives.dpo_as_in_tofu import DPOAsInTOFU
from retrain_equivalence.objectives.flat_logits import FlatLogits
from retrain_equivalence.objectives.ga import GradientAscent
from retrain_equivalence.objectives.graddiff import GradDiff
from retrain_equivalence.objectives.idk import IDK
from retrain_equivalence.objectives.idk_dpo import IdkDPO
from retrain_equivalence.objectives.nll import NLL
from retrain_equivalence.objectives.npo import NPO
from retrain_equivalence.objectives.npo_as_in_muse import NPOAsInMUSE
from retrain_equivalence.objectives.npo_per_token import NPOPerToken
from retrain_equivalence.objectives.npo_retain import NPORetain
from retrain_equivalence.objectives.pdu import PDU
from retrain_equivalence.objectives.retain_hidden import RetainHidden
from retrain_equivalence.objectives.retain_kl import RetainKL
from retrain_equivalence.objectives.retain_nll import RetainNLL
from retrain_equivalence.objectives.rmu import RMU
from retrain_equivalence.objectives.rmu_forget import RMUForget
from retrain_equivalence.objectives.satimp import SatImp
from retrain_equivalence.objectives.simnpo import SimNPO
from retrain_equivalence.objectives.simnpo_as_in_muse import SimNPOAsInMUSE
from retrain_equivalence.objectives.simnpo_as_in_open_unlearning import SimNPOAsInOpenUnlearning
from retrain_equivalence.objectives.simnpo_retain import SimNPORetain
from retrain_equivalence.objectives.simnpo_sequence import SimNPOSequence
from retrain_equivalence.objectives.undial import UNDIAL
from retrain_equivalence.objectives.uniform import Uniform
from retrain_equivalence.objectives.weighted_sum import Composition, Part, WeightedSum
from retrain_equivalence.objectives.wga import WGA
from retrain_equivalence.recipes.objective import ObjectiveRecipe, Term
from retrain_equivalence.recipes.passes import ForwardPass, Needs

ENTRY_POINT_GROUP = "retrain_equivalence.objectives"

SUM = "weighted_sum"
"""The name under which a study adds objectives up; it has terms and no parameters."""

Kind = type[Objective] | type[Composition]

OBJECTIVES: dict[str, Kind] = {
    "nll": NLL,
    "ga": GradientAscent,
    "npo": NPO,
    "simnpo": SimNPO,
    "simnpo_sequence": SimNPOSequence,
    "wga": WGA,
    "satimp": SatImp,
    "ce_u": CEU,
    "flat_logits": FlatLogits,
    "uniform": Uniform,
    "undial": UNDIAL,
    "distill": Distill,
    "idk": IDK,
    "idk_dpo": IdkDPO,
    "dpo": DPO,
    "graddiff": GradDiff,
    "npo_retain": NPORetain,
    "simnpo_retain": SimNPORetain,
    "pdu": PDU,
    "rmu": RMU,
    "rmu_forget": RMUForget,
    "retain_nll": RetainNLL,
    "retain_kl": RetainKL,
    "retain_hidden": RetainHidden,
    "npo_as_in_muse": NPOAsInMUSE,
    "simnpo_as_in_muse": SimNPOAsInMUSE,
    "npo_per_token": NPOPerToken,
    "simnpo_as_in_open_unlearning": SimNPOAsInOpenUnlearning,
    "dpo_as_in_tofu": DPOAsInTOFU,
}
"""The package's own; a new one adds its line here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One objective that can be named in a study."""

    kind: Kind
    source: str
    """Empty for the package's own; else what `ObjectiveRecipe.source` is locked to."""


_loaded: dict[str, Entry] = {}
# Plug-ins of this process, by objective name. A registry is process-wide because a recipe crosses process borders as
# plain data: each worker loads the same files and finds the same names.


def entries() -> dict[str, Entry]:
    """Return every objective by name: the package's own, then plug-ins that were loaded, then installed packages'.

    Raises:
        StudyError: E-CFG-45 if an installed package's entry point cannot be loaded, E-CFG-46 if two share a name.
    """
    found = {name: Entry(kind=kind, source="") for name, kind in OBJECTIVES.items()}
    for name, entry in (*_loaded.items(), *_installed().items()):
        if name in found:
            raise StudyError.of(
                "E-CFG-46",
                f"objective {name}",
                f"two sources have this name: {found[name].source or 'the package'} and {entry.source}",
                "rename one of them",
            )
        found[name] = entry
    return found


def load_plugins(files: Iterable[str | Path]) -> None:
    """Load objectives from Python files; loading the same bytes again changes nothing.

    Args:
        files: Python files with a module-level `OBJECTIVES`, a list of objective classes.

    Raises:
        StudyError: E-CFG-45 with every file that cannot be read or run, or lists something that is no objective;
            E-CFG-46 if a name is taken.
    """
    problems: list[Problem] = []
    for file in map(Path, files):
        try:
            module, sha256 = _module_of(file)
        except Exception as error:  # a plug-in is foreign code: whatever it raises is the user's to read
            problems.append(_unloadable(str(file), f"{type(error).__name__}: {error}"))
            continue
        kinds = getattr(module, "OBJECTIVES", None)
        if not isinstance(kinds, Sequence) or not kinds:
            problems.append(_unloadable(str(file), "it has no module-level list OBJECTIVES with objective classes"))
            continue
        for kind in kinds:
            found = _defects(kind, str(file))
            name = getattr(kind, "name", "")
            entry = Entry(kind=kind, source=f"{name}@{sha256}")
            taken = _loaded.get(name)
            if name in OBJECTIVES or (taken is not None and taken.source != entry.source):
                found.append(
                    Problem(
                        code="E-CFG-46",
                        place=str(file),
                        message=f"the objective name '{name}' is taken",
                        fix="rename it",
                    )
                )
            problems += found
            if not found:
                _loaded.setdefault(name, entry)
    if problems:
        raise StudyError(*problems)


def resolve(name: str, parameters: Mapping[str, object], place: str) -> ObjectiveRecipe:
    """Return the recipe of an objective with every parameter written out, so that defaults enter the key.

    Args:
        name: the objective's name.
        parameters: those that the study gives; integers are accepted where a float is meant.
        place: dotted field or `file:line:column` for the messages; a parameter's field is `place.parameter`.

    Raises:
        StudyError: with all problems: E-CFG-40 unknown name, E-CFG-41 unknown or missing parameter, E-CFG-42 wrong
            type, E-CFG-43 a value that the objective refuses.
    """
    entry = _entry(name, place)
    known = {field.name: field for field in fields(entry.kind)}  # type: ignore[arg-type]
    hints = get_type_hints(entry.kind)
    problems: list[Problem] = []
    resolved: dict[str, Any] = {}
    for parameter, value in parameters.items():
        at = f"{place}.{parameter}" if place else parameter
        if parameter not in known:
            message = f"objective '{name}' has no parameter '{parameter}' (has: {', '.join(known) or 'none'})"
            problems.append(
                Problem(code="E-CFG-41", place=at, message=message, fix=_nearest(parameter, known) or "remove it")
            )
        elif (typed := _as_type(value, hints[parameter])) is None:
            message = f"expected {_type_name(hints[parameter])}, found {value!r}"
            problems.append(Problem(code="E-CFG-42", place=at, message=message, fix=f"give {parameter} such a value"))
        else:
            resolved[parameter] = typed
    for field in known.values():
        if field.name not in parameters:
            default = _default(field)
            if default is MISSING:
                message = f"objective '{name}' needs the parameter '{field.name}'"
                problems.append(Problem(code="E-CFG-41", place=place, message=message, fix=f"add {field.name}: VALUE"))
            resolved[field.name] = default
    if not problems:
        try:
            entry.kind(**resolved)
        except ValueError as error:
            problems.append(
                Problem(code="E-CFG-43", place=place, message=f"objective '{name}': {error}", fix="change it")
            )
    if problems:
        raise StudyError(*problems)
    ordered = {parameter: resolved[parameter] for parameter in known}
    return ObjectiveRecipe(name=name, parameters=ordered, source=entry.source)


def resolve_sum(terms: Sequence[Term], place: str) -> ObjectiveRecipe:
    """Return the recipe of a weighted sum of resolved objectives.

    Raises:
        StudyError: E-CFG-43 if there is no term, a weight is not above 0, or a term is itself a sum.
    """
    problems = [
        Problem(code="E-CFG-43", place=f"{place}.{number}", message=f"the weight must be > 0, found {term.weight:g}",
                fix="an objective's sign is its own: ga ascends, retain_nll descends")
        for number, term in enumerate(terms) if not 0.0 < term.weight < float("inf")
    ]  # fmt: skip
    problems += [
        Problem(code="E-CFG-43", place=f"{place}.{number}", message="a weighted sum cannot be a term of another one",
                fix="list its terms here")
        for number, term in enumerate(terms) if term.objective.name == SUM
    ]  # fmt: skip
    if not terms:
        problems.append(Problem(code="E-CFG-43", place=place, message="a weighted sum needs a term", fix="add one"))
    if problems:
        raise StudyError(*problems)
    return ObjectiveRecipe(name=SUM, terms=tuple(terms))


def build(recipe: ObjectiveRecipe) -> Objective | WeightedSum:
    """Return the objective that a resolved recipe describes; a named composition as the sum that it is.

    Raises:
        StudyError: E-CFG-40 if the name is unknown here, E-CFG-47 if a plug-in's source is not the one that was locked.
    """
    if recipe.name == SUM:
        parts: list[Part] = []
        for term in recipe.terms:
            built = build(term.objective)
            if isinstance(built, WeightedSum):  # a composition: its own weights stand inside
                parts += (_scaled(part, term.weight) for part in built.parts)
            else:
                parts.append(Part(objective=built, weight=term.weight))
        return WeightedSum(tuple(parts))
    made = _locked(recipe).kind(**recipe.parameters)
    return made.composed() if isinstance(made, Composition) else made


def _scaled(part: Part, weight: float) -> Part:
    if isinstance(part.weight, float | int):
        return Part(objective=part.objective, weight=part.weight * weight)
    if weight != 1.0:
        raise StudyError.of("E-CFG-43", part.objective.name, "a dual variable takes no further weight", "weight: 1")
    return part


def passes_of(recipe: ObjectiveRecipe) -> tuple[ForwardPass, ...]:
    """Return the forward passes that the objective reads; torch-free. Raises as `build` does."""
    return tuple(build(recipe).passes)


def needs(recipe: ObjectiveRecipe) -> Needs:
    """Return what the objective needs (reference, retain data, ...), derived. Raises as `build` does."""
    return Needs.of(passes_of(recipe))


def answers_of(recipe: ObjectiveRecipe) -> str:
    """Return the preferred answers that belong to the objective itself, such as `idk`; empty if the study chooses."""
    if recipe.name == SUM:
        own = {answers_of(term.objective) for term in recipe.terms} - {""}
        return next(iter(own)) if len(own) == 1 else ""
    return str(getattr(_locked(recipe).kind, "answers", ""))


def citations_of(recipe: ObjectiveRecipe) -> tuple[str, ...]:
    """Return the BibTeX entries of the works that defined the objective and its terms. Raises as `build` does."""
    if recipe.name == SUM:
        return tuple(dict.fromkeys(entry for term in recipe.terms for entry in citations_of(term.objective)))
    return (_locked(recipe).kind.cite,)


def _entry(name: str, place: str) -> Entry:
    known = entries()
    if name not in known:
        message = f"unknown objective '{name}' (known: {', '.join(sorted(known))})"
        raise StudyError.of("E-CFG-40", place, message, _nearest(name, known) or "load your own with --plugin FILE")
    return known[name]


def _locked(recipe: ObjectiveRecipe) -> Entry:
    entry = _entry(recipe.name, f"objective {recipe.name}")
    if entry.source != recipe.source:
        raise StudyError.of(
            "E-CFG-47",
            f"objective {recipe.name}",
            f"the study was locked with source '{recipe.source}', found '{entry.source}'",
            "use the plug-in's locked version, or plan the study again",
        )
    return entry


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else ""


def _default(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _as_type(value: object, wanted: Any) -> Any:
    """Return `value` as `wanted` (float, int, str or bool), or None if it is something else; bool is no number."""
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value if type(value) is wanted else None


def _type_name(wanted: Any) -> str:
    return {float: "a number", int: "an integer", str: "text", bool: "true or false"}.get(wanted, str(wanted))


def _unloadable(place: str, why: str) -> Problem:
    return Problem(
        code="E-CFG-45",
        place=place,
        message=f"the plug-in cannot be loaded: {why}",
        fix="see CONTRIBUTING.md, 'An objective of your own'",
    )


def _defects(kind: Any, place: str) -> list[Problem]:
    """Return what keeps `kind` from being an objective."""
    shown = getattr(kind, "__name__", repr(kind))
    if not (isinstance(kind, type) and is_dataclass(kind) and kind.__dataclass_params__.frozen):  # type: ignore[attr-defined]
        return [_unloadable(place, f"{shown} is not a frozen dataclass")]
    composed = "composed" in vars(kind)
    wanted = ("name", "cite") if composed else ("name", "passes", "per", "cite")
    missing = [a for a in wanted if not getattr(kind, a, None)]
    callable_ = composed or ("__call__" in vars(kind) and isinstance(getattr(kind, "per", None), Per))
    if missing or not callable_:
        lacks = ", ".join(missing) or "__call__, or a `per` of type Per"
        return [_unloadable(place, f"{shown} lacks {lacks}")]
    return []


class _Bytes(importlib.abc.InspectLoader):
    """Runs a module from bytes that were read, and hashed, once: the file cannot change in between."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data = path, data

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self.data)

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_source(fullname), self.path)


def _module_of(file: Path) -> tuple[ModuleType, str]:
    data = file.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"retrain_equivalence_plugin_{sha256[:16]}"
    if name not in sys.modules:
        loader = _Bytes(file, data)
        spec = importlib.util.spec_from_loader(name, loader, origin=str(file))
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        # Dataclasses look their own module up while they are made, so it is listed before it runs.
        sys.modules[name] = module
        try:
            loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name], sha256


# Reading every installed package's metadata takes tens of milliseconds, and what is installed does not change in a run.
@cache
def _installed() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        place = f"entry point {point.name}"
        try:
            kind = point.load()
        except Exception as error:  # as above: foreign code
            raise StudyError(_unloadable(place, f"{type(error).__name__}: {error}")) from error
        if defects := _defects(kind, place):
            raise StudyError(*defects)
        if kind.name != point.name:
            raise StudyError(_unloadable(place, f"the class calls itself '{kind.name}'"))
        file = sys.modules[kind.__module__].__file__
        assert file is not None and point.dist is not None
        sha256 = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        found[point.name] = Entry(kind=kind, source=f"{point.dist.name}=={point.dist.version}@{sha256}")
    return found
