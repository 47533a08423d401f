"""Reads `TOFU_EVAL.json` and its siblings, the logs that open-unlearning writes for one evaluated model.

Layout (`src/evals/base.py` and `src/evals/metrics/` of github.com/locuslab/open-unlearning): a JSON object from metric
to `{"agg_value": number, "value_by_index": {"0": {"prob": .., "avg_loss": ..}, ...}}`. Items are there for metrics of
single rows only; truth ratio, exact memorization and extraction strength log `score`, probabilities `prob` and
`avg_loss`, ROUGE `rougeL_recall` beside the texts, which are never read. A row with several answers logs lists: their
mean is the item, as open-unlearning aggregates them. Python writes NaN where a model collapsed: here that is an
undefined value, and counted.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.judging.runs import Group, Run, Runs

ITEM_FIELDS: tuple[str, ...] = ("score", "prob", "rougeL_recall", "avg_loss")
"""What an item's value is, by falling precedence, where the metric's name does not say `metric:field`."""

FORGET_QUALITY = "forget_quality"
TRUTH_RATIO = "forget_truth_ratio"
MOST_NAMED = 12
"""How many metrics a message names."""


class _Twice(ValueError):
    """A name appears twice in one object."""


def read_log(path: Path, metric: str) -> Run:
    """Return the run that a log describes.

    Args:
        path: a JSON file.
        metric: name in the log, or `name:field` for another field of its items, for example `forget_Q_A_Prob:avg_loss`.
            Without a field the run's value is `agg_value`; with one it is the mean over items, null if one of them is.
            `forget_quality` is a p-value, which is no score: the run has no value then, and its items are the truth
            ratios behind it.

    Raises:
        InputError: E-DATA-140 if the file cannot be read, E-DATA-141 if it is no JSON, E-DATA-142 if it is no
            evaluation log, E-DATA-143 if it does not have the metric, E-DATA-144 if a value is no number.
    """
    log = _opened(path)
    name, _, chosen = metric.partition(":")
    if metric == FORGET_QUALITY:
        name = TRUTH_RATIO
    if name not in log:
        raise InputError.of("E-DATA-143", str(path), *metric_missing(name, sorted(log)))
    entry = log[name]
    items = _items(path, name, entry, chosen)
    if chosen:
        if not items:
            raise InputError.of("E-DATA-144", str(path), f"{name} has no items to take {chosen} from", f"name {name}")
        known = [value for value in items.values() if value is not None]
        value = math.fsum(known) / len(known) if known and len(known) == len(items) else None
    else:
        value = None if metric == FORGET_QUALITY else _number(entry["agg_value"], f"{path}: {name}.agg_value")
    quality = log.get(FORGET_QUALITY)
    return Run(
        name=str(path),
        value=value,
        items=items,
        truth_ratios=_items(path, TRUTH_RATIO, log[TRUTH_RATIO], "") if TRUTH_RATIO in log else {},
        logged_forget_quality=None
        if quality is None
        else _number(quality["agg_value"], f"{path}: {FORGET_QUALITY}.agg_value"),
    )


def read_logs(unlearned: Sequence[Path], retrained: Sequence[Path], before: Sequence[Path], metric: str) -> Runs:
    """Return the runs of three groups of logs.

    Args:
        unlearned: one log for each unlearned model; a folder stands for every `*_EVAL.json` in and below it.
        retrained: one log for each model that was retrained without the forget rows.
        before: one log for each model before unlearning; may be empty.
        metric: see `read_log`.

    Raises:
        InputError: as `read_log`; E-DATA-140 for a folder without logs; E-DATA-147 if two logs have the same
            bytes, in one group or in two: one evaluation given twice would pass for two runs.
    """
    seen: dict[str, Path] = {}
    groups = {
        group: _read(_files(paths), metric, seen)
        for group, paths in ((Group.UNLEARNED, unlearned), (Group.RETRAINED, retrained), (Group.BEFORE, before))
    }
    return Runs(
        metric=metric,
        unlearned=groups[Group.UNLEARNED],
        retrained=groups[Group.RETRAINED],
        before=groups[Group.BEFORE],
    )


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.rglob("*_EVAL.json")) if path.is_dir() else [path]
        if not inside:
            raise InputError.of("E-DATA-140", str(path), "has no *_EVAL.json in or below it", "name the log files")
        found += inside
    return found


def _read(paths: Sequence[Path], metric: str, seen: dict[str, Path]) -> tuple[Run, ...]:
    """Return the runs of one group; `seen` holds the logs of the groups before, by their digest."""
    runs = tuple(read_log(path, metric) for path in paths)
    for path in paths:
        first = seen.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
        if first is not path:
            raise InputError.of(
                "E-DATA-147", str(path), f"is the same log as {first}", "give each run once, evaluated anew"
            )
    return runs


def metric_missing(name: str, known: Sequence[str]) -> tuple[str, str]:
    """Return message and fix for a metric that is not there."""
    near = difflib.get_close_matches(name, known, n=1)
    shown = ", ".join(known[:MOST_NAMED]) + (f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else "")
    return f"has no metric {name!r} (has: {shown})", f"--metric {near[0]}" if near else "name one of these"


def _opened(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return metric -> entry of a log, every entry with an `agg_value`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError.of("E-DATA-140", str(path), f"cannot be read ({error.strerror})", "name a log file") from None
    except UnicodeDecodeError as error:
        raise InputError.of(
            "E-DATA-141", str(path), f"byte {error.start} is not UTF-8", "fetch the file again"
        ) from None
    try:
        log = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        raise InputError.of("E-DATA-141", place, f"is not JSON ({error.msg})", "fetch the file again") from None
    except (_Twice, RecursionError) as error:
        raise InputError.of("E-DATA-141", str(path), f"is not a log ({error})", "fetch the file again") from None
    if not isinstance(log, dict) or not log:
        raise InputError.of("E-DATA-142", str(path), "is no object from metrics to values", "name a TOFU_EVAL.json")
    if all(isinstance(entry, int | float) for entry in log.values()):
        raise InputError.of("E-DATA-142", str(path), "is a summary without items", "name the _EVAL.json beside it")
    for name, entry in log.items():
        if not isinstance(entry, dict) or "agg_value" not in entry:
            raise InputError.of(
                "E-DATA-142", str(path), f"{name} is not an object with an agg_value", "name a TOFU_EVAL.json"
            )
    return log


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(f"{next(name for name in names if names.count(name) > 1)!r} appears twice")
    return found


def _items(path: Path, name: str, entry: Mapping[str, Any], chosen: str) -> dict[str, float | None]:
    """Return item -> value, empty where the metric has none."""
    logged = entry.get("value_by_index")
    if logged is None:
        return {}
    if not isinstance(logged, dict):
        raise InputError.of("E-DATA-142", str(path), f"{name}.value_by_index is no object", "fetch the file again")
    found: dict[str, float | None] = {}
    for item, fields in logged.items():
        if fields is None:
            found[item] = None
            continue
        place = f"{path}: {name}.value_by_index.{item}"
        if not isinstance(fields, dict):
            raise InputError.of("E-DATA-144", place, "is no object with a value", "fetch the file again")
        field = chosen or next((known for known in ITEM_FIELDS if known in fields), "")
        if field not in fields:
            has = ", ".join(sorted(fields)) or "nothing"
            raise InputError.of("E-DATA-144", place, f"has no field {chosen or ITEM_FIELDS[0]!r} (has: {has})",
                                f"--metric {name}:FIELD with one that it has")  # fmt: skip
        found[item] = _number(fields[field], f"{place}.{field}")
    return found


def _number(value: object, place: str) -> float | None:
    """Return a logged value: the mean of a list, null for null and for what is not finite."""
    if value is None:
        return None
    if isinstance(value, list) and value:
        parts = [_number(part, place) for part in value]
        known = [part for part in parts if part is not None]
        return math.fsum(known) / len(known) if len(known) == len(parts) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError.of("E-DATA-144", place, f"is {type(value).__name__}, not a number", "fetch the file again")
    return float(value) if math.isfinite(value) else None
