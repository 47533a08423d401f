"""`--set a.b=c`: changing single values of a study from the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from retrain_equivalence.core.errors import Problem, visible
from retrain_equivalence.core.identity import Plain
from retrain_equivalence.study.places import Path, Places, Position, dotted, suggestion
from retrain_equivalence.study.yaml_reader import read_yaml


def apply_overrides(tree: dict[str, Plain], overrides: Iterable[str], places: Places) -> None:
    """Set each `field.index.field=value` in `tree`, in order; the value is read as YAML.

    An entry of a list is named by its index from 0, or by its `name`: `stages.tofu.num_train_epochs=5`.
    A missing mapping on the way is created. Problems (E-CFG-31) are noted in `places`.
    """
    for override in overrides:
        left, equals, text = override.partition("=")
        # Only the part before `=` is shown: what follows is a value, and may be anything.
        label = Position(f"--set {visible(left, limit=60)}")
        if not equals or not left.strip() or "" in left.strip().split("."):
            _refuse(places, label, "expected field.field=value", "for example --set unlearnings.0.learning_rate=2e-5")
            continue
        value: Plain = None
        positions: dict[Path, Position] = {(): label}
        if text.strip() not in {"", "null", "~"}:
            document = read_yaml(text, label.file)
            if document.problems:
                places.problems.extend(document.problems)
                continue
            value, positions = document.value, dict.fromkeys(document.positions, label)
        path = _set(tree, left.strip().split("."), value, label, places)
        if path is not None:
            for old in [old for old in places.positions if old[: len(path)] == path]:
                del places.positions[old]
            places.refused -= {old for old in places.refused if old[: len(path)] == path}
            places.positions |= {(*path, *inner): label for inner in positions}


def _refuse(places: Places, label: Position, message: str, fix: str) -> None:
    places.problems.append(Problem(code="E-CFG-31", place=str(label), message=message, fix=fix))


def _step(here: Any, part: str) -> str | int | None:
    """Return the key or index that `part` names in `here`; None if there is no such entry."""
    if isinstance(here, dict):
        return part
    if part.isdecimal() and len(part) < 9:
        return int(part) if int(part) < len(here) else None
    named = [i for i, entry in enumerate(here) if isinstance(entry, dict) and entry.get("name") == part]
    return named[0] if named else None


def _set(tree: dict[str, Plain], parts: list[str], value: Plain, label: Position, places: Places) -> Path | None:
    here: Any = tree
    step: Any
    path: Path = ()
    for index, part in enumerate(parts):
        if not isinstance(here, dict | list):
            _refuse(places, label, f"'{dotted(path)}' holds a single value: nothing is inside it", "set it as a whole")
            return None
        step = _step(here, part)
        if step is None:
            names = [str(entry["name"]) for entry in here if isinstance(entry, dict) and "name" in entry]
            fix = suggestion(part, names, "entries") if names and not part.isdecimal() else "count from 0"
            _refuse(places, label, f"'{dotted(path)}' has {len(here)} entries and no '{visible(part, limit=40)}'", fix)
            return None
        path = (*path, step)
        if index == len(parts) - 1:
            here[step] = value
            return path
        if isinstance(here, dict) and here.get(part) is None:
            here[part] = {}
        here = here[step]
    return None
