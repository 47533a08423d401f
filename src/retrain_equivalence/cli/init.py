"""`init`: a commented study to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    directory: Annotated[Path, typer.Argument(help="Where study.yaml is written.")] = Path(),
) -> None:
    """Write a commented study.yaml; never overwrites one."""
    from retrain_equivalence.core.errors import StudyError
    from retrain_equivalence.execution.results_folder import replace_file
    from retrain_equivalence.study.template import template

    path = directory / "study.yaml"
    if path.exists():
        raise StudyError.of("E-CFG-90", str(path), "exists already", "name another folder, or remove it")
    replace_file(path, template().encode())
    print(path)
