"""The studies that the package ships, one YAML file each beside this one; `load_study(name)` loads one."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.study.places import suggestion

BUNDLED = (
    "quickstart",
    "quickstart-orders",
    "tiny-real",
    "all-methods",
    "smollm2",
    "paper-llama32-1b",
    "paper-llama31-8b",
    "paper-llama2-13b",
    "paper-qwen25-1.5b",
    "paper-qwen25-14b",
)
"""The studies that the package ships, by name; a new one adds its line here and its file in `bundled/`."""


def bundled_text(name: str) -> str:
    """Return the YAML text of a bundled study.

    Raises:
        StudyError: E-CFG-01 for a name that is not bundled.
    """
    if name not in BUNDLED:
        raise StudyError.of("E-CFG-01", name, "no bundled study has this name", suggestion(name, BUNDLED, "bundled"))
    return (files("retrain_equivalence.study.bundled") / f"{name}.yaml").read_text(encoding="utf-8")


def is_bundled(source: str | Path) -> bool:
    """Whether a source is meant as a bundled name: a file of that name in the working directory comes first."""
    return isinstance(source, str) and source in BUNDLED and not Path(source).is_file()
