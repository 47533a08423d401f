"""How worlds are summarised: median, range and an interval over seeds, the same way in every answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from retrain_equivalence.core.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One quantity over independent worlds or seeds."""

    n: int
    median: float
    low: float
    """Smallest."""
    high: float
    """Largest."""
    mean: float
    half_width: float
    """Of the 95 % t interval of the mean over seeds; infinite with one seed."""

    @classmethod
    def of(cls, values: Sequence[float] | npt.NDArray[np.float64]) -> Summary:
        """Summarise finite values.

        Raises:
            InputError: E-DATA-101 if there is none, or one is not finite: what is undefined is counted, not averaged.

        >>> Summary.of([1.0, 2.0, 6.0]).text()
        '2 (1 to 6)'
        """
        found = np.asarray(values, dtype=np.float64)
        if not found.size or not np.isfinite(found).all():
            raise InputError.of("E-DATA-101", "summary", "expected finite values", "count undefined worlds separately")
        n = len(found)
        half = float(half_width(found))
        return cls(
            n=n, median=float(np.median(found)), low=float(found.min()), high=float(found.max()),
            mean=float(found.mean()), half_width=half,
        )  # fmt: skip

    def text(self, digits: int = 3) -> str:
        """Return `median (low to high)`."""
        return f"{self.median:.{digits}g} ({self.low:.{digits}g} to {self.high:.{digits}g})"

    def interval(self, digits: int = 3) -> str:
        """Return `mean [low, high]`, the 95 % t interval over seeds."""
        if not np.isfinite(self.half_width):
            return f"{self.mean:.{digits}g} [undefined: one seed]"
        low, high = self.mean - self.half_width, self.mean + self.half_width
        return f"{self.mean:.{digits}g} [{low:.{digits}g}, {high:.{digits}g}]"

    def numbers(self) -> dict[str, Any]:
        """Return the summary as JSON types."""
        return {
            "n": self.n, "median": self.median, "min": self.low, "max": self.high, "mean": self.mean,
            "half_width_95": self.half_width if np.isfinite(self.half_width) else "undefined: one seed",
        }  # fmt: skip

    def band(self) -> dict[str, float]:
        """Return median and range under the names that `figures.panel.line_panel` reads.

        >>> Summary.of([1.0, 2.0, 6.0]).band()
        {'y': 2.0, 'low': 1.0, 'high': 6.0}
        """
        return {"y": self.median, "low": self.low, "high": self.high}


def half_width(values: npt.NDArray[np.float64], level: float = 0.95) -> npt.NDArray[np.float64]:
    """Return half the width of the t interval of the mean, t s / √n with n − 1 degrees of freedom.

    Args:
        values: independent along the first axis, shape [n, ...].
        level: of the interval, in (0, 1).

    Returns:
        Shape [...]; infinite with one value, which bounds nothing.
    """
    n = len(values)
    if n == 1:
        return np.full(values.shape[1:], np.inf)
    found: npt.NDArray[np.float64] = stats.t.ppf((1 + level) / 2, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return found


def band_points(series: str, xs: Iterable[float], values: npt.NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return one point of a line per x, with median and range over worlds, as `figures.panel.line_panel` reads them.

    Args:
        series: the line's name.
        xs: one per column.
        values: shape [worlds, columns].

    >>> band_points("a", [5], np.array([[1.0], [2.0], [6.0]]))
    [{'series': 'a', 'x': 5, 'y': 2.0, 'low': 1.0, 'high': 6.0}]
    """
    return [
        {"series": series, "x": x, "y": float(np.median(v)), "low": float(v.min()), "high": float(v.max())}
        for x, v in zip(xs, values.T, strict=True)
    ]
