"""Whether recency shows, and as what: one sentence per unlearning, read from the intervals of the contrast."""

from __future__ import annotations

from collections.abc import Sequence

from retrain_equivalence.figures.elements import Record
from retrain_equivalence.report.words import counted, interval, number

MOSTLY = 2.0
"""Where both parts are above 0, one that is this many times the other is said to be most of it."""
LEVELS = {"oracle": "the oracle's forget level", "halfway": "the halfway level"}


def sentence(records: Sequence[Record], unlearning: str, level: str = "oracle") -> str:
    """Return what the last position's contrast with the mean of the earlier ones says; empty if there is none.

    Args:
        records: the table `recency_contrast`.
        unlearning: its name.
        level: `oracle` or `halfway`.
    """
    own = {
        r["part"]: r
        for r in records
        if r["unlearning"] == unlearning and r["level_name"] == level and r["earlier"] is None
    }
    if not own:
        return ""
    total, head_start, speed = own["total"], own["head_start"], own["speed"]
    where = LEVELS.get(level, level)
    if total["mean"] is None:
        return f"Whether recency shows is undefined: {_why(total)}."
    more = "more" if total["mean"] >= 0 else "fewer"
    size = f"{number(abs(total['mean']))} unlearning steps {more} than the mean of the earlier ones"
    asides = [f"95 % interval of the difference {interval(total['low'], total['high'])}, n = {total['n']}"]
    if total["not_reached"]:
        asides.append(
            f"{total['not_reached']} of {counted(total['runs'], 'run')} did not get there by step {total['horizon']} "
            "and count with that"
        )
    if total["at_start"]:
        asides.append(f"{total['at_start']} of {counted(total['runs'], 'run')} began past it")
    return (
        f"{_shows(total, head_start, speed)}: the last position needs {size} to reach {where} ({'; '.join(asides)}); "
        f"{_split(head_start, speed)}."
    )


def _why(record: Record) -> str:
    return str(record["reason"]).removeprefix("undefined: ")


def _above(record: Record) -> bool:
    return record["low"] is not None and record["low"] > 0


def _below(record: Record) -> bool:
    return record["high"] is not None and record["high"] < 0


def _shows(total: Record, head_start: Record, speed: Record) -> str:
    if total["low"] is None:
        return "Recency cannot be told from chance with one replicate"
    if not _above(total) and not _below(total):
        if total["not_reached"]:
            return f"Recency is not decided by step {total['horizon']}"
        return "Recency does not show at this number of replicates"
    what = "Recency shows" if _above(total) else "The reverse of recency shows"
    side = _above if _above(total) else _below
    is_head, is_speed = side(head_start), side(speed)
    if is_head and is_speed:
        ahead, slow = abs(head_start["mean"]), abs(speed["mean"])
        if ahead >= MOSTLY * slow:
            return f"{what}, mostly as a head start"
        return f"{what}, mostly as speed" if slow >= MOSTLY * ahead else f"{what}, as a head start and as speed"
    if is_head:
        return f"{what}, as a head start"
    return f"{what}, as speed" if is_speed else f"{what}, but not whether as a head start or as speed"


def _split(head_start: Record, speed: Record) -> str:
    if head_start["mean"] is None:
        return f"head start and speed are undefined: {_why(head_start)}"
    said = " and ".join(
        f"{name} {number(part['mean'])} steps ({interval(part['low'], part['high'])})"
        for name, part in (("head start", head_start), ("speed", speed))
    )
    if head_start["reached"] == head_start["replicates"]:
        return said
    n = f"{head_start['reached']} of {counted(head_start['replicates'], 'replicate')}"
    return f"over the {n} in which every run got there, and which are therefore a selection: {said}"
