"""The pilot behind the learning rates of the bundled study `all-methods`: three rates per method, one rule, one seed.

    python scripts/pilot_rates.py --out FOLDER       run it (needs the data of tiny-real), then print the choice

The pilot has another study seed than the study, one replicate and the last position alone; none of its numbers is
reported anywhere else. Taken is the smallest of the three rates at which the mean loss on the forget items reaches the
pilot oracle's level within the run and stays a number, or else the one whose highest loss comes closest to that level.
An arm of plain SGD takes its smallest rate: the theory that it tests is of small steps.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from retrain_equivalence.histories.unlearning import Phase, Unlearning
from retrain_equivalence.recipes.probe import AnswerLogprobProbe
from retrain_equivalence.study.dump import dump_study
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.study import Study

SEED = 1
HISTORY = ("instruct", "tofu", "math", "safety")
ORACLE = "instruct>tofu>math"
ADAM_RATES = (1e-4, 3e-4, 1e-3)
SGD_RATES = (1e-2, 2e-2, 4e-2)
FORGET_LOSS = "forget_loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one method's three rates reached."""

    method: str
    level: float
    """Mean loss of the oracle on the forget items, nats per token."""
    plain: bool
    """Whether its steps are plain SGD."""
    reached: dict[float, float]
    """Rate -> highest mean loss on the forget items; nan if the run left the numbers."""

    @property
    def rate(self) -> float:
        """The rate that the rule takes."""
        if self.plain:
            return min(self.reached)
        enough = [rate for rate, highest in self.reached.items() if highest >= self.level]
        usable = {rate: highest for rate, highest in self.reached.items() if highest == highest}
        return min(enough) if enough else max(usable, key=usable.__getitem__)


def rates_of(unlearning: Unlearning) -> tuple[float, ...]:
    """Return the rates that are tried; plain SGD needs others, and a replay has none."""
    optimizers = {phase.training.optimizer for phase in unlearning.phases}
    return SGD_RATES if "sgd" in optimizers else ADAM_RATES if optimizers else ()


def at_rate(unlearning: Unlearning, number: int, rate: float) -> Unlearning:
    """Return an unlearning with another name, one rate in all its phases, and the last state kept alone."""
    steps = tuple(
        replace(step, training=replace(step.training, learning_rate=rate)) if isinstance(step, Phase) else step
        for step in unlearning.procedure
    )
    return replace(unlearning, name=f"{unlearning.name}-{number}", procedure=steps, save_at=())


def pilot_of(study: Study) -> Study:
    """Return the pilot: every method that takes gradient steps, at three rates, from one history of another seed."""
    tried = [at_rate(u, number, rate) for u in study.unlearnings for number, rate in enumerate(rates_of(u))]
    return replace(
        study, name="pilot", seed=SEED, replicates=1, histories=(HISTORY,), comparisons=(), unlearnings=tuple(tried),
        probes=(AnswerLogprobProbe(answer_logprob="tofu", items=8),),
    )  # fmt: skip


def choices(study: Study, rows: pd.DataFrame) -> list[Choice]:
    """Return what every method reached at every rate."""
    losses = rows[(rows["probe"] == FORGET_LOSS) & (rows["against"] == "")]
    level = losses.loc[(losses["history"] == ORACLE) & (losses["unlearning"] == ""), "value"].mean()
    found = []
    for unlearning in study.unlearnings:
        reached: dict[float, float] = {}
        for number, rate in enumerate(rates_of(unlearning)):
            run = losses[losses["unlearning"] == f"{unlearning.name}-{number}"].groupby("step", observed=True)["value"]
            finite = bool((run.count() == run.size()).all())
            reached[rate] = float(run.mean().max()) if finite else float("nan")
        if reached:
            found.append(Choice(method=unlearning.name, level=float(level), reached=reached,
                                plain=rates_of(unlearning) == SGD_RATES))  # fmt: skip
    return found


def main() -> None:
    """Write the pilot's study, run it, print the choice."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--out", type=Path, required=True, help="a new folder for the pilot's results")
    out = arguments.parse_args().out
    study = load_study("all-methods")
    file = out.with_suffix(".yaml")
    file.write_text(dump_study(pilot_of(study)), encoding="utf-8")
    call = [sys.executable, "-m", "retrain_equivalence", "run", str(file), "--out", str(out)]
    subprocess.run(call, check=True)  # noqa: S603 - our own interpreter, our own words
    for one in choices(study, pd.read_parquet(out / "rows.parquet")):
        reached = ", ".join(f"{rate:g}: {highest:.2f}" for rate, highest in one.reached.items())
        print(f"{one.method}: {one.rate:g}   (oracle {one.level:.2f}; highest loss {reached})")


if __name__ == "__main__":
    main()
