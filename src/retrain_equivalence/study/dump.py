"""A study as text: the form of the file with every default written out, so that `load(dump(study)) == study`.

Used for `study.lock.yaml`, and as the way on which a study made in Python meets the same checks as one from a file.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from retrain_equivalence.core.identity import Plain, plain
from retrain_equivalence.histories.history import Stage
from retrain_equivalence.histories.unlearning import Phase, Step, Unlearning
from retrain_equivalence.objectives.catalogue import SUM
from retrain_equivalence.recipes.dataset import DATASET_KINDS
from retrain_equivalence.recipes.model import MODEL_KINDS
from retrain_equivalence.recipes.objective import ObjectiveRecipe
from retrain_equivalence.recipes.probe import PROBE_KINDS
from retrain_equivalence.study.study import Study
from retrain_equivalence.study.yaml_reader import plain_scalar

_PLAIN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_KINDS: dict[type, str] = {
    kind: name for kinds in (DATASET_KINDS, MODEL_KINDS, PROBE_KINDS) for name, kind in kinds.items()
}
_WIDTH = 110


def _of_kind(part: Any) -> dict[str, Plain]:
    """Return a data set, model or probe as a mapping that begins with the key that names its kind."""
    if type(part) not in _KINDS:
        raise TypeError(f"{type(part).__name__} is none of the package's data sets, models and probes")
    first = _KINDS[type(part)]
    values = {item.name: plain(getattr(part, item.name)) for item in fields(part)}
    return {first: values.pop(first), **values}


def _stage(stage: Stage) -> dict[str, Plain]:
    head = {"name": stage.name, "role": plain(stage.role), "dataset": _of_kind(stage.dataset)}
    return {**head, **plain(stage.training)}


def _objective(recipe: ObjectiveRecipe) -> dict[str, Plain]:
    """Return an objective as the keys that stand in an entry: `objective` and its parameters."""
    if recipe.name == SUM:
        terms: Plain = [{**_objective(term.objective), "weight": term.weight} for term in recipe.terms]
        return {"objective": {SUM: terms}}
    objective: Plain = {"name": recipe.name, "source": recipe.source} if recipe.source else recipe.name
    return {"objective": objective, **dict(sorted(plain(recipe.parameters).items()))}


def _step(step: Step) -> dict[str, Plain]:
    if isinstance(step, Phase):
        return {**_objective(step.objective), **plain(step.training)}
    whole: dict[str, Plain] = plain(step)
    return whole


def _unlearning(unlearning: Unlearning) -> dict[str, Plain]:
    steps = [_step(step) for step in unlearning.procedure]
    alone = len(steps) == 1 and len(unlearning.phases) == 1
    preferred = unlearning.preferred
    return {
        "name": unlearning.name,
        **(steps[0] if alone else {"procedure": list(steps)}),
        "retain_stages": plain(unlearning.retain_stages),
        "preferred": preferred if preferred is None or isinstance(preferred, str) else _of_kind(preferred),
        "tuning": plain(unlearning.tuning),
        "save_at": plain(unlearning.save_at),
    }


def study_tree(study: Study) -> dict[str, Plain]:
    """Return the study as plain values in the form of the file, defaults written out.

    Raises:
        TypeError: if a part is none of the package's kinds.
    """
    tree: dict[str, Plain] = {}
    for item in fields(study):
        value = getattr(study, item.name)
        if item.name in {"model", "placebo"} and value is not None:
            tree[item.name] = _of_kind(value)
        elif item.name == "stages":
            tree[item.name] = [_stage(stage) for stage in value]
        elif item.name == "unlearnings":
            tree[item.name] = [_unlearning(unlearning) for unlearning in value]
        elif item.name == "probes":
            tree[item.name] = [_of_kind(probe) for probe in value]
        else:
            tree[item.name] = plain(value)
    return tree


def _quoted(text: str) -> str:
    def escaped(character: str) -> str:
        if character in '"\\':
            return "\\" + character
        if character.isprintable():
            return character
        code = ord(character)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    return '"' + "".join(escaped(character) for character in text) + '"'


def _scalar(value: Plain) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        safe = _PLAIN_TEXT.fullmatch(value) and plain_scalar(value) == value
        return value if safe else _quoted(value)
    return repr(value)


def _flow(value: Plain) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _scalar(value)


def _block(value: Plain, indent: int) -> list[str]:
    """Return the lines of a mapping or list; what fits into one line is written in one."""
    blanks = " " * indent
    lines: list[str] = []
    entries = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    for key, item in entries:
        head = blanks + ("-" if key is None else f"{_scalar(key)}:")
        flow = f"{head} {_flow(item)}"
        if not isinstance(item, dict | list) or not item or len(flow) <= _WIDTH:
            lines.append(flow)
        elif key is None:
            inner = _block(item, indent + 2)
            lines += [f"{blanks}- {inner[0][indent + 2 :]}", *inner[1:]]
        else:
            lines += [head, *_block(item, indent + 2)]
    return lines


def dump_study(study: Study) -> str:
    """Return the study as YAML text that `load_study` reads back to an equal study."""
    return "\n".join(_block(study_tree(study), 0)) + "\n"
