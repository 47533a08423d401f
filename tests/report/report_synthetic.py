"""A results folder with planted truth: a whole study's table without any training, in the documented layout.

States are points: an oracle is the origin plus seed noise; a history adds a bias of its own that grows along
unlearning. Distances are squared lengths, so the debiased gap and the ratio to the band are known.
"""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from retrain_equivalence.equivalence.compare import compare
from retrain_equivalence.equivalence.finding import to_json
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.records.table import Row, Status, combine, frame_of, to_parquet, typed
from retrain_equivalence.study.dump import dump_study
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.study import Study

STUDY = """\
name: {name}
question: Does the outcome of unlearning depend on where the forget stage stood in training?
model: {{tiny: micro}}
training: {{learning_rate: 1e-3, global_batch_size: 16, lr_scheduler_type: wsd}}
stages:
  - {{name: instruct, dataset: {{generated: instructions, rows: 512}}, num_train_epochs: 3}}
  - {{name: tofu, dataset: {{generated: authors, rows: 400}}, num_train_epochs: 4}}
{math}  - {{name: safety, role: forget, dataset: {{generated: refusals, rows: 512}}, num_train_epochs: 2}}
histories: {histories}
unlearnings:
  - {{name: ga, objective: ga, learning_rate: 1e-4, max_steps: 30, save_at: [0, 1, 2, 5, 10, 20, 30]}}
  - {{name: npo, objective: npo, beta: 0.1, learning_rate: 1e-4, max_steps: 30, save_at: [0, 1, 2, 5, 10, 20, 30]}}
  - {{name: simnpo, objective: simnpo, learning_rate: 1e-4, max_steps: 30, save_at: [0, 1, 2, 5, 10, 20, 30]}}
probes: [{{forget_score: safety}}, {{answer_logprob: tofu}}, {{prediction: safety}}{accuracy}]
comparisons:
  - contrast: oracle_distance
    probe: prediction
    margin: {{times_band: 1.5, rationale: half again as far as two retrained models are from each other}}
  - {{contrast: path_gap, probe: prediction}}
  - {{contrast: growth, probe: prediction}}
  - {{contrast: recency, probe: forget_loss}}
  - contrast: difference
    probe: "answer_logprob:tofu"
    margin: {{value: 0.1, rationale: a tenth of a nat per token}}
replicates: {replicates}
oracle_replicates: {oracles}
seed: 0
"""
MATH = "  - {name: math, dataset: {generated: arithmetic, rows: 512}, num_train_epochs: 2}\n"
DIMENSIONS = 24
NOISE = 0.006
FORGET_ITEMS = 6


def study_text(
    *, name: str = "quickstart", histories: str = "forget_at_each_position", replicates: int = 8, oracles: int = 8,
    with_math: bool = True,
) -> str:  # fmt: skip
    """Return the YAML of the planted study."""
    return STUDY.format(
        name=name, histories=histories, replicates=replicates, oracles=oracles, math=MATH if with_math else "",
        accuracy=", {accuracy: math}" if with_math else "",
    )  # fmt: skip


ORDERS = "[[math, safety, tofu, instruct], [safety, tofu, math, instruct], [tofu, instruct, math, safety]]"
ASKED = """\
  - {contrast: path_gap, probe: prediction, alignment: at_forget_level}
  - {contrast: oracle_distance, probe: prediction, alignment: at_forget_level}
  - {contrast: path_gap, probe: "answer_logprob:tofu"}
  - {contrast: excess_path_gap, probe: prediction}
"""


def every_contrast(*, replicates: int, oracles: int) -> str:
    """Return the YAML of a study of three orders with oracles of their own, one unlearning, and every contrast."""
    text = study_text(replicates=replicates, oracles=oracles, histories=ORDERS)
    kept = [line for line in text.split("\n") if "objective: simnpo" not in line and "objective: ga," not in line]
    return "\n".join(kept).replace("comparisons:\n", f"comparisons:\n{ASKED}")


def rows(study: Study, *, seed: int = 0, explode: str = "") -> pd.DataFrame:
    """Return the table; with `explode`, that unlearning's first replicate stops being finite after step 10."""
    world = _World(study, seed, explode)
    frames = [world.scalars(), world.distances()]
    return combine(frames)


class _World:
    def __init__(self, study: Study, seed: int, explode: str) -> None:
        self.study, self.explode = study, explode
        self.rng = np.random.default_rng(seed)
        self.R, self.S = study.replicates, study.oracle_replicates
        self.histories = study.all_histories()
        self.K = max(h.position() or 1 for h in self.histories)
        self.direction = {h.name: self._unit() for h in self.histories}
        self.seeds = {r: self.rng.normal(0, NOISE, DIMENSIONS) for r in range(self.R + self.S)}
        self.shared = self._unit()
        # Distances to the oracles of other orders are measured for this contrast only; then orders differ too.
        self.is_crossed = any(c.contrast == "excess_path_gap" for c in study.comparisons)
        own = np.random.default_rng(11).normal(0, 0.002, (len(study.oracles()), DIMENSIONS)) * self.is_crossed
        self.of_order = {o.name: shift for o, shift in zip(study.oracles(), own, strict=True)}
        retains = [s.name for s in study.stages if s is not study.forget]
        self.sets = {"forget": 1.0, "held_out": 0.9, "generic": 0.25} | {
            f"retain:{n}": 0.5 + 0.12 * i for i, n in enumerate(retains)
        }

    def _unit(self) -> np.ndarray:
        v = self.rng.normal(size=DIMENSIONS)
        return v / np.linalg.norm(v)

    def is_finite(self, unlearning: str, r: int, step: int) -> bool:
        return not (unlearning == self.explode and r == 0 and step > 10)

    def forget_loss(self, p: int, unlearning: str, step: float) -> float:
        start = 1.25 - 0.18 * p
        rate = {"": 0.0, "ga": 0.02, "npo": 0.06, "simnpo": 0.035}[unlearning] * (1.25 - 0.16 * p / self.K * 2)
        if unlearning == "ga":
            return start * float(np.exp(rate * 2.6 * step))
        return start + (3.2 if unlearning == "npo" else 1.5) * (1 - float(np.exp(-rate * step)))

    def point(self, h: str, p: int, r: int, unlearning: str, step: int, where: float) -> np.ndarray:
        growth = {"": 0.0, "ga": 0.055, "npo": 0.02, "simnpo": 0.008}[unlearning]
        own = 0.011 * np.exp(growth * step) * self.direction[h] * (0.6 + 0.2 * p)
        toward = {"": 1.0, "ga": 1.0 + 0.02 * step, "npo": np.exp(-0.09 * step), "simnpo": np.exp(-0.05 * step)}[
            unlearning
        ]
        noise = self.seeds[r] + np.random.default_rng([r, step, p]).normal(0, NOISE * 0.5, DIMENSIONS)
        return where * (own + 0.035 * toward * self.shared) + noise

    def scalars(self) -> pd.DataFrame:
        out: list[tuple[object, ...]] = []
        probes = [
            ("forget_score:safety/label", -0.5, "nats/token"),
            ("forget_score:safety/paraphrases", -1.1, "nats/token"),
            ("answer_logprob:tofu", -0.4, "nats/token"),
        ]
        if any(s.name == "math" for s in self.study.stages):
            probes.append(("accuracy:math/strict", 0.82, "fraction"))
        rng = self.rng

        def put(h: str, r: int, u: str, step: int, probe: str, item: str, value: float, unit: str) -> None:
            ok = self.is_finite(u, r, step)
            out.append((h, r, u, step, probe, item, value if ok else None, unit, "ok" if ok else "censored"))

        def level(name: str, at: float, p: int, u: str, step: int, r: int) -> float:
            drop = {"": 0.0, "ga": 0.05, "npo": 0.03, "simnpo": 0.012}[u] * step * (1.1 - 0.1 * p)
            jitter = rng.normal(0, 0.02)
            if name.startswith("forget_score"):
                return at - 0.25 * (self.K - p) - 1.8 * drop + jitter
            if name.startswith("accuracy"):
                return float(np.clip(at - 0.35 * drop + 0.4 * jitter, 0, 1))
            return at - (0.25 if u == "ga" else 0.1) * drop * (1 + 0.15 * p) + jitter

        for h in self.histories:
            p = h.position() or 1
            for r in range(self.R):
                shift = rng.normal(0, 0.05)
                for u, steps in [("", (0,)), *((x.name, range(1, x.steps[-1] + 1)) for x in self.study.unlearnings)]:
                    for step in steps:
                        for i in range(FORGET_ITEMS):
                            value = self.forget_loss(p, u, step) + shift + 0.05 * i
                            put(h.name, r, u, step, "forget_loss", f"row-{i}", value, "nats/token")
                for u, steps in [("", (0,)), *((x.name, x.steps[1:]) for x in self.study.unlearnings)]:
                    for step in steps:
                        for name, at, unit in probes:
                            for i in range(2):
                                put(h.name, r, u, step, name, f"item-{i}", level(name, at, p, u, step, r), unit)
        for o in self.study.oracles():
            for r in range(self.R + self.S):
                for i in range(FORGET_ITEMS):
                    put(o.name, r, "", 0, "forget_loss", f"row-{i}", 2.4 + rng.normal(0, 0.05) + 0.05 * i, "nats/token")
                for name, at, unit in probes:
                    start = at - 2.4 if name.startswith("forget") else at + 0.01
                    for i in range(2):
                        put(o.name, r, "", 0, name, f"item-{i}", start + rng.normal(0, 0.03), unit)
        out += self._stage_losses()
        names = ["history", "replicate", "unlearning", "step", "probe", "item", "value", "unit", "status"]
        return typed(pd.DataFrame(out, columns=names).assign(against="", checkpoint="c0ffee", task="7a5c"))

    def _stage_losses(self) -> list[tuple[object, ...]]:
        seen: dict[str, object] = {"(base)": None}
        for h in (*self.histories, *self.study.oracles()):
            seen.update((prefix.name, prefix) for prefix in h.prefixes())
        out: list[tuple[object, ...]] = []
        for name in seen:
            order = [] if name == "(base)" else name.split(">")
            for stage in self.study.stages:
                since = len(order) - 1 - order.index(stage.name) if stage.name in order else None
                for r in range(self.R):
                    for i in range(2):
                        value = 4.1 if since is None else 0.55 + 0.2 * since
                        value += self.rng.normal(0, 0.04)
                        out.append((name, r, "", 0, f"stage_loss:{stage.name}", f"item-{i}", value, "nats/token", "ok"))
        return out

    def distances(self) -> pd.DataFrame:
        parts = []
        oracle_states = [(o.name, s) for o in self.study.oracles() for s in range(self.R + self.S)]
        for where, scale in self.sets.items():
            points = {
                (o, s): self.seeds[s]
                + self.of_order[o]
                + np.random.default_rng([s, 9]).normal(0, NOISE * 0.5, DIMENSIONS)
                for o, s in oracle_states
            }
            out: list[tuple[object, ...]] = []
            for i, (o, s) in enumerate(oracle_states):
                for o2, s2 in oracle_states[i + 1 :]:
                    if s != s2:
                        d = float(((points[o, s] - points[o2, s2]) ** 2).sum())
                        out.append((o, s, "", 0, str(StateName(history=o2, replicate=s2)), d))
            moments = [("", 0), *((u.name, step) for u in self.study.unlearnings for step in u.steps[1:])]
            for u, step in moments:
                states = {}
                for h in self.histories:
                    for r in range(self.R):
                        if self.is_finite(u, r, step):
                            states[h.name, r] = self.point(h.name, h.position() or 1, r, u, step, scale)
                for (h, r), x in states.items():
                    own = next(k for k in self.histories if k.name == h).oracle().name
                    for o, s in oracle_states:
                        if o == own or self.is_crossed:
                            d = float(((x - points[o, s]) ** 2).sum())
                            out.append((h, r, u, step, str(StateName(history=o, replicate=s)), d))
                order = [h.name for h in self.histories]
                for (a, r), x in states.items():
                    for (b, s), y in states.items():
                        if order.index(a) <= order.index(b) and r != s and (a != b or r < s):
                            other = StateName(history=b, replicate=s, unlearning=u, step=step)
                            out.append((a, r, u, step, str(other), float(((x - y) ** 2).sum())))
            frame = pd.DataFrame(out, columns=["history", "replicate", "unlearning", "step", "against", "value"])
            for measure, factor, unit in (
                ("hellinger", 1.0, "Hellinger²"),
                ("squared_l2", 1.7, "squared L2 on probabilities"),
            ):
                parts.append(
                    typed(
                        frame.assign(
                            value=frame["value"] * factor, probe=f"prediction:safety/{measure}", item=where, unit=unit,
                            status="ok", checkpoint="c0ffee", task="7a5c",
                        )
                    )
                )  # fmt: skip
        return pd.concat([p.astype(object) for p in parts], ignore_index=True).pipe(typed)


def margins_and_gaps(study: Study) -> pd.DataFrame:
    """Return label margins of all states and coupled gaps: what `rows` has not."""
    rng = np.random.default_rng(5)
    found: list[Row] = []

    def put(state: StateName, probe: str, item: str, unit: str, value: float, against: str = "") -> None:
        found.append(
            Row(
                history=state.history, replicate=state.replicate, unlearning=state.unlearning, step=state.step,
                probe=probe, item=item, against=against, value=value, unit=unit, status=Status.OK,
            )
        )  # fmt: skip

    names = [history.name for history in study.all_histories()]
    runs = study.replicates + study.oracle_replicates
    moments = [("", 0), *((u.name, step) for u in study.unlearnings for step in u.steps if step)]
    for oracle in study.oracles():
        for r in range(runs):
            for i in range(3):
                state = StateName(history=oracle.name, replicate=r)
                put(state, "label_margin:forget", f"i{i}", "nats", float(rng.normal()))
    for unlearning, step in moments:
        for name in names:
            for r in range(study.replicates):
                state = StateName(history=name, replicate=r, unlearning=unlearning, step=step)
                for i in range(3):
                    put(state, "label_margin:forget", f"i{i}", "nats", float(rng.normal(0.1 * step)))
        for a, b in combinations(names, 2):
            for r in range(study.replicates):
                one, two = (StateName(history=h, replicate=r, unlearning=unlearning, step=step) for h in (a, b))
                value = float(np.exp(0.02 * step + rng.normal(0, 0.1)))
                put(one, "gap/label_logp", "forget", "nats", value, str(two))
        for name in names:
            for r, s in combinations(range(study.replicates), 2):
                one, two = (StateName(history=name, replicate=q, unlearning=unlearning, step=step) for q in (r, s))
                value = float(np.exp(0.01 * step + rng.normal(0, 0.1)))
                put(one, "gap/label_logp", "forget", "nats", value, str(two))
    return frame_of(found)


PROVENANCE = {
    "study": "quickstart",
    "started": "2026-11-20T08:00:00+00:00",
    "finished": "2026-11-20T08:01:31+00:00",
    "seconds": 91.4,
    "package": "0.1.0",
    "python": "3.11.2",
    "platform": "Linux-6.1-x86_64",
    "cores": 2,
    "environment": {"threads": 1, "versions": {"torch": "2.13.0", "numpy": "2.4.6", "device": "cpu"}},
    "command": "retrain-equivalence run",
    "datasets": {
        name: {
            "source": f"generated:{name}", "revision": "1", "sha256": "ab" * 32, "licence": "MIT", "rows_read": 512,
            "warnings": [], "digest": "cd" * 32, "train": 460, "held_out": 52, "sensitive": False,
        }
        for name in ("instruct", "tofu", "math", "safety")
    },
    "model": {"recipe": {"tiny": "micro", "dtype": "float32"}, "source": "", "notes": []},
    "cost": {
        "base": {"tasks": 1, "seconds": 0.4, "tokens": 0, "steps": 0},
        "stage": {"tasks": 128, "seconds": 61.2, "tokens": 5120334, "steps": 8811},
        "unlearn": {"tasks": 96, "seconds": 22.7, "tokens": 1204401, "steps": 2880},
        "probe": {"tasks": 800, "seconds": 14.9, "tokens": 0, "steps": 0},
    },
    "sharing": {"shared": 128, "naive": 176},
    "tasks": {"planned": 1025, "reused": 0, "failed": [], "waiting": 0},
}  # fmt: skip


def write_results(directory: Path, text: str, *, frame: pd.DataFrame | None = None, explode: str = "",
                  provenance: dict[str, object] | None = None) -> Path:  # fmt: skip
    """Write a results folder as a run would, and return it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "study.yaml").write_text(text)
    study = load_study(directory / "study.yaml")
    (directory / "study.yaml").unlink()
    (directory / "study.lock.yaml").write_text(dump_study(study))
    table = rows(study, explode=explode) if frame is None else frame
    (directory / "rows.parquet").write_bytes(to_parquet(table))
    (directory / "findings.json").write_bytes(to_json(compare(table, study)))
    (directory / "provenance.json").write_text(
        json.dumps(PROVENANCE if provenance is None else provenance, sort_keys=True)
    )
    return directory


__all__ = ["PROVENANCE", "every_contrast", "frame_of", "margins_and_gaps", "rows", "study_text", "write_results"]
