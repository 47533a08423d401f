"""Per-instance privacy loss along noisy training: how much one row can show in the weights, as Rényi divergence.

Noisy descent draws every row with probability q, sums the clipped gradients and adds normal noise of deviation σ per
coordinate. What a row x adds to a step is its gradient norm s there; `step_loss` is the Rényi divergence that this
allows, and `composed_loss` adds the steps up to a bound on D_α(train on D ‖ train on D∖x). The bound is an expectation
over noisy runs, here a mean over R of them with its Monte-Carlo interval. One run gives a proxy, never a bound.

Later stages that do not use x add nothing: the weights after them are computed from those before. So the loss of a
history is that of the stages that hold x, whatever follows: it cannot see natural forgetting.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, comb, log

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, positive


def step_loss(norms: npt.ArrayLike, *, rate: float, noise: float, order: int) -> Array:
    """Return `ε(α; s) = 1/(α−1) log Σ_k C(α,k) (1−q)^{α−k} q^k exp(s² k(k−1) / (2σ²))`, of the shape of `norms`.

    It is exactly D_α of (1−q) N(0, σ²) + q N(s, σ²) from N(0, σ²), for whole α.

    Args:
        norms: s ≥ 0, the row's clipped gradient norm at a step, any shape.
        rate: q, 0 < q ≤ 1.
        noise: σ > 0, absolute.
        order: α ≥ 2, whole.

    Raises:
        InputError: E-DATA-137 for a rate or an order that is out of range, E-DATA-101 for norms that are negative or
            not finite, E-DATA-102 for σ.

    Source: Thudi et al. (2024), as in public code; the sampled Gaussian mechanism of Mironov et al. (2019).

    >>> step_loss([0.0, 1.0], rate=1.0, noise=2.0, order=8).tolist()  # α s² / (2σ²) without sampling
    [0.0, 1.0]
    """
    _check(rate, order)
    s2 = _squares(norms) / (2 * positive(noise, "noise") ** 2)
    terms = []
    for k in range(order + 1):
        weight = log(comb(order, k)) + special.xlog1py(order - k, -rate) + k * log(rate)
        if np.isfinite(weight):
            terms.append(weight + s2 * (k * (k - 1)))
    found: Array = special.logsumexp(np.stack(terms), axis=0) / (order - 1)
    # Rounding of a sum of probabilities: the divergence is never below 0.
    return np.maximum(found, 0.0)


def small_step_loss(norms: npt.ArrayLike, *, rate: float, noise: float, order: float) -> Array:
    """Return `α q² s² / (2σ²)`: the limit of `step_loss` for small s / σ and small q, of the shape of `norms`.

    Raises:
        InputError: as `step_loss`.

    Source: derived. A factor ½ that some accounts leave out is there.

    >>> small_step_loss([1.0], rate=0.1, noise=2.0, order=8).round(6).tolist()
    [0.01]
    """
    _check(rate, order)
    found: Array = order * rate**2 * _squares(norms) / (2 * positive(noise, "noise") ** 2)
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrivacyLoss:
    """D_α(train on D ‖ train on D∖x) at most, per row, from R runs."""

    values: Array
    """Shape [K]."""
    half_widths: Array
    """Of the 95 % Monte-Carlo interval, jackknife over runs, shape [K]."""
    n_runs: int


def composed_loss(
    norms: npt.ArrayLike, *, rate: float, noise: float, order: int, composition: float | None = None
) -> PrivacyLoss:
    """Compose steps to a bound on D_α of whole runs.

    By Hölder's inequality, for any p > 1 and from the last step backwards,

        D_α ≤ Σ_i 1/(p (α_i − 1)) · log E exp(p (α_i − 1) ε_i(α_i; s)),  α_0 = α,  α_{i+1} − 1 = (α_i − 1) p/(p − 1)

    with the expectation over runs on D, estimated by the mean over R runs. Orders that are not whole are rounded up,
    which keeps the bound, since ε grows with α.

    Args:
        norms: s of each run, step and row, shape [R, T, K], steps in order of training; only steps that could draw the
            row: others add 0.
        rate: q.
        noise: σ.
        order: α ≥ 2.
        composition: p > 1; None takes 3T.

    Raises:
        InputError: E-DATA-100 for another shape, E-DATA-138 for fewer than two runs (no interval), E-DATA-137 for
            p ≤ 1, and as `step_loss`.

    Source: Thudi et al. (2024), Theorem on composition. Deviation: public code moves the order by
    α p/(p−1) − 1/p; the derivation gives α p/(p−1) − 1/(p−1), and with it the weights as coded.

    >>> composed_loss(np.full((2, 1, 1), 1.0), rate=1.0, noise=2.0, order=8).values.tolist()
    [1.0]
    """
    found = np.asarray(norms, dtype=np.float64)
    if found.ndim != 3 or found.size == 0:
        raise InputError.of(
            "E-DATA-100", "norms", f"expected runs × steps × rows, found shape {found.shape}", "stack the runs"
        )
    runs, steps, rows = found.shape
    if runs < 2:
        raise InputError.of(
            "E-DATA-138", "norms", "one run", "give at least two runs: the loss is an expectation over runs"
        )
    p = 3.0 * steps if composition is None else composition
    if not (np.isfinite(p) and p > 1):
        raise InputError.of("E-DATA-137", "composition", f"expected a number above 1, found {p}", "use 3 per step")
    _check(rate, order)
    total, left_out = np.zeros(rows), np.zeros((runs, rows))
    alpha = float(order)
    for step in reversed(range(steps)):
        # A whole α that rounding lifted by an ulp stays itself.
        loss = step_loss(found[:, step], rate=rate, noise=noise, order=ceil(alpha - 1e-9))
        scale = p * (alpha - 1)
        exponents = scale * loss
        top = exponents.max(axis=0)
        weights = np.exp(exponents - top)
        total += (top + np.log(weights.mean(axis=0))) / scale
        others = np.stack([np.delete(weights, r, axis=0).mean(axis=0) for r in range(runs)])
        with np.errstate(divide="ignore"):
            left_out += (top + np.log(others)) / scale
        alpha = 1 + (alpha - 1) * p / (p - 1)
    spread = np.sqrt((runs - 1) / runs * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    return PrivacyLoss(values=total, half_widths=float(stats.t.ppf(0.975, runs - 1)) * spread, n_runs=runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyDescent:
    """θ ← θ − η/(qn) [Σ_drawn clip(∇ℓ) + N(0, σ² I)] on the logistic loss of signed rows."""

    n_steps: int
    rate: float
    """q, the chance of each row to be drawn."""
    noise: float
    """σ > 0 per coordinate of the sum."""
    learning_rate: float
    clip: float = 1.0
    """Largest gradient norm of a row."""

    def run(self, starts: Array, rows: Array, *, seed: int, included: Array, watched: Array) -> tuple[Array, Array]:
        """Run M variants of R runs side by side; variants share batches and noise and differ in which rows they hold.

        Args:
            starts: shape [M, R, d].
            rows: each row times its label ±1, shape [n, d].
            seed: of batches and noise.
            included: 1 where a variant holds a row, 0 where not, shape [M, n].
            watched: row numbers whose clipped gradient norms variant 0 records, shape [K].

        Returns:
            Ends [M, R, d] and norms [R, T, K].

        Raises:
            InputError: E-DATA-137 for q, E-DATA-102 for other settings that are not above 0.
        """
        _check(self.rate, 2)
        for name in ("n_steps", "noise", "learning_rate", "clip"):
            positive(getattr(self, name), name)
        signed = matrix(rows, "rows")
        lengths = np.linalg.norm(signed, axis=1)
        runs, dim = starts.shape[1:]
        rng = np.random.default_rng(seed)
        moving = starts.copy()
        norms = np.empty((runs, self.n_steps, len(watched)))
        scale = self.learning_rate / (self.rate * len(signed))
        for step in range(self.n_steps):
            drawn = rng.random((runs, len(signed))) < self.rate
            added = self.noise * rng.standard_normal((runs, dim))
            slopes = special.expit(-(moving @ signed.T))
            slopes = np.minimum(slopes, self.clip / lengths)
            norms[:, step] = slopes[0][:, watched] * lengths[watched]
            slopes *= drawn
            slopes *= included[:, None, :]
            # Descent on log(1 + e^−m) raises margins: minus the gradient is slope times row.
            moving = moving + scale * (slopes @ signed + added)
        return moving, norms


def _check(rate: float, order: float) -> None:
    if not 0 < rate <= 1:
        raise InputError.of("E-DATA-137", "rate", f"expected above 0 and at most 1, found {rate}", "give a probability")
    if not (order >= 2 and order == int(order)):
        raise InputError.of("E-DATA-137", "order", f"expected a whole number from 2, found {order}", "use 8")


def _squares(norms: npt.ArrayLike) -> Array:
    found = np.asarray(norms, dtype=np.float64)
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise InputError.of("E-DATA-101", "norms", "a gradient norm is negative or not finite", "give norms from 0")
    return found**2
