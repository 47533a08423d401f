"""What is suspicious about rows that each look right: equal ones, near-equal ones, one answer for all."""

from __future__ import annotations

from retrain_equivalence.data.loaded import Loaded
from retrain_equivalence.data.normal import same_text
from retrain_equivalence.data.problems import Problems


def check_duplicates(loaded: Loaded, *, allowed: bool, found: Problems) -> None:
    """Add E-DATA-22 (equal rows; a warning if `allowed`), and warnings 23 (near-equal rows) and 28 (one answer)."""
    exact: dict[tuple[str, str], str] = {}
    near: dict[tuple[str, str], str] = {}
    n_exact = n_near = 0
    first_exact = first_near = ("", "")
    for row, place in zip(loaded.rows, loaded.places, strict=True):
        key = (row.prompt, row.response)
        if key in exact:
            n_exact += 1
            first_exact = first_exact if n_exact > 1 else (exact[key], place)
            continue
        exact[key] = place
        loose = (same_text(row.prompt), same_text(row.response))
        if loose in near:
            n_near += 1
            first_near = first_near if n_near > 1 else (near[loose], place)
        near.setdefault(loose, place)
    if n_exact:
        message = f"row is equal to the one at {_line(first_exact[0])} ({_many(n_exact)})"
        if allowed or loaded.repeats:
            found.warn(22, first_exact[1], message)
        else:
            found.add(22, first_exact[1], message, "remove it, or set allow_duplicates: true")
    if n_near:
        message = f"row differs from the one at {_line(first_near[0])} in case or blanks only ({_many(n_near)})"
        found.warn(23, first_near[1], message)
    if len(loaded.rows) > 1 and len({row.response for row in loaded.rows}) == 1:
        message = f"all {len(loaded.rows):,} responses are identical: is the right field mapped?"
        found.warn(28, loaded.places[0], message)


def _line(place: str) -> str:
    file, _, line = place.rpartition(":")
    return f"line {line}" if file else place


def _many(n: int) -> str:
    return "1 such row" if n == 1 else f"{n:,} such rows"
