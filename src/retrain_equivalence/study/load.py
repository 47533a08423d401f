"""From sources to a frozen study, or to every problem with them at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retrain_equivalence.core.errors import Problem, StudyError, raise_all
from retrain_equivalence.objectives.catalogue import load_plugins
from retrain_equivalence.study.check import check
from retrain_equivalence.study.form import read_form
from retrain_equivalence.study.overrides import apply_overrides
from retrain_equivalence.study.places import Places, Position
from retrain_equivalence.study.sources import join, read_source
from retrain_equivalence.study.study import Study

_PLACE = re.compile(r"(.*):(\d+):(\d+)")
_STOPS = {"E-CFG-01", "E-CFG-02", "E-CFG-07", "E-CFG-08", "E-CFG-09", "E-CFG-33"}
"""After these a file was not read to its end, so what seems to be missing may not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A study that is right, and what is doubtful about it."""

    study: Study
    warnings: tuple[Problem, ...]


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    """Sort by place within each file; files in the order in which they first appear."""
    order: dict[str, int] = {}

    def place(problem: Problem) -> tuple[int, int, int]:
        found = _PLACE.fullmatch(problem.place)
        file = found[1] if found else problem.place
        rank = order.setdefault(file, len(order))
        return (rank, int(found[2]), int(found[3])) if found else (rank, 0, 0)

    return sorted(problems, key=place)


def read_study(*sources: str | Path, overrides: Sequence[str] = (), plugins: Sequence[str | Path] = ()) -> Loaded:
    """Load a study with its warnings; arguments and errors as in `load_study`."""
    if not sources:
        raise ValueError("a study has at least one source")
    load_plugins(plugins)
    places = Places(Position(str(sources[0])))
    tree = join([(str(source), read_source(source)) for source in sources], places)
    if not any(problem.code in _STOPS for problem in places.problems):
        apply_overrides(tree, overrides, places)
        draft = read_form(tree, places)
        check(draft)
        if draft.study is not None and not places.errors():
            return Loaded(study=draft.study, warnings=tuple(_in_order(places.warnings())))
    raise_all(StudyError, _in_order(places.errors()))
    raise AssertionError("a draft without a study has a problem")


def load_study(*sources: str | Path, overrides: Sequence[str] = (), plugins: Sequence[str | Path] = ()) -> Study:
    """Load a study; nothing is downloaded, trained or written, and neither torch nor transformers is imported.

    Args:
        *sources: YAML files (each top-level key in one of them only), the name of a bundled study, or
            `file.py:function`, a function without arguments that returns a `Study`.
        overrides: `field.index.field=value`, values read as YAML, applied in order.
        plugins: Python files that register objectives of the user's own.

    Returns:
        The study, frozen, with every default filled in and every objective's parameters written out.

    Raises:
        StudyError: with all problems, in the order of the file; each has `file:line:column`, the dotted field, what was
            found, what is expected, and a fix.
    """
    return read_study(*sources, overrides=overrides, plugins=plugins).study
