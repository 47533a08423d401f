"""Simulate, judge the gates, write the summary and the page; exit code 1 if a gate fails.

python -m benchmarks.calibration [--studies 20000] [--seed 1] [--only NAME ...] [--processes 2] [--second] [--dry]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from benchmarks.calibration.gates import FULL, Row, Run
from benchmarks.calibration.questions import QUESTIONS
from benchmarks.calibration.summary import PAGE, RESULTS, Summary, code_version, environment, page

FIRST, SECOND = RESULTS / "calibration.json", RESULTS / "calibration-second-seed.json"


def answer(name: str, studies: int, seed: int) -> tuple[str, tuple[Row, ...], float]:
    """Return the rows of one question and the seconds it took."""
    start = time.perf_counter()
    question = next(question for question in QUESTIONS if question.name == name)
    rows = tuple(question.ask(Run(studies=studies, seed=seed, name=name)))
    return name, rows, time.perf_counter() - start


def simulate(names: Sequence[str], studies: int, seed: int, processes: int) -> Summary:
    """Return what the named questions find, asked in several processes; the numbers do not depend on how many."""
    rows: dict[str, tuple[Row, ...]] = {}
    seconds: dict[str, float] = {}
    code = code_version()
    with ProcessPoolExecutor(processes) as pool:
        jobs = [pool.submit(answer, name, studies, seed) for name in names]
        for job in jobs:
            name, rows[name], seconds[name] = job.result()
            print(f"{name}: {len(rows[name])} numbers, {seconds[name]:.0f} s", flush=True)
    return Summary(seed=seed, studies=studies, code=code, environment=environment(), seconds=seconds, rows=rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    names = [question.name for question in QUESTIONS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("--studies", type=int, default=FULL, help="simulated studies a row")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="questions; nothing is written then")
    parser.add_argument("--second", action="store_true", help="write the summary of a second seed, and no page")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    chosen = parser.parse_args(arguments)
    found = simulate(chosen.only, chosen.studies, chosen.seed, chosen.processes)
    if chosen.only == names and not chosen.dry:
        found.write(SECOND if chosen.second else FIRST)
        first = Summary.read(FIRST) if FIRST.exists() else found
        second = Summary.read(SECOND) if SECOND.exists() else None
        PAGE.write_text(page(first, second, QUESTIONS), encoding="utf-8")
    for failure in found.failures:
        print(f"fails: {failure}", file=sys.stderr)
    print("all gates pass" if not found.failures else f"{len(found.failures)} gates fail")
    return int(bool(found.failures))


if __name__ == "__main__":
    raise SystemExit(main())
