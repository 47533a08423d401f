"""What a published table of single runs can carry: is the last position forgotten least?

A table has one run for each model, method and position. Methods start from the same fine-tuned checkpoints, so that
cells of one model are copies of one draw: the *model* is the unit, at best; models of one family share data and recipe,
so the *family* is the careful one. Under the null no position of a model is special: the last one is the lowest with
chance `1 / positions`, and the number of hits among independent units is binomial. Within one model a single run per
position says nothing of chance at all.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from scipy import integrate, special, stats

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.equivalence.holm import holm

COLUMNS: tuple[str, ...] = ("outcome", "model", "family", "method", "position", "value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One published number: one run."""

    outcome: str
    """`forget_score`, `tofu_utility`, `gsm8k_change`."""
    model: str
    family: str
    method: str
    position: int
    """1-based place of the forget stage."""
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """How often the last position is the lowest, over some kind of unit."""

    method: str
    unit: str
    """`model`, `family` or `cell`."""
    hits: int
    units: int
    positions: int
    p_value: float
    """Chance of at least so many hits if no position is special."""
    p_any: float
    """The same for whichever position turned out to be special: the last one was not named beforehand."""
    smallest_p: float
    """What the p-value would be if every unit were a hit."""
    p_holm: float | None = None
    """After Holm over the methods; null for units that are no family of tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a model's label log-likelihood starts before unlearning, read off a figure."""

    model: str
    levels: tuple[float, ...]
    """By position, nats per token."""
    last_above: float
    """Level of the last position minus the mean of the others: above 0 is a head start of the others."""
    last_is_highest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRange:
    """Largest minus smallest value over positions, of single runs."""

    model: str
    method: str
    value: float
    sd_by_chance: float
    """Standard deviation between seeds at which four runs without any effect have this range on average."""


def read_cells(path: Path) -> tuple[Cell, ...]:
    """Return the cells of a file with the columns of `Cell`.

    Raises:
        InputError: E-DATA-140 if it cannot be read, E-DATA-146 if a column is missing, E-DATA-144 if a value is no
            number.
    """
    cells = []
    for place, row in _rows(path, COLUMNS):
        cells.append(
            Cell(
                outcome=row["outcome"],
                model=row["model"],
                family=row["family"],
                method=row["method"],
                position=int(_number(place, "position", row)),
                value=_number(place, "value", row),
            )
        )
    return tuple(cells)


def read_starts(path: Path) -> tuple[Start, ...]:
    """Return the start levels of a file with the columns `model`, `position`, `start`.

    Raises:
        InputError: as `read_cells`.
    """
    found: dict[str, dict[int, float]] = {}
    for place, row in _rows(path, ("model", "position", "start")):
        found.setdefault(row["model"], {})[int(_number(place, "position", row))] = _number(place, "start", row)
    return tuple(_start(model, [levels[p] for p in sorted(levels)]) for model, levels in found.items())


def _start(model: str, levels: Sequence[float]) -> Start:
    *earlier, last = levels
    return Start(
        model=model,
        levels=tuple(levels),
        last_above=last - math.fsum(earlier) / len(earlier),
        last_is_highest=last > max(earlier),
    )


def _rows(path: Path, columns: Sequence[str]) -> Iterable[tuple[str, dict[str, str]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError.of("E-DATA-140", str(path), f"cannot be read ({error.strerror})", "name a table") from None
    reader = csv.DictReader(lines)
    if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
        raise InputError.of("E-DATA-146", str(path), f"has no column {', '.join(missing)}", "add it")
    for row in reader:
        yield f"{path}:{reader.line_num}", row


def _number(place: str, name: str, row: dict[str, str]) -> float:
    try:
        return float(row[name])
    except (TypeError, ValueError):
        raise InputError.of("E-DATA-144", place, f"{name} is {row[name]!r}, not a number", "write a number") from None


def chance_of(hits: int, units: int, positions: int) -> float:
    """Return `P(X >= hits)` for `X ~ Binomial(units, 1/positions)`.

    Source: the exact one-sided binomial test.

    >>> round(chance_of(5, 5, 4), 6), round(chance_of(3, 5, 4), 3)
    (0.000977, 0.104)
    """
    return float(stats.binom.sf(hits - 1, units, 1 / positions))


def claim_of(method: str, unit: str, hits: int, units: int, positions: int) -> Claim:
    """Return the claim that the last position is special, from `hits` of `units` independent units.

    >>> claim_of("ga", "family", 2, 2, 4).smallest_p
    0.0625
    """
    p_value = chance_of(hits, units, positions)
    return Claim(
        method=method,
        unit=unit,
        hits=hits,
        units=units,
        positions=positions,
        p_value=p_value,
        # At most, since two positions cannot both be the lowest of one unit.
        p_any=min(1.0, positions * p_value),
        smallest_p=chance_of(units, units, positions),
    )


def series_of(cells: Iterable[Cell], outcome: str) -> dict[tuple[str, str], tuple[float, ...]]:
    """Return (model, method) -> values by position, of one outcome."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for cell in cells:
        if cell.outcome == outcome:
            found.setdefault((cell.model, cell.method), {})[cell.position] = cell.value
    return {key: tuple(values[position] for position in sorted(values)) for key, values in found.items()}


def last_is_lowest(values: Sequence[float]) -> bool:
    """Return whether the last value is below all others.

    >>> last_is_lowest((2.0, 3.0, 1.0)), last_is_lowest((1.0, 3.0, 1.0))
    (True, False)
    """
    return values[-1] < min(values[:-1])


def claims(cells: Sequence[Cell], outcome: str = "forget_score") -> tuple[Claim, ...]:
    """Return the claims by model (with Holm over methods), by family, and by cell as if cells were independent.

    A family is a hit if the last position is the lowest in all of its models.
    """
    series = series_of(cells, outcome)
    family_of = {cell.model: cell.family for cell in cells}
    methods = list(dict.fromkeys(method for _, method in series))
    positions = len(next(iter(series.values())))
    hit = {key: last_is_lowest(values) for key, values in series.items()}
    by_model, by_family = [], []
    for method in methods:
        models = [model for model, own in series if own == method]
        by_model.append(claim_of(method, "model", sum(hit[m, method] for m in models), len(models), positions))
        families = list(dict.fromkeys(family_of[model] for model in models))
        whole = sum(all(hit[m, method] for m in models if family_of[m] == family) for family in families)
        by_family.append(claim_of(method, "family", whole, len(families), positions))
    corrected = holm([claim.p_value for claim in by_model])
    by_model = [replace(claim, p_holm=p) for claim, p in zip(by_model, corrected, strict=True)]
    return (*by_model, *by_family, claim_of("all", "cell", sum(hit.values()), len(hit), positions))


def exceptions(cells: Sequence[Cell], outcome: str = "forget_score") -> tuple[tuple[str, str, tuple[float, ...]], ...]:
    """Return model, method and values by position where the last is not the lowest."""
    return tuple((*key, values) for key, values in series_of(cells, outcome).items() if not last_is_lowest(values))


def agreement(cells: Sequence[Cell], outcome: str = "forget_score") -> tuple[tuple[str, str, int, int, float], ...]:
    """Return for each pair of methods: models in which both order the positions alike, models, and mean rank
    correlation.

    Source: Spearman's rho over positions, averaged over models (`scipy.stats.spearmanr`).
    """
    series = series_of(cells, outcome)
    methods, models = (list(dict.fromkeys(names)) for names in (
        (method for _, method in series), (model for model, _ in series)))  # fmt: skip
    found = []
    for one, two in combinations(methods, 2):
        rho = [float(stats.spearmanr(series[model, one], series[model, two]).statistic) for model in models]
        found.append((one, two, sum(r > 1 - 1e-9 for r in rho), len(models), math.fsum(rho) / len(rho)))
    return tuple(found)


def expected_range(n: int) -> float:
    """Return the mean range of n independent unit normals: `int 1 - F^n - (1 - F)^n`.

    Source: Tippett 1925; 2.059 for four.

    >>> round(expected_range(2), 3), round(expected_range(4), 3)
    (1.128, 2.059)
    """

    def integrand(x: float) -> float:
        below = float(special.ndtr(x))
        return 1 - below**n - (1 - below) ** n

    value, _ = integrate.quad(integrand, -12, 12)
    return float(value)


def path_ranges(cells: Sequence[Cell], outcome: str) -> tuple[PathRange, ...]:
    """Return largest minus smallest value over positions, with the seed noise that would make it by chance."""
    return tuple(
        PathRange(
            model=model,
            method=method,
            value=max(values) - min(values),
            sd_by_chance=(max(values) - min(values)) / expected_range(len(values)),
        )
        for (model, method), values in series_of(cells, outcome).items()
    )
