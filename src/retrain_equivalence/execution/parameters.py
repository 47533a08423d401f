"""Distances between weights: states to the oracles of their own order, and oracles among themselves.

    parameters/relative_l2        ‖θ_i - θ_j‖ / ‖θ_j‖ of a module's tensors, adapters merged
    parameters/cosine             cosine of θ_i - θ_0 and θ_j - θ_0, θ_0 the base that both were trained from
    parameters/relative_l2_lora   the same as the first, of the raw tensors A and B of two carried adapters

The item is the module (`all`, `embed`, `layers.3.attention`, ...). Rows are made only where a comparison names one of
the first two, since every state's weights are opened for them once more; before unlearning and at its last step.

A cosine has no value where the two states have other bases (replicates that are initialised each on their own), or
where training left a module alone. Raw adapters are compared before unlearning only: what unlearning adds is a fresh
adapter on top of the end model, another thing than the adapter that the oracle has carried. And A, B are known only up
to B R^-1, R A, so their distance depends on that choice: it describes files, not what they compute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from retrain_equivalence.core.identity import Key
from retrain_equivalence.execution.pair_row import pair_row
from retrain_equivalence.execution.specs import ParameterSpec, Snapshot
from retrain_equivalence.execution.states import ADAPTER, FULL, States, step_file
from retrain_equivalence.execution.weight_pairs import Pair, Weights, weight_pairs
from retrain_equivalence.metrics.parameter import cosine, relative_l2
from retrain_equivalence.metrics.parameter.modules import modules_of
from retrain_equivalence.models.weights import from_safetensors, weights_of
from retrain_equivalence.records.table import Row, frame_of, to_parquet
from retrain_equivalence.store.base import Store
from retrain_equivalence.study.questions import PARAMETERS

Arrays = Mapping[str, NDArray[np.float32]]

RELATIVE_L2, COSINE, RAW = (f"{PARAMETERS}/{name}" for name in ("relative_l2", "cosine", "relative_l2_lora"))
UNITS = {RELATIVE_L2: relative_l2.MERGED.unit, COSINE: cosine.CARD.unit, RAW: relative_l2.ADAPTER.unit}

WARM_ADAPTERS = 64
"""Raw adapters that are held at once; each is some megabytes at most."""


def parameter_values(store: Store, states: States, spec: ParameterSpec) -> bytes:
    """Return the rows of a parameter task as the bytes of a table segment.

    Args:
        store: where the states lie.
        states: opens them.
        spec: which states and distances.

    Returns:
        One row per pair, distance and module. A pair is censored if the trajectory of either had ended before, or
        weights of either have left the numbers; a distance that is undefined is unscored.
    """
    listed = [*spec.states, *spec.oracles]
    pairs = list(oracle_pairs(spec))
    there = [_is_there(store, state) for state in listed]
    present = [(i, j) for i, j in pairs if there[i] and there[j]]
    probes = [f"{PARAMETERS}/{measure}" for measure in spec.measures]
    model, _ = states.base(spec.bases[0][1])
    modules = modules_of(name for name, _ in model.named_parameters())
    rows: list[Row] = []
    for i, j in pairs:
        if not (there[i] and there[j]):
            rows += _rows(listed, (i, j), probes, modules, None)
    bases = dict(spec.bases)
    origins: dict[Key, Arrays] = {}
    for pair, one, two in weight_pairs(states, listed, present, bases):
        base, other = (bases[listed[i].name.replicate] for i in pair)
        if COSINE in probes and base == other and base not in origins:
            origins[base] = _arrays(weights_of(states.base(base)[0]))
        first, second = _arrays(one), _arrays(two)
        if not all(np.isfinite(array).all() for arrays in (first, second) for array in arrays.values()):
            rows += _rows(listed, pair, probes, modules, None)
            continue
        found: dict[str, Mapping[str, float | None]] = {}
        if RELATIVE_L2 in probes:
            found[RELATIVE_L2] = relative_l2.relative_l2(first, second, modules=modules)
        if COSINE in probes:
            found[COSINE] = cosine.cosine(first, second, origins[base], modules=modules) if base == other else {}
        rows += _rows(listed, pair, probes, modules, found)
    if RELATIVE_L2 in probes:
        rows += _raw_adapters(store, listed, present)
    return to_parquet(frame_of(rows))


def oracle_pairs(spec: ParameterSpec) -> Iterator[Pair]:
    """Yield which states are held against each other, as indices into states and oracles, (row's state, other state).

    A state against every replicate of its own oracle; before unlearning also oracles of different replicates.
    """
    n, own = len(spec.states), dict(spec.oracle_of)
    oracles = range(n, n + len(spec.oracles))
    name_of = [state.name for state in (*spec.states, *spec.oracles)]
    for i in range(n):
        yield from ((i, j) for j in oracles if name_of[j].history == own[name_of[i].history])
    if not spec.unlearning:
        for i in oracles:
            yield from ((i, j) for j in oracles if j > i and name_of[i].replicate != name_of[j].replicate)


def _is_there(store: Store, state: Snapshot) -> bool:
    """Whether the state was reached: an unlearning that left the numbers kept no later step."""
    files = store.get(state.state).manifest.files
    return not state.step or step_file(state.step, FULL) in files or step_file(state.step, ADAPTER) in files


def _arrays(weights: Weights) -> Arrays:
    return {name: tensor.float().numpy() for name, tensor in weights.items()}


def _raw_adapters(store: Store, listed: Sequence[Snapshot], pairs: Sequence[Pair]) -> Iterator[Row]:
    """Yield the distances between carried adapters, of the pairs of trained states that have one."""

    @lru_cache(maxsize=WARM_ADAPTERS)
    def adapter(i: int) -> Arrays | None:
        artifact = store.get(listed[i].state)
        if listed[i].name.unlearning or ADAPTER not in artifact.manifest.files:
            return None
        return _arrays(from_safetensors(artifact.path(ADAPTER)))

    for pair in pairs:
        one, two = adapter(pair[0]), adapter(pair[1])
        if one is not None and two is not None:
            modules = modules_of(one)
            found = {RAW: relative_l2.relative_l2(one, two, modules=modules)}
            yield from _rows(listed, pair, [RAW], modules, found)


def _rows(
    listed: Sequence[Snapshot],
    pair: Pair,
    probes: Sequence[str],
    modules: Iterable[str],
    found: Mapping[str, Mapping[str, float | None]] | None,
) -> Iterator[Row]:
    """Yield one row per probe and module; all are censored where one of the states is none."""
    one, two = (listed[i] for i in pair)
    for probe in probes:
        for module in modules:
            value = None if found is None else found[probe].get(module)
            yield pair_row(
                one, two, probe=probe, item=module, value=value, unit=UNITS[probe], present=found is not None
            )
