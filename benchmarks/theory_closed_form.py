"""The closed form of gradient ascent against the explicit loop: how much faster, and that its cost is free of t.

    OMP_NUM_THREADS=1 python benchmarks/theory_closed_form.py [--rounds 7] [--out FILE.json]

Every round runs each contender once, in turn, so that a busy machine slows all alike; processor time, medians over
rounds, ratios of the medians and the range of the per-round ratios. The closed form's time holds its decomposition.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.forget_span import ForgetSpan
from retrain_equivalence.theory.trajectory import log_forget_loss, log_path_distances, states

FORGET_ROWS, DIM, HISTORIES, STEPS, TEST_ROWS = 50, 200, 24, 10_000, 60
TARGET_END, TARGET_PATH = 100, 10


class Problem:
    """One forget set, some histories, and a step size under which t steps stay within float64."""

    def __init__(self, k: int, d: int, histories: int, steps: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.inputs = rng.standard_normal((k, d)) / np.sqrt(d)
        self.targets = rng.standard_normal(k)
        self.thetas = rng.standard_normal((histories, d))
        self.test_inputs = rng.standard_normal((TEST_ROWS, d)) / np.sqrt(d)
        # e^300 at the end: the loop must not overflow, squares included.
        self.learning_rate = float(np.expm1(300 / steps) / (2 / k * np.linalg.norm(self.inputs, 2) ** 2))

    def loop(self, n_steps: int, look: Callable[[Array], Any] | None = None, every: int = 1) -> tuple[Array, list[Any]]:
        """Ascend step by step, and look at the parameters every few steps."""
        moving, seen = self.thetas.copy(), []
        factor = self.learning_rate * 2 / len(self.targets)
        transposed = self.inputs.T.copy()
        for t in range(n_steps):
            if look and t % every == 0:
                seen.append(look(moving))
            moving += factor * (moving @ transposed - self.targets) @ self.inputs
        return moving, seen


def timed(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return processor seconds of each contender in each round, after one round that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            if number:
                found[name].append(time.process_time() - start)
    return found


def ratio(slow: list[float], fast: list[float]) -> dict[str, float]:
    """Return the ratio of medians, and the range of the rounds' own ratios."""
    each = [a / b for a, b in zip(slow, fast, strict=True)]
    return {"of_medians": statistics.median(slow) / statistics.median(fast), "low": min(each), "high": max(each)}


def against_the_loop(rounds: int, every: int) -> dict[str, Any]:
    """Time both ways to the end point, to the path of forget losses, and to the path of distances.

    Args:
        rounds: how many.
        every: how many steps lie between two looks at the path.
    """
    p = Problem(FORGET_ROWS, DIM, HISTORIES, STEPS)
    seen_at = range(0, STEPS, every)
    eta = p.learning_rate

    def loss(moving: Array) -> Array:
        found: Array = np.square(moving @ p.inputs.T - p.targets).mean(axis=1)
        return found

    def distance(moving: Array) -> Array:
        found: Array = np.square((moving[1:] - moving[:-1]) @ p.test_inputs.T).mean(axis=1)
        return found

    def closed_losses() -> Array:
        return log_forget_loss(ForgetSpan.of(p.inputs), p.targets, p.thetas, learning_rate=eta, steps=seen_at)

    def closed_distances() -> Array:
        deltas = p.thetas[1:] - p.thetas[:-1]
        return log_path_distances(ForgetSpan.of(p.inputs), deltas, p.test_inputs, learning_rate=eta, steps=seen_at)

    def closed_end() -> Array:
        return states(ForgetSpan.of(p.inputs), p.targets, p.thetas, learning_rate=eta, step=STEPS)

    end, _ = p.loop(STEPS)
    apart = float(np.linalg.norm(closed_end() - end) / np.linalg.norm(end))
    losses = np.log(np.array(p.loop(STEPS, loss, every)[1])).T
    distances = np.log(np.array(p.loop(STEPS, distance, every)[1])).T
    times = timed(
        {
            "loop_end": lambda: p.loop(STEPS),
            "closed_end": closed_end,
            "loop_losses": lambda: p.loop(STEPS, loss, every),
            "closed_losses": closed_losses,
            "loop_distances": lambda: p.loop(STEPS, distance, every),
            "closed_distances": closed_distances,
        },
        rounds,
    )
    return {
        "sizes": {"k": FORGET_ROWS, "d": DIM, "histories": HISTORIES, "t": STEPS, "looked_at_every": every},
        "seconds": times,
        "agreement": {
            "end_relative": apart,
            "log_losses": float(np.abs(closed_losses() - losses).max()),
            "log_distances": float(np.abs(closed_distances() - distances).max()),
        },
        "ratio_end": ratio(times["loop_end"], times["closed_end"]),
        "ratio_losses": ratio(times["loop_losses"], times["closed_losses"]),
        "ratio_distances": ratio(times["loop_distances"], times["closed_distances"]),
    }


def against_t(rounds: int) -> list[dict[str, Any]]:
    """Time one step number at a time, for growing t and d."""
    found = []
    for d in (200, 1_000, 10_000):
        p = Problem(FORGET_ROWS, d, HISTORIES, STEPS)

        def at(t: int, p: Problem = p) -> Array:
            deltas = p.thetas[1:] - p.thetas[:-1]
            span = ForgetSpan.of(p.inputs)
            return log_path_distances(span, deltas, p.test_inputs, learning_rate=p.learning_rate, steps=[t])

        times = timed({str(t): lambda t=t: at(t) for t in (10, 1_000, 1_000_000)}, rounds)  # type: ignore[misc]
        medians = {t: statistics.median(seconds) for t, seconds in times.items()}
        slowest, fastest = max(medians.values()), min(medians.values())
        found.append({"d": d, "seconds": times, "medians": medians, "slowest_over_fastest": slowest / fastest})
    return found


def environment() -> dict[str, Any]:
    """Return what the times depend on."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "system": platform.platform(),
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "not limited"),
    }


def main() -> None:
    """Run, print, write."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "theory_closed_form.json")
    given = options.parse_args()
    paths, grown = [against_the_loop(given.rounds, every) for every in (5, 1)], against_t(given.rounds)
    for loop in paths:
        every = loop["sizes"]["looked_at_every"]
        loop["targets_met"] = {}
        for name, least in (("end", TARGET_END), ("losses", TARGET_PATH), ("distances", TARGET_PATH)):
            r = loop[f"ratio_{name}"]
            loop["targets_met"][name] = r["of_medians"] >= least
            slow, fast = (1e3 * statistics.median(loop["seconds"][f"{way}_{name}"]) for way in ("loop", "closed"))
            print(
                f"{name if name == 'end' else f'{name}, every {every}':19} loop {slow:7.1f} ms  closed {fast:7.2f} ms  "
                f"ratio {r['of_medians']:6.1f} ({r['low']:.1f} to {r['high']:.1f})  "
                f">= {least}: {'met' if loop['targets_met'][name] else 'NOT met'}"
            )
        print("agreement:", {name: f"{value:.1e}" for name, value in loop["agreement"].items()})
    for row in grown:
        each = "  ".join(f"t = {int(t):>9,}: {1e3 * s:6.2f} ms" for t, s in row["medians"].items())
        print(f"d = {row['d']:>6,}  {each}  slowest / fastest {row['slowest_over_fastest']:.2f}")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    written = {"environment": environment(), "rounds": given.rounds, "against_the_loop": paths, "against_t": grown}
    given.out.write_text(json.dumps(written, indent=1) + "\n")
    print(f"written to {given.out}")


if __name__ == "__main__":
    main()
