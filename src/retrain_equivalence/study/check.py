"""What must hold between the parts of a study, checked before anything is computed, all of it at once.

Design. The checks work on a draft: a study in which a part may be missing because its form is wrong. Each check needs
some parts only and is skipped where they are missing, so a reader sees everything that is certain in the first run and
nothing that merely follows from another problem.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import product
from typing import Any

from retrain_equivalence.core.errors import visible
from retrain_equivalence.histories.history import History, Role
from retrain_equivalence.histories.orders import ORDERINGS, forget_at_position
from retrain_equivalence.recipes.dataset import DatasetRecipe
from retrain_equivalence.recipes.model import TinyModel
from retrain_equivalence.recipes.probe import PredictionProbe, ProbeRecipe, probe_kind, probe_name, probe_stage
from retrain_equivalence.study.check_parts import (
    AT_LEAST_0,
    AT_LEAST_1,
    DATASET_RANGES,
    POSITIVE,
    Range,
    check_dataset,
    check_model,
    check_name,
    check_probe,
    check_range,
    check_training,
    check_twins,
    is_sensitive,
    source_of,
)
from retrain_equivalence.study.check_unlearning import check_unlearning, last_step, saved_steps
from retrain_equivalence.study.form import Draft
from retrain_equivalence.study.places import Path, Places, suggestion
from retrain_equivalence.study.questions import LABELS, PREDICTION, check_question, recorded
from retrain_equivalence.study.study import ACKNOWLEDGEMENT, Comparison

MAX_STAGES = 12
FEW_REPLICATES = 3
FEWEST_AT_A_LOOK = 3
"""What a t interval over replicates needs to decide anything in practice."""


def check(draft: Draft) -> None:
    """Check a draft; problems and warnings are noted in its places."""
    places = draft.places
    _check_scalars(draft)
    _check_names(draft)
    if draft.model is not None:
        check_model(places, draft.model)
    from_scratch = isinstance(draft.model, TinyModel) or draft.model is None
    for i, stage in enumerate(draft.stages):
        if stage is not None:
            check_dataset(places, ("stages", i, "dataset"), stage.dataset)
            check_training(places, ("stages", i), stage.training, unlearning=False, from_scratch=from_scratch)
    for i, unlearning in enumerate(draft.unlearnings):
        if unlearning is not None:
            check_unlearning(draft, i, unlearning)
    for i, probe in enumerate(draft.probes):
        if probe is not None:
            _check_probe(draft, i, probe)
    if None not in draft.probes:
        for i, comparison in enumerate(draft.comparisons):
            if comparison is not None:
                _check_comparison(draft, i, comparison)
    if draft.placebo is not None:
        check_dataset(places, ("placebo",), draft.placebo)
    _check_sensitive(draft)
    _check_sources(draft)
    _check_forget(draft)
    _check_histories(draft)
    _check_given(draft)
    _check_size(draft)


def _check_scalars(draft: Draft) -> None:
    places = draft.places
    ranges = {
        "replicates": AT_LEAST_1,
        "oracle_replicates": AT_LEAST_0,
        "threads": AT_LEAST_1,
        "forget_level_items": Range(low=2),
        "max_artifacts": AT_LEAST_1,
    }
    for name, allowed in ranges.items():
        check_range(places, (name,), draft.scalars.get(name), allowed)
    seed = draft.scalars.get("seed")
    if seed is not None and not 0 <= seed < 2**63:
        places.add("E-CFG-15", ("seed",), f"must be >= 0 and < 2**63, found {seed}", "for example 0")
    question = draft.scalars.get("question")
    if question is not None and not question.strip():
        places.add("E-CFG-12", ("question",), "a study states its question before any result", "write one sentence")
    _check_looks(draft)
    replicates = draft.scalars.get("replicates")
    if replicates is not None and 1 <= replicates < FEW_REPLICATES and draft.comparisons:
        places.warn(
            "E-CFG-38",
            ("replicates",),
            f"with {replicates} replicates most verdicts are INCONCLUSIVE",
            "10 is a good start",
        )


def _check_looks(draft: Draft) -> None:
    looks, replicates = draft.scalars.get("looks") or (), draft.scalars.get("replicates")
    before = FEWEST_AT_A_LOOK - 1
    for i, look in enumerate(looks):
        if look <= before:
            what = "fewer replicates than any verdict needs" if not i else "looks ascend"
            fix = f"the first look is at {FEWEST_AT_A_LOOK} or more" if not i else f"write more than {before}"
            draft.places.add("E-CFG-34", ("looks", i), f"{what}, found {look}", fix)
        elif replicates is not None and look >= replicates:
            message = f"a look at {look} of {replicates} replicates is the end, which is judged anyway"
            draft.places.add("E-CFG-34", ("looks", i), message, "leave it out, or register more replicates")
        before = max(before, look)


def _check_names(draft: Draft) -> None:
    places = draft.places
    name = draft.scalars.get("name")
    if name is not None:
        check_name(places, ("name",), name)
    for block, names, what in (
        ("stages", draft.stage_names, "stage name"),
        ("unlearnings", draft.unlearning_names, "unlearning's name"),
    ):
        if len(names) != len(draft.stages if block == "stages" else draft.unlearnings):
            continue
        listed: list[tuple[Path, str]] = [((block, i, "name"), name) for i, name in enumerate(names)]
        for path, entry in listed:
            check_name(places, path, entry)
        check_twins(places, listed, what)
    probes: list[tuple[Path, str]] = [
        (("probes", i), probe_name(probe)) for i, probe in enumerate(draft.probes) if probe is not None
    ]
    check_twins(places, probes, "probe")


def _stages_known(draft: Draft) -> bool:
    return len(draft.stage_names) == len(draft.stages)


def _check_stage_name(draft: Draft, path: Path, name: str) -> bool:
    if not _stages_known(draft) or name in draft.stage_names:
        return True
    draft.places.add(
        "E-CFG-20", path, f"unknown stage '{visible(name, limit=40)}'", suggestion(name, draft.stage_names, "stages")
    )
    return False


def _check_stage_names(draft: Draft, path: Path, names: Iterable[str]) -> bool:
    """Check every name, also after a wrong one."""
    return all([_check_stage_name(draft, (*path, i), name) for i, name in enumerate(names)])  # noqa: C419


def _check_probe(draft: Draft, index: int, probe: ProbeRecipe) -> None:
    places, path = draft.places, ("probes", index)
    check_probe(places, path, probe)
    at = (*path, probe_kind(probe))
    if not _check_stage_name(draft, at, probe_stage(probe)):
        return
    stage = next((s for s in draft.stages if s is not None and s.name == probe_stage(probe)), None)
    if stage is not None:
        if probe.split == "held_out" and stage.dataset.held_out == 0:
            places.add(
                "E-CFG-24",
                (*path, "split"),
                f"stage '{stage.name}' has no held-out rows (held_out: 0)",
                "raise the stage's held_out",
            )
        if isinstance(probe, PredictionProbe) and stage.role is not Role.FORGET and _forget_name(draft) is not None:
            places.add(
                "E-CFG-24",
                at,
                f"a prediction snapshot is taken for the forget stage, found '{stage.name}'",
                f"write {_forget_name(draft)}: the retain stages are among its test sets",
            )
    if probe.at is not None:
        _check_at(draft, (*path, "at"), probe)


def _check_at(draft: Draft, path: Path, probe: ProbeRecipe) -> None:
    """Check that each step of `at` is saved somewhere, and that every unlearning has one of them after its start."""
    at, unlearnings = probe.at or (), [u for u in draft.unlearnings if u is not None]
    if not unlearnings or None in draft.unlearnings:
        return
    saved = {step for u in unlearnings for step in saved_steps(u)}
    if unsaved := [step for step in at if step not in saved]:
        draft.places.add("E-CFG-22", path, f"step {unsaved[0]} is saved by no unlearning", "add it to save_at")
        return
    for u in unlearnings:
        last = last_step(u)
        if u.replay is None and last is not None and not any(step in at for step in saved_steps(u) if step):
            draft.places.add(
                "E-CFG-22", path, f"unlearning '{u.name}' saves none of these steps after 0", f"add {last}, its last"
            )


def _forget_name(draft: Draft) -> str | None:
    found = [stage.name for stage in draft.stages if stage is not None and stage.role is Role.FORGET]
    return found[0] if len(found) == 1 and None not in draft.stages else None


def _holds_out(draft: Draft) -> bool:
    """Whether the forget stage keeps rows back; where that cannot be told, it is not held against a comparison."""
    forget = [stage for stage in draft.stages if stage is not None and stage.role is Role.FORGET]
    return len(forget) != 1 or forget[0].dataset.held_out != 0


def _check_comparison(draft: Draft, index: int, comparison: Comparison) -> None:
    places, path = draft.places, ("comparisons", index)
    probes = [probe for probe in draft.probes if probe is not None]
    before = len(places.problems)
    check_question(places, path, comparison, recorded(probes, draft.stage_names, held_out=_holds_out(draft)))
    if len(places.problems) == before:
        _check_end(draft, path, comparison)
        _check_enough(draft, path, comparison)
        _check_margin(places, path, comparison)
    if not comparison.family.strip():
        places.add("E-CFG-16", (*path, "family"), "a family's name cannot be empty", "for example primary")


def _check_end(draft: Draft, path: Path, comparison: Comparison) -> None:
    """Refuse a comparison of a probe that is not measured where unlearning ends, or of a growth without a window."""
    at, name = (*path, "probe"), comparison.probe.partition("/")[0]
    if name.partition(":")[0] in LABELS:
        name = PREDICTION  # whose snapshots they are read from
    probes = [p for p in draft.probes if p is not None and name in (probe_kind(p), probe_name(p))]
    for probe, u in product(probes, draft.unlearnings):
        if u is None or u.replay is not None or (last := last_step(u)) is None:
            continue  # a replayed model is one state, which every probe measures
        steps = [step for step in saved_steps(u) if not step or probe.at is None or step in probe.at]
        if steps == [0]:
            continue  # refused where `at` stands
        if last not in steps:
            message = f"'{probe_name(probe)}' is not measured at step {last}, the end of unlearning '{u.name}'"
            draft.places.add("E-CFG-24", at, message, f"add {last} to the probe's at")
        elif comparison.contrast == "growth":
            halves = [sum(2 * step <= last for step in steps) > 1, sum(2 * step >= last for step in steps) > 1]
            if not (any(halves) if comparison.margin is None else all(halves)):
                which = "one half" if comparison.margin is None else "each half"
                message = f"growth needs two measured steps in {which} of unlearning '{u.name}'"
                draft.places.add("E-CFG-24", at, message, "save more steps, for example [0, 5, 10, 20]")


def _check_enough(draft: Draft, path: Path, comparison: Comparison) -> None:
    """Warn of a comparison between histories in a study that has too few of them: nothing would be compared."""
    histories = _some_histories(draft)
    if histories is None:
        return
    needs = None
    if comparison.contrast in ("path_gap", "growth") and len(histories) < 2:
        needs = "two histories that are unlearned"
    if comparison.contrast == "recency" and len({h.position() for h in histories if not h.shuffle}) < 2:
        needs = "the forget stage at two positions"
    if needs:
        message = f"{comparison.contrast} needs {needs}, and this study has one: it is left out"
        draft.places.warn("E-CFG-38", (*path, "contrast"), message, "ask for more histories")


def _some_histories(draft: Draft) -> set[History] | None:
    """Return the histories that are unlearned, of all k! orders k of them; None where the draft does not say."""
    stages = [stage for stage in draft.stages if stage is not None]
    by_name = {stage.name: stage for stage in stages}
    histories, position = draft.scalars.get("histories"), draft.scalars.get("position")
    if len(stages) != len(draft.stages) or len(by_name) != len(stages) or _forget_name(draft) is None:
        return None
    if position is not None:
        return {forget_at_position(stages, position)}
    found: set[History] = set()
    for item in [histories] if isinstance(histories, str) else histories or ():
        if isinstance(item, str):
            name = "forget_at_each_position" if item == "all_orders" else item
            found.update(ORDERINGS[name](stages) if name in ORDERINGS else ())
        elif set(item) <= set(by_name):
            found.add(History(stages=tuple(by_name[name] for name in item)))
    return found or None


def _check_margin(places: Places, path: Path, comparison: Comparison) -> None:
    margin, at = comparison.margin, (*path, "margin")
    if margin is None:
        return
    if not margin.rationale.strip():
        places.add("E-CFG-23", (*at, "rationale"), "a margin needs its reason", "say in a few words why this much")
    if (margin.value is None) == (margin.times_band is None):
        found = "both" if margin.value is not None else "neither"
        places.add("E-CFG-23", at, f"exactly one of value and times_band is expected, found {found}", "keep one")
    elif margin.times_band is not None:
        if comparison.contrast != "oracle_distance":
            places.add(
                "E-CFG-23",
                (*at, "times_band"),
                "a multiple of the band belongs to a raw distance (oracle_distance)",
                f"give an absolute value for {comparison.contrast}",
            )
        elif margin.times_band <= 1:
            places.add(
                "E-CFG-23",
                (*at, "times_band"),
                f"must be > 1, found {margin.times_band:g}: a true retrain lies at 1 band",
                "1.5 or 2",
            )
    elif comparison.contrast == "oracle_distance":
        places.add(
            "E-CFG-23",
            (*at, "value"),
            "an absolute margin says nothing about a raw distance, whose null is not 0",
            "write times_band: 1.5",
        )
    else:
        check_range(places, (*at, "value"), margin.value, POSITIVE)


def _datasets(draft: Draft) -> Iterable[tuple[Path, str, DatasetRecipe]]:
    """Yield every data set with its place and what it is to the study."""
    if isinstance(draft.model, TinyModel) and draft.model.pretraining is not None:
        yield ("model", "pretraining", "dataset"), "the pretraining", draft.model.pretraining.dataset
    for i, stage in enumerate(draft.stages):
        if stage is not None:
            yield ("stages", i, "dataset"), f"the {stage.role} stage '{stage.name}'", stage.dataset
    if draft.placebo is not None:
        yield ("placebo",), "the placebo", draft.placebo
    for i, unlearning in enumerate(draft.unlearnings):
        if unlearning is not None and unlearning.preferred is not None and unlearning.preferred != "idk":
            yield ("unlearnings", i, "preferred"), "the preferred answers", unlearning.preferred


def _check_sensitive(draft: Draft) -> None:
    acknowledge = draft.scalars.get("acknowledge", "")
    first = next((path for path, _, dataset in _datasets(draft) if is_sensitive(dataset)), None)
    if first is not None and acknowledge != ACKNOWLEDGEMENT:
        draft.places.add(
            "E-CFG-25",
            ("acknowledge",) if acknowledge else first,
            "sensitive safety data need the study's acknowledgement, word for word",
            f'add acknowledge: "{ACKNOWLEDGEMENT}"',
        )


def _check_sources(draft: Draft) -> None:
    """Refuse one source of rows in two roles: what is forgotten would be trained elsewhere, or tested on itself."""
    seen: dict[tuple[str, str], tuple[str, Path, str]] = {}
    for path, what, dataset in _datasets(draft):
        source = source_of(dataset)
        role = what.split(" stage ")[0]
        if source in seen and not (role in ("the retain", "the preferred answers") and seen[source][0] == role):
            _, where, other = seen[source]
            line = draft.places.position(where).line
            first = f" (line {line})" if line else ""
            draft.places.add(
                "E-CFG-29", path, f"the same data serve {other}{first} and {what}", "give each role its own data"
            )
        seen.setdefault(source, (role, path, what))


def _check_forget(draft: Draft) -> None:
    if None in draft.stages:
        return
    forget = [i for i, stage in enumerate(draft.stages) if stage is not None and stage.role is Role.FORGET]
    for i, stage in enumerate(draft.stages):
        if stage is not None and stage.role is Role.PLACEBO:
            draft.places.add(
                "E-CFG-26",
                ("stages", i, "role"),
                "a placebo is no stage of the file",
                "give its data as placebo: and add `placebo` to histories",
            )
    if len(forget) != 1:
        path: Path = ("stages", forget[1], "role") if forget else ("stages",)
        draft.places.add(
            "E-CFG-18",
            path,
            f"exactly one stage has role: forget, found {len(forget)}",
            "keep the one that is unlearned" if forget else "add role: forget to the stage that is unlearned",
        )
        return
    stage = draft.stages[forget[0]]
    items = draft.scalars.get("forget_level_items")
    if (
        stage is not None
        and items is not None
        and stage.dataset.rows is not None
        and DATASET_RANGES["rows"].holds(stage.dataset.rows)
        and DATASET_RANGES["held_out"].holds(stage.dataset.held_out)
    ):
        left = math.floor(stage.dataset.rows * (1 - stage.dataset.held_out))
        if left < items:
            draft.places.add(
                "E-CFG-15",
                ("forget_level_items",),
                f"{items} items, but the forget stage trains on about {left} rows",
                "raise rows or lower forget_level_items",
            )


def _check_histories(draft: Draft) -> None:
    places = draft.places
    if "histories" not in draft.scalars or "position" not in draft.scalars:
        return
    histories, position = draft.scalars["histories"], draft.scalars["position"]
    if (histories is None) == (position is None):
        found = "both" if position is not None else "neither"
        places.add(
            "E-CFG-19",
            ("histories",) if position is not None else (),
            f"exactly one of histories and position is expected, found {found}",
            "keep one" if position is not None else "for example histories: forget_at_each_position",
        )
    k = len(draft.stages)
    if position is not None and not (1 <= position <= k) and k:
        places.add("E-CFG-19", ("position",), f"must be 1 to {k} (the number of stages), found {position}", "")
    asked = [histories] if isinstance(histories, str) else histories
    if asked is None:
        return
    _check_orders(draft, asked, listed=not isinstance(histories, str))
    if "placebo" in asked and draft.placebo is None and "placebo" not in _written(draft):
        at: Path = ("histories", asked.index("placebo")) if not isinstance(histories, str) else ("histories",)
        places.add(
            "E-CFG-26",
            at,
            "histories ask for a placebo and no data are given for it",
            "add placebo: {generated: …, rows: …}",
        )
    if "placebo" not in asked and draft.placebo is not None:
        places.add(
            "E-CFG-26",
            ("placebo",),
            "data for a placebo are given and no history asks for it",
            "add `placebo` to histories",
        )
    if not [item for item in asked if item != "placebo"]:
        places.add("E-CFG-19", ("histories",), "no order of the stages is asked for", "add forget_at_each_position")


def _written(draft: Draft) -> set[str]:
    """Return the top-level fields that stand in the file, also those whose form is wrong."""
    return {str(path[0]) for path in draft.places.positions if path}


def _check_orders(draft: Draft, asked: Iterable[Any], *, listed: bool) -> None:
    places = draft.places
    seen: list[Any] = []
    for i, item in enumerate(asked):
        at: Path = ("histories", i) if listed else ("histories",)
        if isinstance(item, str):
            if item not in (*ORDERINGS, "placebo"):
                fix = suggestion(item, (*ORDERINGS, "placebo"), "orderings")
                if item in draft.stage_names:
                    fix = "an explicit order is a list within the list: [[a, b, c], …]"
                places.add("E-CFG-19", at, f"unknown ordering '{visible(item, limit=40)}'", fix)
        elif _stages_known(draft) and _check_stage_names(draft, at, item):
            missing = [name for name in draft.stage_names if name not in item]
            twice = [name for j, name in enumerate(item) if name in item[:j]]
            if missing or twice:
                what = f"'{missing[0]}' is missing" if missing else f"'{twice[0]}' stands twice"
                places.add(
                    "E-CFG-19",
                    at,
                    f"an order names every stage once: {what}",
                    "the oracle leaves the forget stage out by itself",
                )
        if item in seen:
            places.add("E-CFG-19", at, "this order is asked for twice", "keep one")
        seen.append(item)


def _check_given(draft: Draft) -> None:
    places = draft.places
    replicates, more = draft.scalars.get("replicates"), draft.scalars.get("oracle_replicates")
    seen: dict[tuple[object, ...], int] = {}
    for i, given in enumerate(draft.given):
        if given is None:
            continue
        path: Path = ("given", i)
        if not given.path.strip():
            places.add("E-CFG-36", (*path, "path"), "a path cannot be empty", "name the model's folder")
        for j, name in enumerate(given.history):
            _check_stage_name(draft, (*path, "history", j), name)
        if len(set(given.history)) != len(given.history):
            places.add("E-CFG-36", (*path, "history"), "a stage stands twice", "name each stage once")
        if given.unlearning and given.unlearning not in draft.unlearning_names:
            places.add(
                "E-CFG-36",
                (*path, "unlearning"),
                f"unknown unlearning '{visible(given.unlearning, limit=40)}'",
                suggestion(given.unlearning, draft.unlearning_names, "unlearnings"),
            )
        if replicates is not None and more is not None and not 0 <= given.replicate < replicates + more:
            places.add(
                "E-CFG-36",
                (*path, "replicate"),
                f"must be 0 to {replicates + more - 1}, found {given.replicate}",
                "replicates count from 0",
            )
        state = (given.history, given.replicate, given.unlearning)
        if state in seen:
            places.add("E-CFG-36", path, f"the same state is given twice (given.{seen[state]})", "keep one")
        seen.setdefault(state, i)


def _count_histories(draft: Draft, asked: Iterable[Any]) -> int:
    k = len(draft.stages)
    counts = {"forget_at_each_position": k, "all_orders": math.factorial(k), "adjacent_swaps": k, "shuffle_only": 2}
    items = list(asked)
    orders = sum(counts.get(item, 0) if isinstance(item, str) else 1 for item in items)
    return orders * (2 if "placebo" in items else 1)


def _check_size(draft: Draft) -> None:
    """Refuse a plan that is too large, by its counts alone: k! orders are never listed for this."""
    scalars, places = draft.scalars, draft.places
    k = len(draft.stages)
    if k > MAX_STAGES:
        places.add("E-CFG-30", ("stages",), f"{k} stages, at most {MAX_STAGES} are planned", "join some of them")
        return
    needed = ("replicates", "oracle_replicates", "max_artifacts")
    if None in draft.unlearnings or any(scalars.get(name) is None for name in needed):
        return
    histories = scalars.get("histories")
    asked = [histories] if isinstance(histories, str) else histories or ["position"]
    n = _count_histories(draft, asked) if scalars.get("position") is None else 1
    per_unlearning = sum(len(u.save_at) or 2 for u in draft.unlearnings if u is not None)
    states = n * scalars["replicates"] * (k + per_unlearning) + n * scalars["oracle_replicates"] * max(k - 1, 0)
    if states > scalars["max_artifacts"] >= 1:
        runs = n * scalars["replicates"] * len(draft.unlearnings)
        at: Path = ("histories",) if histories is not None else ()
        places.add(
            "E-CFG-30",
            at,
            f"the plan is too large: {n:,} histories, {runs:,} unlearning runs, up to {states:,} states",
            f"fewer orders, replicates or saved steps, or raise max_artifacts (now {scalars['max_artifacts']:,})",
        )
