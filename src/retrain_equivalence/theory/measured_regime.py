"""One method run step by step on two orders of one world, beside what its mode factors predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.difference_map import LinearMethod, OwnTargetDescent, Regime
from retrain_equivalence.theory.explicit_run import run
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.minibatch_map import BatchSteps
from retrain_equivalence.theory.relearn_first import InterpolateThenAscend
from retrain_equivalence.theory.world import LinearWorld

NOISE = 1e-9
"""Share of the largest parameter norm below which a measured difference is rounding, and its rate no measurement."""
ROUNDING = 1e-6
"""Of a measured rate, in nats per step: 10⁻¹⁵ over `NOISE`."""
OWN_OFFSET = 1.0
"""What an own target takes off the history's own outputs."""
LARGEST_LOG_GROWTH = 300.0
"""Beyond this, squares of states leave float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRegime:
    """One method in one world."""

    log_gap: Array
    """log of measured ‖PΔ_t‖ / ‖PΔ_0‖ at t = 0, 1, ..., Δ_0 from before anything was done; as long as it is above
    rounding."""
    predicted: Array
    """The same from the mode factors, at t = 0..T."""
    slope: Array
    """Predicted local slope at t = 0..T."""
    off_span_change: float
    """max_t ‖(I − P)(Δ_t − Δ_0)‖ relative to the largest parameter norm up to t."""
    on_span_change: float
    """The same on the span."""
    regime: Regime
    largest_rate: float
    """x_1."""
    best: tuple[float, float]
    """min over t of the RE distance to the own oracle, relative to before unlearning; AB, BA."""

    @property
    def n_seen(self) -> int:
        """How many of the steps 0..T are measured."""
        return len(self.log_gap)

    @property
    def is_measured(self) -> bool:
        """Whether a local slope is measured at all."""
        return self.n_seen > 2

    @property
    def measured_slope(self) -> Array:
        """Central differences of `log_gap`, from t = 1 on."""
        found: Array = (self.log_gap[2:] - self.log_gap[:-2]) / 2
        return found

    @property
    def slope_error(self) -> float:
        """Largest distance of measured and predicted local slope."""
        return float(np.abs(self.measured_slope - self.slope[1 : self.n_seen - 1]).max(initial=0.0))

    @property
    def size_error(self) -> float:
        """Largest relative error of the predicted size."""
        return float(np.abs(np.expm1(self.log_gap - self.predicted[: self.n_seen])).max(initial=0.0))

    @property
    def is_bracketed(self) -> bool:
        """Whether every one-step change lies between the slopes at its two ends, up to rounding."""
        change, slope = np.diff(self.log_gap), self.slope[: self.n_seen]
        return bool((change >= slope[:-1] - ROUNDING).all() and (change <= slope[1:] + ROUNDING).all())


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDeviation:
    """How far ascent on minibatches ends from Π (I + η H_B) Δ_0, relative to the length of that."""

    common: float
    """Both orders see the first one's batches."""
    different: float
    """Each order sees its own."""


def measure(
    method: LinearMethod,
    world: LinearWorld,
    span: ForgetSpan,
    thetas: Array,
    oracles: Array,
    n_steps: int,
    largest_rate: float,
) -> MeasuredRegime:
    factors, steps = method.factors(span), range(n_steps + 1)
    growth = float(factors.log_sizes([n_steps]).max())
    if growth > LARGEST_LOG_GROWTH:
        raise InputError.of(
            "E-DATA-110", "steps", f"{n_steps} steps of '{method.name}' grow by e^{growth:.0f}",
            "take fewer steps or smaller ones; `linear` and `matched` compute any number in log space",
        )  # fmt: skip
    constant = OWN_OFFSET if isinstance(method, OwnTargetDescent) else 0.0
    path = run(method, world.forget_inputs, world.forget_targets, thetas, n_steps=n_steps, constant=constant)
    start: Array = thetas[0] - thetas[1]
    deltas: Array = path[:, 0] - path[:, 1]
    scale = np.maximum.accumulate(np.linalg.norm(path, axis=2).max(axis=1))
    sizes = np.linalg.norm(span.coordinates(deltas), axis=1)
    is_noise = sizes <= NOISE * scale
    seen = int(np.argmax(is_noise)) if is_noise.any() else len(sizes)
    before = float(np.log(np.linalg.norm(span.coordinates(start))))
    distances = np.square((path - oracles) @ world.test_inputs.T).mean(axis=2)
    at_start = np.square((thetas - oracles) @ world.test_inputs.T).mean(axis=1)
    best = distances.min(axis=0) / at_start
    off, on = (np.linalg.norm(part(deltas - start), axis=1) / scale for part in (span.off_span, span.on_span))
    return MeasuredRegime(
        log_gap=np.log(sizes[:seen]) - before,
        predicted=factors.log_on_span(span, start[None], steps)[0] - before,
        slope=factors.local_slope(span, start[None], steps)[0],
        off_span_change=float(off.max()),
        on_span_change=float(on.max()),
        regime=factors.regime,
        largest_rate=largest_rate,
        best=(float(best[0]), float(best[1])),
    )


def left_after_interpolation(world: LinearWorld, span: ForgetSpan, thetas: Array) -> float:
    """Return ‖PΔ‖ after relearning to convergence, relative to the largest parameter norm."""
    method = InterpolateThenAscend(learning_rate=1.0)
    end = run(method, world.forget_inputs, world.forget_targets, thetas, n_steps=0)[0]
    return float(np.linalg.norm(span.coordinates(end[0] - end[1])) / np.linalg.norm(end, axis=1).max())


def observed(found: MeasuredRegime) -> Regime | None:
    """Name the regime from the measured gap alone, by its last change and its total; None if it is below rounding."""
    if not found.is_measured:
        return None
    last, first = found.measured_slope[-1], found.log_gap[0]
    if abs(last) > ROUNDING * min(found.largest_rate, 1.0):
        return Regime.EXPANDING if last > 0 else Regime.CONTRACTING
    if abs(first) > ROUNDING:
        return Regime.EXPANDED_ONCE if first > 0 else Regime.CONTRACTED_ONCE
    return Regime.FROZEN


def batch_deviation(
    world: LinearWorld, thetas: Array, *, learning_rate: float, n_steps: int, seed: int
) -> BatchDeviation:
    """Ascend on batches of a quarter of the forget rows, drawn anew at every step.

    Args:
        world: with its forget rows and labels.
        thetas: the two states before unlearning, shape [2, d].
        learning_rate: η.
        n_steps: of ascent; fewer if states could leave float64.
        seed: of the batches.
    """
    inputs, targets = world.forget_inputs, world.forget_targets
    k = len(inputs)
    size = max(k // 4, 1)
    most = np.log1p(2 * learning_rate / size * float(np.linalg.norm(inputs, 2)) ** 2)
    length = max(min(n_steps, int(LARGEST_LOG_GROWTH / most)), 1)
    rng = np.random.default_rng(seed)
    first, second = (
        BatchSteps(
            inputs=inputs,
            batches=[rng.permutation(k)[:size].tolist() for _ in range(length)],
            learning_rates=[learning_rate] * length,
        )
        for _ in range(2)
    )
    mapped: Array = first.mapped(thetas[:1] - thetas[1:])[-1, 0]
    end = first.iterate(targets, thetas)[-1]
    other = second.iterate(targets, thetas[1:])[-1, 0]
    unit = float(np.linalg.norm(mapped))
    common, different = (float(np.linalg.norm(end[0] - b - mapped)) / unit for b in (end[1], other))
    return BatchDeviation(common=common, different=different)
