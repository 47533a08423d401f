"""`explain`: what an error code means."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated

import typer


def explain(code: Annotated[str, typer.Argument(help="An error code such as E-DATA-03.")]) -> None:
    """Print a paragraph on an error code."""
    from retrain_equivalence.core.codes import CODES

    name = code.upper()
    if name not in CODES:
        near = get_close_matches(name, CODES, n=1)
        hint = f"did you mean {near[0]}?" if near else "codes look like E-DATA-03"
        raise typer.BadParameter(f"there is no error code '{code}'; {hint}")
    print(f"{name}: {CODES[name]}")
