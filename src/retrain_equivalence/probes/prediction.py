"""Prediction snapshots: next-token probabilities at fixed positions of fixed texts, comparable between any two states.

Design. Retrain equivalence compares what two models would say next, so both must be asked at the same places and
answers must be sorted into the same cells. `choose_cells` decides both once, on the base model, before any result:
which tokens of which texts are scored, and which tokens have a cell of their own there. `snapshot` then reads any
state.

* Contexts are teacher-forced on frozen texts, never on a state's own words.
* Test sets are never pooled: every position carries its set's name and its item's id.
* A vocabulary of at most `cells` is kept whole. A larger one is lumped at each position into the base model's
  likeliest `cells - 2` tokens, the label (the token that the text goes on with), and the rest. The rest's mass is kept:
  where it is large, states look alike without being alike.
* Stored are log-probabilities in fp16: probabilities in fp16 would be 0 below 3e-8, which unlearned models reach at
  once, and every divergence to them infinite. The rounding is at most 2^-11 of the log-probability; measured on
  nearly flat predictions of 384 tokens, it moves a set's squared Hellinger distance by less than 1e-6 + 3e-4 of it.

Source: Yu et al. (2025), Definition 2.1, with fixed cells as a deviation for large vocabularies.

Legend: P scored positions of all sets, C cells, L listed cells (all but the rest), N positions of a batch, V tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.core.identity import Digest, canonical_json, digest_of_bytes
from retrain_equivalence.probes.scoring import Size, batches, encode_answer

if TYPE_CHECKING:
    import torch

    from retrain_equivalence.data.example import Example
    from retrain_equivalence.models.codec import Codec, Encoded
    from retrain_equivalence.probes.base import Subject
    from retrain_equivalence.recipes.probe import PredictionProbe


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredText:
    """One text and the tokens of it that are scored."""

    set_name: str
    """`forget`, `held_out`, `retain:<stage>`, `generic`."""
    item: str
    """The row's id."""
    ids: tuple[int, ...]
    """The tokens up to and including the last scored one."""
    targets: tuple[int, ...]
    """Indices into `ids`, ascending, each >= 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """What is asked of every state: texts, positions and cells, fixed beforehand."""

    texts: tuple[ScoredText, ...]
    """Positions are the targets of these texts, in order."""
    vocabulary_size: int
    """Width of the model's output."""
    listed_PL: NDArray[np.int32] | None
    """Tokens with a cell of their own, different within a position, the label last; None keeps the vocabulary whole."""

    @property
    def positions(self) -> tuple[tuple[str, str], ...]:
        """Set name and item id of every position."""
        return tuple((text.set_name, text.item) for text in self.texts for _ in text.targets)

    @property
    def lumped(self) -> bool:
        """Whether there is a rest cell, so that distances are bounds."""
        return self.listed_PL is not None

    @property
    def digest(self) -> Digest:
        """SHA-256 of texts, positions and cells: only snapshots of equal cells may be compared."""
        listed = b"" if self.listed_PL is None else np.ascontiguousarray(self.listed_PL).tobytes()
        asked = canonical_json({"vocabulary_size": self.vocabulary_size, "texts": self.texts}).encode()
        return digest_of_bytes(asked + b"\0" + listed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What one state says at every position."""

    log_probabilities_PC: NDArray[np.float16]
    """Nats; the last cell is the rest if there is one. Rows sum to one up to rounding."""
    rest_P: NDArray[np.float32]
    """Mass of the rest cell; 0 where the vocabulary is kept whole; nan where the state has no distribution."""
    set_names: tuple[str, ...]
    """Per position."""
    items: tuple[str, ...]
    """Per position: the row's id."""
    cells: Digest
    """Digest of the cells it was taken with."""
    lumped: bool
    """Whether there is a rest cell."""

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Probabilities, shape [P, C], each row scaled to sum to one, which rounding to fp16 had undone."""
        return self.probabilities_at(slice(None))

    def probabilities_at(self, positions: NDArray[np.int64] | slice) -> NDArray[np.float64]:
        """The same at some positions."""
        values_PC = np.exp(self.log_probabilities_PC[positions].astype(np.float64))
        return np.asarray(values_PC / values_PC.sum(axis=1, keepdims=True))

    @property
    def is_finite(self) -> bool:
        """Whether every position has a distribution; a state that has left the numbers has no distance to anything."""
        return not bool(np.isnan(self.log_probabilities_PC).any())

    @property
    def sets(self) -> tuple[str, ...]:
        """The test sets, in order of first appearance."""
        return tuple(dict.fromkeys(self.set_names))

    def positions_of(self, set_name: str) -> NDArray[np.int64]:
        """Return the positions that belong to a set."""
        return np.flatnonzero(np.asarray(self.set_names) == set_name)

    def item_index(self, set_name: str) -> NDArray[np.int64]:
        """Return the item of each position of a set, as integers from 0 in order of first appearance."""
        numbers: dict[str, int] = {}
        inside = (item for name, item in zip(self.set_names, self.items, strict=True) if name == set_name)
        return np.asarray([numbers.setdefault(item, len(numbers)) for item in inside], dtype=np.int64)


def spread(n_targets: int, positions: int) -> tuple[int, ...]:
    """Return at most `positions` of the indices 0 .. n_targets - 1, spread evenly, always with the first.

    >>> spread(10, 4), spread(2, 4)
    ((0, 2, 5, 7), (0, 1))
    """
    count = min(n_targets, positions)
    return tuple(place * n_targets // count for place in range(count))


def scored_texts(
    codec: Codec, sets: Mapping[str, Sequence[Example]], recipe: PredictionProbe, *, max_length: int | None = None
) -> tuple[ScoredText, ...]:
    """Return the texts and the positions in them that are scored: a function of the rows, never stored.

    Args:
        codec: the study's.
        sets: set name -> texts.
        recipe: how many positions per item.
        max_length: longer texts are cut here, as they are in training; null takes them whole.
    """
    texts = []
    for set_name, examples in sets.items():
        for example in examples:
            row = encode_answer(codec, example, max_length)
            targets = tuple(row.n_prompt + place for place in spread(len(row.ids) - row.n_prompt, recipe.positions))
            ids = tuple(row.ids[: targets[-1] + 1])
            texts.append(ScoredText(set_name=set_name, item=example.id, ids=ids, targets=targets))
    return tuple(texts)


def choose_cells(
    subject: Subject,
    sets: Mapping[str, Sequence[Example]],
    recipe: PredictionProbe,
    *,
    max_length: int | None = None,
) -> Cells:
    """Decide, on the base model, what every state will be asked.

    Args:
        subject: the base model and the study's codec.
        sets: set name -> texts. Any texts will do, for example forget prompts with answers that an independent oracle
            has given.
        recipe: how many positions per item and how many cells.
        max_length: longer texts are cut here, as they are in training; null takes them whole.

    Returns:
        The cells. The base model is read only if the vocabulary is larger than `recipe.cells`.

    Raises:
        ValueError: if `recipe.cells` is below 3 and the vocabulary larger: a top token, the label and the rest.
    """
    texts = scored_texts(subject.codec, sets, recipe, max_length=max_length)
    cells = Cells(texts=texts, vocabulary_size=int(subject.model.config.vocab_size), listed_PL=None)
    if cells.vocabulary_size <= recipe.cells:
        return cells
    if recipe.cells < 3:
        raise ValueError("a lumped vocabulary needs at least 3 cells: a top token, the label and the rest")
    listed = np.empty((len(cells.positions), recipe.cells - 1), dtype=np.int32)
    labels_P = np.asarray([text.ids[target] for text in texts for target in text.targets], dtype=np.int64)
    for places, logp_NV in _distributions(subject, cells):
        labels = labels_P[places]
        rows = np.arange(len(places))
        logp_NV[rows, labels] = -np.inf  # The label has its own cell; the top tokens are the others.
        top = _top(logp_NV, recipe.cells - 2)
        listed[places] = np.concatenate([top, labels[:, None]], axis=1)
    return replace(cells, listed_PL=listed)


def snapshot(subject: Subject, cells: Cells) -> Snapshot:
    """Return what `subject` says at every position of `cells`.

    Raises:
        ValueError: if the model's vocabulary is not the one that the cells were chosen for.
    """
    found = int(subject.model.config.vocab_size)
    if found != cells.vocabulary_size:
        raise ValueError(f"the cells are for {cells.vocabulary_size} tokens, the model has {found}")
    n_cells = cells.vocabulary_size if cells.listed_PL is None else cells.listed_PL.shape[1] + 1
    log_probabilities = np.empty((len(cells.positions), n_cells), dtype=np.float16)
    rest_P = np.zeros(len(cells.positions), dtype=np.float32)
    for places, logp_NV in _distributions(subject, cells):
        # Below -65504 nats fp16 has only minus infinity, which is a probability of 0; an empty rest is 0 too.
        with np.errstate(over="ignore", divide="ignore"):
            if cells.listed_PL is None:
                log_probabilities[places] = logp_NV
                rest_P[places] = np.where(np.isnan(logp_NV).any(axis=1), np.nan, 0.0)
                continue
            listed = cells.listed_PL[places]
            log_probabilities[places, :-1] = np.take_along_axis(logp_NV, listed, axis=1)
            # The rest is summed, not taken as one minus the listed: 1 - 0.9999999 has lost its digits.
            np.put_along_axis(logp_NV, listed, -np.inf, axis=1)
            rest_logps = np.log(np.exp(logp_NV.astype(np.float64)).sum(axis=1))
            log_probabilities[places, -1] = rest_logps
            rest_P[places] = np.exp(rest_logps)
    named = cells.positions
    return Snapshot(
        log_probabilities_PC=log_probabilities,
        rest_P=rest_P,
        set_names=tuple(name for name, _ in named),
        items=tuple(item for _, item in named),
        cells=cells.digest,
        lumped=cells.lumped,
    )


def _top(logp_NV: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the `count` likeliest tokens of each row, sorted by token; ties go to the smaller token."""
    order = np.argsort(-logp_NV, axis=1, kind="stable")[:, :count]
    return np.sort(order, axis=1)


def _distributions(subject: Subject, cells: Cells) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Yield, batch by batch, position numbers and the model's log-distributions there, shape [N, V]."""
    import torch

    from retrain_equivalence.models.forward import log_distributions, pad

    counts = [len(text.targets) for text in cells.texts]
    first = np.concatenate([[0], np.cumsum(counts)])
    sizes = [Size(tokens=len(text.ids), targets=len(text.targets)) for text in cells.texts]
    with torch.inference_mode():
        for batch in batches(sizes, cells.vocabulary_size, subject.model.device.type):
            texts = [cells.texts[index] for index in batch]
            padded = pad([_encoded(text) for text in texts], subject.codec.pad_id)
            padded = replace(padded, targets_BT=_mask(padded.targets_BT, texts)).to(subject.model.device)
            logp_NV, _ = log_distributions(subject.model, padded)
            places = np.concatenate([np.arange(first[index], first[index + 1]) for index in batch])
            yield places, logp_NV.float().cpu().numpy()


def _encoded(text: ScoredText) -> Encoded:
    from retrain_equivalence.models.codec import Encoded

    return Encoded(id=text.item, ids=text.ids, n_prompt=text.targets[0])


def _mask(like_BT: torch.Tensor, texts: Sequence[ScoredText]) -> torch.Tensor:
    import torch

    mask_BT = torch.zeros_like(like_BT)
    for row, text in enumerate(texts):
        mask_BT[row, list(text.targets)] = True
    return mask_BT


def cells_to_files(cells: Cells) -> dict[str, bytes]:
    """Return `cells.json` and, for lumped vocabularies, `cells.safetensors`; equal cells give equal bytes.

    The texts are not among them: their token ids decode to rows, and rows of sensitive sets are never written.
    """
    from safetensors.numpy import save

    about = {"vocabulary_size": cells.vocabulary_size, "digest": cells.digest, "lumped": cells.lumped}
    files = {"cells.json": canonical_json(about).encode()}
    if cells.listed_PL is not None:
        files["cells.safetensors"] = save({"listed": np.ascontiguousarray(cells.listed_PL)})
    return files


def cells_from_files(files: Mapping[str, bytes], texts: tuple[ScoredText, ...]) -> Cells:
    """Read what `cells_to_files` wrote, and put the texts back.

    Raises:
        InputError: E-DATA-92 if the texts are not those that the cells were chosen for.
    """
    import json

    from safetensors.numpy import load

    about = json.loads(files["cells.json"])
    listed = load(files["cells.safetensors"])["listed"] if about["lumped"] else None
    cells = Cells(texts=texts, vocabulary_size=about["vocabulary_size"], listed_PL=listed)
    if cells.digest != about["digest"]:
        raise InputError.of("E-DATA-92", "cells.json", "the scored texts are not those of the plan", "run again")
    return cells


def to_files(taken: Snapshot) -> dict[str, bytes]:
    """Return `snapshot.safetensors` and `snapshot.json`; equal snapshots give equal bytes."""
    from safetensors.numpy import save

    about = {
        "set_names": taken.set_names,
        "items": taken.items,
        "cells": taken.cells,
        "lumped": taken.lumped,
    }
    arrays = {
        "log_probabilities": np.ascontiguousarray(taken.log_probabilities_PC),
        "rest": np.ascontiguousarray(taken.rest_P),
    }
    return {"snapshot.safetensors": save(arrays), "snapshot.json": canonical_json(about).encode()}


def from_files(files: Mapping[str, bytes]) -> Snapshot:
    """Read what `to_files` wrote."""
    import json

    from safetensors.numpy import load

    about = json.loads(files["snapshot.json"])
    arrays = load(files["snapshot.safetensors"])
    return Snapshot(
        log_probabilities_PC=arrays["log_probabilities"],
        rest_P=arrays["rest"],
        set_names=tuple(about["set_names"]),
        items=tuple(about["items"]),
        cells=Digest(about["cells"]),
        lumped=about["lumped"],
    )
