"""How long `compare` takes and how much memory it needs, on tables of a million and of ten million rows.

The table is that of a study of all 24 orders of four stages with ten replicates and two unlearnings: distances of every
pair that the instrument records, item values of every state, with planted noise. Each size is compared in a process of
its own, and what is printed are its wall time and its largest resident set, reading and writing included.

    python benchmarks/compare_rows.py            # both sizes; about three minutes
    python benchmarks/compare_rows.py 1000000
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retrain_equivalence.execution.results_folder import LOCK, ROWS
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.records.table import COLUMNS, TEXT_COLUMNS
from retrain_equivalence.study.dump import dump_study
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.study import Study

STUDY = """
name: rows
question: How long does compare take?
model: {tiny: micro}
training: {learning_rate: 1e-3, num_train_epochs: 1}
stages:
  - {name: instruct, dataset: {generated: instructions, rows: 64}}
  - {name: tofu, dataset: {generated: authors, rows: 64}}
  - {name: math, dataset: {generated: arithmetic, rows: 64}}
  - {name: safety, role: forget, dataset: {generated: refusals, rows: 64}}
histories: all_orders
unlearning_training: {learning_rate: 1e-3, max_steps: 20}
unlearnings:
  - {name: ga, objective: ga, save_at: [0, 5, 10, 15, 20]}
  - {name: npo, objective: npo, beta: 0.1, save_at: [0, 5, 10, 15, 20]}
probes: [{answer_logprob: tofu}, {answer_logprob: math}, {prediction: safety}]
comparisons:
  - {contrast: oracle_distance, probe: prediction, margin: {times_band: 1.5, rationale: planted}}
  - {contrast: path_gap, probe: prediction, margin: {value: 0.01, rationale: planted}}
  - {contrast: improvement, probe: prediction, margin: {value: 0.01, rationale: planted}}
  - {contrast: recency, probe: forget_loss, margin: {value: 1, rationale: planted}}
  - {contrast: difference, probe: answer_logprob, margin: {value: 0.1, rationale: planted}}
replicates: 4
"""
SETS = ("forget", "held_out", "retain:tofu", "generic")
MEASURES = {"hellinger": "Hellinger²", "squared_l2": "squared L2 on probabilities"}
SCALARS = ("forget_loss", "answer_logprob:tofu", "answer_logprob:math")
LIMITS = {1_000_000: (30.0, 1.0), 10_000_000: (120.0, 3.0)}
"""Rows -> seconds and GB that it may take."""
REPLICATES = {1_000_000: 4, 10_000_000: 10}


def main() -> int:
    """Build the tables, compare each in a fresh process and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int, default=sorted(LIMITS))
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="write the figures as JSON too")
    given = parser.parse_args()
    if given.inside:
        return _compare(given.inside)
    found, code = [], 0
    for rows in given.rows:
        with tempfile.TemporaryDirectory() as name:
            made = write_table(Path(name), rows, REPLICATES.get(rows, 4))
            command = [sys.executable, __file__, "--inside", name]
            line = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - ourselves
        figures = {"rows": made, **json.loads(line)}
        seconds, gigabytes = LIMITS.get(rows, (float("inf"), float("inf")))
        within = figures["seconds"] < seconds and figures["gigabytes"] < gigabytes
        code |= not within
        found.append({**figures, "within": within})
        took = f"{figures['seconds']:.1f} s, {figures['gigabytes']:.2f} GB, {figures['findings']:,} findings"
        print(f"{made:,} rows: {took} ({'within' if within else 'NOT within'} {seconds:g} s and {gigabytes:g} GB)")
    if given.out:
        document = {"python": platform.python_version(), "machine": platform.machine(), "tables": found}
        given.out.write_text(json.dumps(document, indent=1) + "\n")
    return code


def _compare(folder: Path) -> int:
    from retrain_equivalence.execution.api import compare_folder

    start = time.perf_counter()
    findings = compare_folder(folder)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({"seconds": round(seconds, 2), "gigabytes": round(peak, 3), "findings": len(findings)}))
    return 0


def write_table(folder: Path, rows: int, replicates: int) -> int:
    """Write a results folder whose table has at least `rows` rows; return how many it has."""
    source = folder / "study.yaml"
    source.write_text(STUDY)
    study = load_study(source, overrides=[f"replicates={replicates}"])
    (folder / LOCK).write_text(dump_study(study))
    schema = pa.schema(
        [(name, pa.dictionary(pa.int32(), pa.string()) if name in TEXT_COLUMNS else
          pa.float64() if name == "value" else pa.int32()) for name in COLUMNS]
    )  # fmt: skip
    written = 0
    with pq.ParquetWriter(folder / ROWS, schema, compression="zstd") as writer:
        for block in (*_distances(study), *_scalars(study, rows)):
            writer.write_table(block.cast(schema))
            written += len(block)
    return written


def _places(study: Study) -> list[tuple[str, int]]:
    return [("", 0), *((u.name, step) for u in study.unlearnings for step in u.steps if step)]


def _block(
    states: list[StateName], probe: str, items: list[str], against: list[str], values: np.ndarray, unit: str
) -> pa.Table:
    n = len(values)
    columns: dict[str, pa.Array] = {
        "history": pa.array([state.history for state in states]).dictionary_encode(),
        "replicate": pa.array([state.replicate for state in states], pa.int32()),
        "unlearning": pa.array([state.unlearning for state in states]).dictionary_encode(),
        "step": pa.array([state.step for state in states], pa.int32()),
        "item": pa.array(items).dictionary_encode(),
        "against": pa.array(against).dictionary_encode(),
        "value": pa.array(values),
    }
    fixed = {"probe": probe, "unit": unit, "status": "ok", "checkpoint": "c" * 16, "task": ""}
    for name, text in fixed.items():
        columns[name] = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([text]))
    return pa.table({name: columns[name] for name in COLUMNS})


def _distances(study: Study) -> Iterator[pa.Table]:
    """Every pair that the instrument records: histories with their oracles, oracles, histories with histories."""
    rng = np.random.default_rng(0)
    replicates = range(study.replicates)
    histories = study.all_histories()
    names = [history.name for history in histories]
    oracle_of = {history.name: history.oracle().name for history in histories}
    oracles = [oracle.name for oracle in study.oracles()]
    for place, (unlearning, step) in enumerate(_places(study)):
        pairs: list[tuple[StateName, StateName, float]] = []
        for a in names:
            for r in replicates:
                one = StateName(history=a, replicate=r, unlearning=unlearning, step=step)
                pairs += [(one, StateName(history=oracle_of[a], replicate=s), 0.10) for s in replicates]
        for a, b in combinations_with_replacement(names, 2):
            for r in replicates:
                for s in replicates:
                    if r != s and (a != b or r < s):
                        one = StateName(history=a, replicate=r, unlearning=unlearning, step=step)
                        pairs.append((one, replace(one, history=b, replicate=s), 0.06 if a == b else 0.08))
        if not place:
            for a, b in combinations_with_replacement(oracles, 2):
                pairs += [
                    (StateName(history=a, replicate=r), StateName(history=b, replicate=s), 0.05)
                    for r in replicates for s in replicates if r != s and (a != b or r < s)
                ]  # fmt: skip
        ones, others, means = [p[0] for p in pairs], [str(p[1]) for p in pairs], np.array([p[2] for p in pairs])
        for measure, unit in MEASURES.items():
            for test_set in SETS:
                noise = np.exp(0.1 * rng.normal(size=len(pairs)))
                yield _block(ones, f"prediction:safety/{measure}", [test_set] * len(pairs), others, means * noise, unit)


def _scalars(study: Study, rows: int) -> Iterator[pa.Table]:
    """Item values of every state, as many items as fill the table."""
    rng = np.random.default_rng(1)
    states = [
        StateName(history=h.name, replicate=r, unlearning=unlearning, step=step)
        for h in study.all_histories() for unlearning, step in _places(study) for r in range(study.replicates)
    ]  # fmt: skip
    states += [StateName(history=o.name, replicate=r) for o in study.oracles() for r in range(study.replicates)]
    distances = sum(len(block) for block in _distances(study))
    n_items = max(2, -(-(rows - distances) // (len(states) * len(SCALARS))))
    items = [f"row-{k:06d}" for k in range(n_items)]
    for probe in SCALARS:
        for state in states:
            level = 0.05 * state.step + (0.0 if probe == "forget_loss" else -1.0)
            values = level + 0.1 * rng.normal(size=n_items) + 0.05 * rng.normal()
            yield _block([state] * n_items, probe, items, [""] * n_items, values, "nats/token")


if __name__ == "__main__":
    sys.exit(main())
