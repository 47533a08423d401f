"""What may be asked: which probes and alignments each contrast of `equivalence` answers.

Design. A comparison that no module answers would be dropped in silence, or read as if another one had been declared.
So whatever is not in this table is refused when the study is loaded, and `docs/studies.md` shows the same table. A row
stands here only if the numbers behind it are recorded: every pair of states has the distances of `OF_ALL_PAIRS`, the
other distances are recorded to the oracles alone, at the end; pairs of different steps have the primary one. Distances
between weights are recorded to the oracles, at the end, and only where a comparison names them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from retrain_equivalence.core.errors import visible
from retrain_equivalence.recipes.probe import (
    PROBE_KINDS,
    AccuracyProbe,
    ForgetScoreProbe,
    ProbeRecipe,
    probe_kind,
    probe_name,
    probe_stage,
)
from retrain_equivalence.study.places import Path, Places, suggestion
from retrain_equivalence.study.study import Comparison

Alignment = Literal["at_end", "at_each_step", "at_forget_level"]

FORGET_LOSS, STAGE_LOSS = "forget_loss", "stage_loss"
"""Recorded in every study, without a probe of its own."""

EXPECTED_LOSS, LABEL_MARGIN = "expected_loss", "label_margin"
LABELS = (EXPECTED_LOSS, LABEL_MARGIN)
"""Scalars that every prediction snapshot gives, one for each test set: `expected_loss:generic`."""

PREDICTION = "prediction"
PRIMARY = "hellinger"
"""The distance that `prediction` alone means."""
OF_ALL_PAIRS = (PRIMARY, "squared_l2")
DIRECTED = ("kl_oracle_to_state", "kl_state_to_oracle")
"""To the oracle they are described, never judged against a band."""
DISTANCES = (*OF_ALL_PAIRS, *DIRECTED, "jensen_shannon", "total_variation")
PARAMETERS = "parameters"
PARAMETER_DISTANCES = ("relative_l2", "cosine")
"""Between weights: they follow `parameters` after a slash, and none of them is meant by the word alone."""
MEASURES = {
    "forget_score": ("label", "paraphrases"),
    "accuracy": ("strict", "flexible", "samples_strict", "samples_flexible"),
    PREDICTION: DISTANCES,
    PARAMETERS: PARAMETER_DISTANCES,
}
"""Kind of probe -> the measures that may follow its full name after a slash."""

SCALARS = (*(kind for kind in PROBE_KINDS if kind != PREDICTION), FORGET_LOSS, *LABELS)

_END: tuple[Alignment, ...] = ("at_end",)
_STEPS: tuple[Alignment, ...] = ("at_end", "at_each_step")
_ANYWHERE: tuple[Alignment, ...] = (*_STEPS, "at_forget_level")
_LEVEL: tuple[Alignment, ...] = ("at_end", "at_forget_level")

ANSWERED: Mapping[str, Mapping[str, tuple[Alignment, ...]]] = {
    "oracle_distance": {
        **dict.fromkeys((*DISTANCES, *PARAMETER_DISTANCES), _END),
        **dict.fromkeys(OF_ALL_PAIRS, _ANYWHERE),
    },
    "oracle_bias": {PRIMARY: _ANYWHERE, "squared_l2": _STEPS},
    "improvement": dict.fromkeys((*DISTANCES, *PARAMETER_DISTANCES), _END),
    "path_gap": {PRIMARY: _ANYWHERE, "squared_l2": _STEPS, **dict.fromkeys(SCALARS, _STEPS)},
    "excess_path_gap": dict.fromkeys(OF_ALL_PAIRS, _STEPS),
    "path_spread": dict.fromkeys((*OF_ALL_PAIRS, *SCALARS), _STEPS),
    "growth": {PRIMARY: _END},
    "stopping_price": {PRIMARY: _END},
    "recency": {FORGET_LOSS: _LEVEL},
    "difference": dict.fromkeys(SCALARS, _STEPS),
    "distribution": {PRIMARY: _END, LABEL_MARGIN: _END},
}
"""Contrast -> what it compares (a distance between predictions, or a kind of scalar) -> the alignments that it has.

`at_end` is the default, and stands for itself where a contrast has one alignment only: `growth` and `stopping_price`
read the whole run and `recency` the forget level, whatever is left out.
"""

DESCRIBED = ("stopping_price", "distribution")
"""Contrasts without a verdict."""

Recorded = Mapping[str, tuple[str, tuple[str, ...]]]
"""Name that a comparison may give -> its kind, and the measures that may follow the name."""


def recorded(probes: Iterable[ProbeRecipe], stages: Iterable[str], *, held_out: bool) -> Recorded:
    """Return what a study records: probes by kind and by full name, and what is recorded without a probe of its own.

    Args:
        probes: the study's.
        stages: names of its stages.
        held_out: whether the forget stage has held-out rows.
    """
    names = tuple(stages)
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    labels: dict[str, tuple[str, tuple[str, ...]]] = {}
    for probe in probes:
        kind = probe_kind(probe)
        found |= {kind: (kind, ()), probe_name(probe): (kind, _measures(probe))}
        if kind == PREDICTION:
            retain = [f"retain:{name}" for name in names if name != probe_stage(probe)]
            sets = ("forget", *(("held_out",) if held_out else ()), *retain, "generic")
            labels |= {f"{label}{place}": (label, ()) for label in LABELS for place in ("", *(f":{s}" for s in sets))}
    found |= {FORGET_LOSS: (FORGET_LOSS, ())} | {f"{STAGE_LOSS}:{name}": (STAGE_LOSS, ()) for name in names}
    return found | labels | {PARAMETERS: (PARAMETERS, PARAMETER_DISTANCES)}


def parameter_distances(comparisons: Iterable[Comparison]) -> tuple[str, ...]:
    """Return which distances between weights the comparisons name: only these are computed."""
    named = {comparison.probe for comparison in comparisons}
    return tuple(name for name in PARAMETER_DISTANCES if f"{PARAMETERS}/{name}" in named)


def _measures(probe: ProbeRecipe) -> tuple[str, ...]:
    left_out = ""
    if isinstance(probe, ForgetScoreProbe) and not probe.paraphrases:
        left_out = "paraphrases"
    elif isinstance(probe, AccuracyProbe) and not probe.samples:
        left_out = "samples_"
    measures = MEASURES.get(probe_kind(probe), ())
    return tuple(name for name in measures if not left_out or not name.startswith(left_out))


def check_question(places: Places, path: Path, comparison: Comparison, known: Recorded) -> None:
    """Refuse a comparison that would not be answered as it is written.

    Args:
        places: where the problem is noted.
        path: the comparison's.
        comparison: what is asked.
        known: what the study records.
    """
    at, contrast = (*path, "probe"), comparison.contrast
    name, slash, measure = comparison.probe.partition("/")
    if name not in known:
        fix = suggestion(name, known, "recorded here")
        if name in (*PROBE_KINDS, *LABELS):
            fix = f"add {{{PREDICTION if name in LABELS else name}: STAGE}} to probes"
        places.add("E-CFG-24", at, f"no probe of this study gives '{visible(comparison.probe, limit=60)}'", fix)
        return
    kind, measures = known[name]
    if slash and measure not in measures:
        message = f"probe '{name}' has no measure '{visible(measure, limit=40)}'"
        fix = suggestion(measure, measures, "measures") or "leave the slash out"
        if name == kind != PARAMETERS and measure in MEASURES.get(kind, ()):
            message = "a measure follows a probe's full name, with its stage"
            full = next(other for other, (of, _) in known.items() if of == kind and other != kind)
            fix = f"write {full}/{measure}"
        places.add("E-CFG-24", at, message, fix)
        return
    compared = (measure or PRIMARY) if kind == PREDICTION else (measure or kind) if kind == PARAMETERS else kind
    alignments = ANSWERED[contrast].get(compared)
    if alignments is None:
        found = f"'{measure or kind}'" if kind != PREDICTION or measure else "prediction snapshots"
        fix = f"write {_example(contrast, kind)}"
        places.add("E-CFG-24", at, f"{contrast} compares {compared_words(contrast)}, found {found}", fix)
    elif comparison.alignment not in alignments:
        fix = f"write {' or '.join(alignments)}" if alignments not in (_END, _LEVEL) else "leave the alignment out"
        message = f"{contrast} of '{compared}' is not computed {comparison.alignment}"
        places.add("E-CFG-24", (*path, "alignment"), message, fix)
    elif comparison.margin is not None:
        directed = contrast == "oracle_distance" and compared in DIRECTED
        # A cosine is no distance, and the weights' way to the oracle has no scale on which a margin could be argued.
        weights = compared in PARAMETER_DISTANCES and (contrast, compared) != ("oracle_distance", "relative_l2")
        if contrast in DESCRIBED or directed or weights:
            what = f"the directed divergence '{compared}'" if directed else contrast
            what = f"{contrast} of '{compared}'" if weights else what
            places.add("E-CFG-23", (*path, "margin"), f"{what} is described, never judged", "leave the margin out")


def compared_words(contrast: str) -> str:
    """Return what a contrast compares, in words."""
    distances = [name for name in ANSWERED[contrast] if name in DISTANCES]
    scalars = [name for name in ANSWERED[contrast] if name in SCALARS]
    which = "" if len(distances) == len(DISTANCES) else f" by {' or '.join(distances)}"
    words = [f"prediction snapshots{which}"] if distances else []
    weights = [f"{PARAMETERS}/{name}" for name in ANSWERED[contrast] if name in PARAMETER_DISTANCES]
    if weights:
        words.append(f"weights by {' or '.join(weights)}")
    if scalars:
        words.append("a scalar probe" if len(scalars) > 1 else f"'{scalars[0]}'")
    return ", or ".join(words)


def _example(contrast: str, kind: str) -> str:
    """Return what may be compared instead, of the same kind if there is any."""
    if kind == PARAMETERS and (weights := [name for name in ANSWERED[contrast] if name in PARAMETER_DISTANCES]):
        return f"{PARAMETERS}/{weights[0]}"
    return PREDICTION if PRIMARY in ANSWERED[contrast] else FORGET_LOSS
