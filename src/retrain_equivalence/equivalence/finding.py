"""A finding: one number with everything that is needed to judge it, and its canonical JSON.

Design. A finding is flat, so `findings.json`, `summary.csv` and the report show the same fields. What is undefined is
null with a `reason`, never 0 and never nan. Findings are sorted by the declared order of their coordinates, so equal
tables give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

FINDINGS_VERSION = 2
LEVEL = 0.95
"""Confidence of every interval that describes."""
ALPHA = 0.05
"""Error rate of each definite verdict at the margin, unless the study spends it over several looks."""


class Verdict(StrEnum):
    """What a finding says against its margin."""

    EQUIVALENT = "EQUIVALENT"
    DIFFERENT = "DIFFERENT"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One estimate with its interval, its n and, where a margin was declared, its verdict."""

    contrast: str
    """`band`, `oracle_distance`, `improvement`, `path_gap`, `growth`, `recency`, `difference`,
    `natural_forgetting`."""
    quantity: str
    """Which number of the contrast: `D_oo`, `D_ho`, `D_ho/D_oo`, `B_h`, `G_ab`, `tau`, `head_start`, ..."""
    probe: str
    """Full probe name, for example `prediction:safety/hellinger`."""
    test_set: str = ""
    """For distances: `forget`, `held_out`, `retain:<stage>`, `generic`; empty for scalars."""
    unlearning: str = ""
    """Empty for trained states."""
    history: str = ""
    """Name of the history; of the oracle, for the band; `position K`, for contrasts between positions."""
    other: str = ""
    """Name of the other history or oracle; empty if there is none."""
    alignment: str = "at_end"
    """`trained`, `at_step`, `at_end`, `at_forget_level`, or `window` for slopes."""
    step: int | None = None
    """Unlearning steps done; null if runs are compared at different steps."""
    estimate: float | None
    """The number in `unit`; null if undefined, and `reason` says why."""
    low: float | None
    """Lower end of the interval of confidence `level`."""
    high: float | None
    """Upper end."""
    level: float = LEVEL
    n: int
    """Independent replicates behind the interval (of the history; of the oracle for the band)."""
    n_oracles: int | None = None
    """Oracle replicates behind a distance to the oracle; null where no oracle enters."""
    unit: str
    method: str
    """How estimate and interval were computed, in one phrase."""
    margin: float | None = None
    """The declared margin in `unit`; null if none was declared for this number."""
    margin_kind: str = ""
    """`value` or `times_band`."""
    rationale: str = ""
    """The study's reason for the margin."""
    decision_low: float | None = None
    """Lower one-sided bound of level `1 - alpha`, 95 % without looks: what the verdict was read from."""
    decision_high: float | None = None
    """Upper one-sided bound."""
    verdict: Verdict | None = None
    """Null if no margin was declared for this number."""
    reason: str
    """One plain sentence: why this verdict, or why the number is undefined, or what it describes."""
    p_value: float | None = None
    """Two-sided, of no effect at all: a separate statement from the verdict."""
    p_method: str = ""
    """Which test: `paired t`, `exact sign flip`, ..."""
    p_adjusted: float | None = None
    """`p_value` after the correction within `family`; null outside a declared family."""
    p_adjustment: str = ""
    """Which correction: `Holm`, `maxT`, or `BH` in the family `exploratory`; empty without one."""
    p_equivalence: float | None = None
    """The larger of the two one-sided p-values of TOST against the margin."""
    family: str = ""
    """The declared family; empty for what is described without having been declared."""
    n_needed: int | None = None
    """Replicates that would do: for the test to be able to decide, or, at the observed spread, to decide."""
    censored: int = 0
    """Runs that stopped being finite, or did not reach the level."""
    failed: int = 0
    """Runs whose probe failed."""
    unscored: int = 0
    """Runs whose measurement is not meaningful here."""
    missing: int = 0
    """Registered runs that the table does not have."""
    sample_R: tuple[float, ...] | None = field(default=None, compare=False, repr=False)
    """The paired differences behind a tested mean, nan where a replicate does not count: what the correction within the
    family reads. Not written, and gone once that is done."""

    @property
    def id(self) -> str:
        """What a page shows beside the number, and what `trace` takes; equal for one number against two margins."""
        return id_of(**{name: getattr(self, name) for name in COORDINATES})

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} of a finding is {value}: undefined is null with a reason")


WRITTEN = tuple(entry.name for entry in fields(Finding) if entry.name != "sample_R")
"""The fields of a finding in `findings.json`."""
_NUMBERS = tuple(entry.name for entry in fields(Finding) if entry.name in WRITTEN and "float" in str(entry.type))


COORDINATES = ("contrast", "quantity", "probe", "test_set", "unlearning", "history", "other", "alignment", "step")
"""The fields that say which number of a study a finding is."""


def id_of(
    *,
    contrast: str,
    quantity: str,
    probe: str,
    test_set: str = "",
    unlearning: str = "",
    history: str = "",
    other: str = "",
    alignment: str = "at_end",
    step: int | None = None,
) -> str:
    """Return the id of the finding at some coordinates: the first 8 hexadecimal digits of their SHA-256.

    Short enough to be typed: of a hundred thousand findings one pair may share an id, and `trace` then shows both.

    >>> id_of(contrast="band", quantity="D_oo", probe="prediction:safety/hellinger", test_set="forget")
    'b13ef7a4'
    """
    coordinates = (contrast, quantity, probe, test_set, unlearning, history, other, alignment, step)
    return hashlib.sha256(json.dumps(coordinates, ensure_ascii=False).encode()).hexdigest()[:8]


def _order(finding: Finding) -> tuple[Any, ...]:
    return (
        finding.contrast,
        finding.probe,
        finding.test_set,
        finding.unlearning,
        finding.history,
        finding.other,
        finding.alignment,
        -1 if finding.step is None else finding.step,
        finding.quantity,
        finding.family,
        finding.margin_kind,
        0.0 if finding.margin is None else finding.margin,
        finding.reason,
    )


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings sorted by their coordinates: the one order in which they are written."""
    return sorted(findings, key=_order)


def to_json(findings: Iterable[Finding]) -> bytes:
    """Return the bytes of `findings.json`: sorted keys, shortest floats, one finding a line."""
    lines = [
        json.dumps(
            {name: getattr(finding, name) for name in WRITTEN},
            sort_keys=True,
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
        )
        for finding in in_order(findings)
    ]
    body = ",\n".join(lines)
    return f'{{"version":{FINDINGS_VERSION},"findings":[\n{body}\n]}}\n'.encode()


def from_json(data: bytes, wanted: Callable[[dict[str, Any]], bool] = lambda item: True) -> list[Finding]:
    """Read the bytes of `findings.json`.

    Args:
        data: the file's content.
        wanted: which findings are made, told by their fields: a study of many histories has a hundred thousand.

    Raises:
        ValueError: if the version is not this one's, or the data are not JSON.
        TypeError: if a field is unknown or absent.
    """
    document = json.loads(data)
    if document.get("version") != FINDINGS_VERSION:
        raise ValueError(f"findings of version {document.get('version')}, this release reads {FINDINGS_VERSION}")
    return [
        Finding(**(item | {"verdict": None if item["verdict"] is None else Verdict(item["verdict"])}))
        for item in document["findings"]
        if wanted(item)
    ]
