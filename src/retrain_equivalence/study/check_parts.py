"""What must hold for one part of a study by itself: numbers in their ranges, names that can be names."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from retrain_equivalence.core.errors import visible
from retrain_equivalence.recipes.dataset import DatasetRecipe, JsonlDataset, RefusalsDataset, TextDataset, kind_of
from retrain_equivalence.recipes.model import ALL_LINEAR, HubModel, Lora, LoraTuning, ModelRecipe, TinyModel
from retrain_equivalence.recipes.probe import ProbeRecipe
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.study.places import Path, Places, suggestion

MAX_NAME_BYTES = 64
RESERVED = frozenset(
    [
        *("tmp", "con", "prn", "aux", "nul", *(f"{device}{n}" for device in ("com", "lpt") for n in range(1, 10))),
        # Names that the results table gives to states and test sets of its own.
        *("base", "placebo", "generic", "oracle"),
    ]
)
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")

HIGH_FINE_TUNING_RATE = 1e-3
"""Above this a pretrained model is usually destroyed; models from scratch take more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A range of numbers, in words for the message and as a test."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def holds(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def words(self) -> str:
        low = f"{'>' if self.open_low else '>='} {self.low:g}" if self.low > -math.inf else ""
        high = f"{'<' if self.open_high else '<='} {self.high:g}" if self.high < math.inf else ""
        return " and ".join(part for part in (low, high) if part)


AT_LEAST_0, AT_LEAST_1 = Range(low=0), Range(low=1)
POSITIVE = Range(low=0, open_low=True)
SHARE = Range(low=0, high=1)
SHARE_BELOW_1 = Range(low=0, high=1, open_high=True)

TRAINING_RANGES = {
    "learning_rate": Range(low=0, high=1, open_low=True),
    "num_train_epochs": AT_LEAST_1,
    "max_steps": AT_LEAST_1,
    "max_tokens": AT_LEAST_1,
    "global_batch_size": AT_LEAST_1,
    "micro_batch_size": AT_LEAST_1,
    "max_length": Range(low=8),
    "adam_beta1": SHARE_BELOW_1,
    "adam_beta2": SHARE_BELOW_1,
    "adam_epsilon": POSITIVE,
    "weight_decay": AT_LEAST_0,
    "max_grad_norm": POSITIVE,
    "warmup_ratio": SHARE_BELOW_1,
    "decay_ratio": SHARE,
    "min_lr_ratio": SHARE,
}
DATASET_RANGES = {"rows": AT_LEAST_1, "held_out": SHARE_BELOW_1, "seed": AT_LEAST_0, "chunk_characters": Range(low=16)}
PROBE_RANGES = {
    "items": AT_LEAST_1,
    "samples": AT_LEAST_0,
    "temperature": POSITIVE,
    "max_new_tokens": AT_LEAST_1,
    "positions": AT_LEAST_1,
    "cells": Range(low=3),
    "max_rest": Range(low=0, high=1, open_low=True),
}
LORA_RANGES = {"rank": AT_LEAST_1, "alpha": POSITIVE}
_USUAL = {
    "learning_rate": "usual rates are 1e-6 to 1e-2",
    "replicates": "10 is a good start",
    "oracle_replicates": "0 adds none",
    "forget_level_items": "16 is a good start",
}
_SHARES = {"warmup_ratio", "decay_ratio", "min_lr_ratio", "held_out", "max_rest"}


def check_range(places: Places, path: Path, value: float | None, allowed: Range) -> bool:
    """Note a number outside its range; returns whether it is inside (or null)."""
    if value is None or allowed.holds(value):
        return True
    fix = ""
    if path[-1] in _SHARES and 1 < value <= 100:
        fix = f"for {value:g} % write {value / 100:g}"
    elif path[-1] in _USUAL:
        fix = _USUAL[str(path[-1])]
    places.add("E-CFG-15", path, f"must be {allowed.words()}, found {value:g}", fix)
    return False


def check_ranges(places: Places, path: Path, part: object, ranges: dict[str, Range]) -> None:
    """Check every number of a part that has a range."""
    for name, allowed in ranges.items():
        value = getattr(part, name, None)
        if isinstance(value, int | float) and not isinstance(value, bool):
            check_range(places, (*path, name), value, allowed)


def check_name(places: Places, path: Path, name: str) -> None:
    """Refuse a name that cannot stand in a file name, a table or a terminal on every system."""
    if not name:
        places.add("E-CFG-16", path, "a name cannot be empty", "letters, digits, `_` and `-`")
    elif unicodedata.normalize("NFC", name) != name:
        places.add(
            "E-CFG-16",
            path,
            "the name is not in Unicode's normal form NFC: it has a twin that looks the same",
            "type it again with single letters, or use ASCII",
        )
    elif len(name.encode()) > MAX_NAME_BYTES:
        places.add(
            "E-CFG-16", path, f"the name has {len(name.encode())} bytes, more than {MAX_NAME_BYTES}", "shorten it"
        )
    elif bad := sorted({c for c in name if not (c.isalnum() or c in "_-")}):
        shown = " ".join(repr(c) for c in bad[:5])
        places.add("E-CFG-16", path, f"a name is made of letters, digits, `_` and `-`, found {shown}", "rename it")
    elif not name[0].isalnum():
        places.add("E-CFG-16", path, f"a name begins with a letter or a digit, found '{name[0]}'", "rename it")
    elif name.lower() in RESERVED:
        places.add("E-CFG-16", path, f"the name '{name}' is reserved", f"for example {name}1")


def check_twins(places: Places, paths: Sequence[tuple[Path, str]], what: str) -> None:
    """Refuse two equal names, and names that differ in case only: a case-insensitive disk would mix them up."""
    seen: dict[str, tuple[str, Path]] = {}
    for path, name in paths:
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in seen:
            other, where = seen[folded]
            twin = "is used twice" if other == name else f"differs from '{other}' in case only"
            line = places.position(where).line
            first = f" (first in line {line})" if line else ""
            places.add("E-CFG-17", path, f"the {what} '{name}' {twin}{first}", "give each its own")
        else:
            seen[folded] = (name, path)


def check_training(
    places: Places, path: Path, training: TrainingRecipe, *, unlearning: bool, from_scratch: bool
) -> None:
    """Check one training: ranges, exactly one duration, micro-batch, and shares that fit together."""
    check_ranges(places, path, training, TRAINING_RANGES)
    given = [n for n in ("num_train_epochs", "max_steps", "max_tokens") if getattr(training, n) is not None]
    if unlearning and given != ["max_steps"]:
        found = ", ".join(given) or "nothing"
        places.add(
            "E-CFG-21",
            (*path, given[0]) if given else path,
            f"unlearning is counted in steps: max_steps alone is expected, found {found}",
            "add max_steps: 30",
        )
    elif not unlearning and len(given) != 1:
        found = " and ".join(given) or "none of them"
        at = (*path, given[-1]) if given else path
        places.add(
            "E-CFG-21",
            at,
            f"exactly one of num_train_epochs, max_steps, max_tokens is expected, found {found}",
            "keep one" if given else "for example num_train_epochs: 2",
        )
    if training.micro_batch_size is not None and training.micro_batch_size > training.global_batch_size:
        places.add(
            "E-CFG-15",
            (*path, "micro_batch_size"),
            f"must be at most global_batch_size ({training.global_batch_size}), found {training.micro_batch_size}",
            "leave it out for one pass per step",
        )
    if training.lr_scheduler_type == "wsd" and 1 < training.warmup_ratio + training.decay_ratio <= 2:
        places.add(
            "E-CFG-15", (*path, "warmup_ratio"), "warmup_ratio and decay_ratio add up to more than 1", "lower one"
        )
    if HIGH_FINE_TUNING_RATE < training.learning_rate <= 1 and not from_scratch:
        places.warn(
            "E-CFG-38",
            (*path, "learning_rate"),
            f"{training.learning_rate:g} is high for a pretrained model",
            "usual rates are 1e-6 to 1e-3",
        )


def check_dataset(places: Places, path: Path, dataset: DatasetRecipe) -> None:
    """Check the numbers and paths of a data set recipe."""
    check_ranges(places, path, dataset, DATASET_RANGES)
    kind = kind_of(dataset)
    if isinstance(dataset, JsonlDataset | TextDataset) and not getattr(dataset, kind).strip():
        places.add("E-CFG-12", (*path, kind), "a path cannot be empty", "name the file")


def is_sensitive(dataset: DatasetRecipe) -> bool:
    """Whether the texts of the data must never be shown, so that the study needs its acknowledgement."""
    return isinstance(dataset, RefusalsDataset) or (isinstance(dataset, JsonlDataset) and dataset.sensitive)


def source_of(dataset: DatasetRecipe) -> tuple[str, str]:
    """Return what the rows are read from: kind and which; equal sources mean shared rows."""
    kind = kind_of(dataset)
    which = str(getattr(dataset, kind))
    if isinstance(dataset, JsonlDataset | TextDataset):
        from pathlib import PurePosixPath

        return "file", str(PurePosixPath(which))
    return kind, which


def check_lora(places: Places, path: Path, lora: Lora, *, tiny: bool) -> None:
    """Check an adapter; dropout must be 0, or histories of one replicate would draw different masks.

    Args:
        places: where problems are noted.
        path: the adapter's.
        lora: the adapter.
        tiny: whether the model is the package's own, whose modules are known.
    """
    check_ranges(places, path, lora, LORA_RANGES)
    if lora.dropout != 0:
        places.add(
            "E-CFG-35",
            (*path, "dropout"),
            f"must be 0, found {lora.dropout:g}: dropout breaks pairing by seed",
            "leave it out",
        )
    if not lora.target_modules:
        places.add(
            "E-CFG-35",
            (*path, "target_modules"),
            "no module would get an adapter",
            "leave it out for all linear modules",
        )
    if len(set(lora.target_modules)) != len(lora.target_modules):
        places.add("E-CFG-17", (*path, "target_modules"), "a module is named twice", "name each once")
    for i, name in enumerate(lora.target_modules if tiny else ()):
        if name not in ALL_LINEAR:
            places.add(
                "E-CFG-35",
                (*path, "target_modules", i),
                f"a tiny model has no linear module '{visible(name, limit=40)}'",
                suggestion(name, ALL_LINEAR, "it has"),
            )


def check_tuning(places: Places, path: Path, tuning: object, *, tiny: bool) -> None:
    """Check `full` or adapters; arguments as in `check_lora`."""
    if isinstance(tuning, LoraTuning):
        check_lora(places, (*path, "lora"), tuning.lora, tiny=tiny)


def check_model(places: Places, model: ModelRecipe) -> None:
    """Check what the base model is and how it is tuned."""
    path: Path = ("model",)
    check_tuning(places, (*path, "tuning"), model.tuning, tiny=isinstance(model, TinyModel))
    if model.system_prompt is not None and model.template != "chat":
        places.add(
            "E-CFG-35",
            (*path, "system_prompt"),
            "a system prompt needs template: chat",
            "add template: chat, or leave it out",
        )
    if isinstance(model, TinyModel):
        if model.template == "chat":
            places.add("E-CFG-35", (*path, "template"), "a tiny model's tokenizer has no chat template", "write plain")
        if model.pretraining is not None:
            check_dataset(places, (*path, "pretraining", "dataset"), model.pretraining.dataset)
            check_training(
                places,
                (*path, "pretraining", "training"),
                model.pretraining.training,
                unlearning=False,
                from_scratch=True,
            )
    if isinstance(model, HubModel):
        if not _HUB.fullmatch(model.hub):
            places.add("E-CFG-16", (*path, "hub"), "expected organisation/name", "for example meta-llama/Llama-3.2-1B")
        if model.revision is not None and not _COMMIT.fullmatch(model.revision):
            places.add(
                "E-CFG-16",
                (*path, "revision"),
                "expected a commit of 40 hexadecimal digits: a branch or tag moves",
                "copy the commit from the model's page, or leave it out to lock it at the first fetch",
            )
    for name in ("path", "gguf"):
        if getattr(model, name, None) == "":
            places.add("E-CFG-12", (*path, name), "a path cannot be empty", "name the file or folder")


def check_probe(places: Places, path: Path, probe: ProbeRecipe) -> None:
    """Check the numbers of a probe recipe."""
    check_ranges(places, path, probe, PROBE_RANGES)
    if probe.at is not None and (not probe.at or list(probe.at) != sorted(set(probe.at)) or probe.at[0] < 0):
        places.add("E-CFG-22", (*path, "at"), "expected ascending steps, each once", "for example [0, 10, 30]")
