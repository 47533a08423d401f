"""What this study can and cannot claim: what a practitioner may take away, before any number in detail."""

from __future__ import annotations

from collections import Counter

from retrain_equivalence.equivalence import power, sign_flip
from retrain_equivalence.equivalence.finding import Finding, Verdict
from retrain_equivalence.figures.elements import Column, Record, Section, Table
from retrain_equivalence.report.distances import in_test_set_order, primary
from retrain_equivalence.report.material import Material
from retrain_equivalence.report.words import NOTHING, counted, interval, listed, number, probe, replicates, test_set

GUIDE, CALIBRATION = "docs/evaluating-unlearning.md", "docs/calibration.md"
POWER = 0.8


def claims(material: Material) -> Section:
    """Return the yardstick, what n can show, what is undecided and what would decide it, and what is not claimed."""
    said = (
        ("Whether it is finished", _state(material)),
        ("The yardstick", _yardstick(material)),
        ("If the order of training is not known", _orders(material)),
        ("What the number of runs can show", _reach(material)),
        ("What is undecided", _undecided(material)),
        ("Several questions at once", _multiplicity(material)),
        ("What is not claimed", _not_claimed(material)),
        ("Where to read on", f"{GUIDE} says how to choose margins and runs; {CALIBRATION} shows how often these "
                             "verdicts are wrong in simulations with known truth."),
    )  # fmt: skip
    open_questions = [f for f in _final(material) if f.verdict is Verdict.INCONCLUSIVE]
    return Section(
        name="claims",
        title="What this study can and cannot claim",
        points=tuple((about, text) for about, text in said if text),
        tables=(_needed(material, open_questions),) if open_questions else (),
    )


def _final(material: Material) -> list[Finding]:
    return [f for f in material.findings if f.verdict is not None and f.alignment != "at_step"]


def _state(material: Material) -> str:
    there, registered = material.runs
    study = material.study
    looks = f"looks at {listed([str(n) for n in study.looks])} of {study.replicates} replicates" if study.looks else ""
    if there == registered:
        return (
            f"All {counted(registered, 'registered run')} are in the table: {counted(study.replicates, 'replicate')} "
            f"of {counted(len(material.names), 'history', 'histories')}, trained and after each unlearning"
            + (f"; the error rate was spent over declared {looks} and the end" if looks else "")
            + "."
        )
    here = {r["registered"] - r["missing"] for r in material.tables["runs"]}
    if len(here) == 1 and here <= set(study.looks):
        return (
            f"{material.interim}: the declared look at {next(iter(here))} of {study.replicates} replicates. Verdicts "
            "stand at the stricter level that was reserved for it; everything may still change."
        )
    return (
        f"{material.interim}, and this is no declared look: numbers are described, nothing is decided before the "
        f"registered {counted(study.replicates, 'replicate')}."
    )


def _yardstick(material: Material) -> str:
    """Say what a model is compared with: its own order's oracle, beside the distance of oracles among themselves."""
    records = primary([r for r in material.tables["bands"] if not r["other_oracle"] and r["mean"] is not None])
    if not records:
        return (
            "No two oracle runs can be compared, so there is no band: how far two retrained models are from each other "
            "is not known, and no distance can be called small."
        )
    where = in_test_set_order(records)[0]
    own = [r for r in records if r["test_set"] == where]
    said = (
        "Each history is compared with models retrained in its own order without the forget stage, of other seeds. "
        "Two such models are not equal either"
    )
    if len(own) == 1:
        one = own[0]
        return (
            f"{said}: on {test_set(where)} their distance is {number(one['mean'])} {one['unit']} (95 % interval "
            f"{interval(one['low'], one['high'])}, n = {one['n']}). No unlearned model can be asked to be nearer."
        )
    return (
        f"{said}: on {test_set(where)} their distance is {_span(own)} {own[0]['unit']}, over "
        f"{counted(len(own), 'order')} ({replicates(r['n'] for r in own)} each). No unlearned model can be asked to be "
        "nearer."
    )


def _span(records: list[Record]) -> str:
    values = sorted(r["mean"] for r in records)
    low, high = number(values[0]), number(values[-1])
    return low if low == high else f"{low} to {high}"


def _orders(material: Material) -> str:
    """Say what stands in for the own-order oracle where nobody knows the order: the band over orders."""
    across = primary([r for r in material.tables["bands"] if r["other_oracle"]])
    known = [r for r in across if r["mean"] is not None]
    if not known:
        return (
            "There is then no unique model to be equivalent to. All histories here share one oracle, so how far "
            "oracles of different orders are apart cannot be told from this study."
        )
    where = in_test_set_order(known)[0]
    own = [r for r in known if r["test_set"] == where]
    within = primary([r for r in material.tables["bands"] if not r["other_oracle"] and r["mean"] is not None])
    beside = [r for r in within if r["test_set"] == where]
    return (
        "There is then no unique model to be equivalent to: report the band over orders. On "
        f"{test_set(where)} oracles of different orders are {_span(own)} {own[0]['unit']} apart"
        + (f", of one order {_span(beside)}" if beside else "")
        + ". What lies within the former is not told from a retrained model of some order."
    )


def _reach(material: Material) -> str:
    n = material.study.replicates
    runs = counted(n, "replicate") + (
        f" and {counted(material.study.oracle_replicates, 'oracle-only replicate')}"
        if material.study.oracle_replicates
        else ""
    )
    start = f"{runs}: a replicate is one draw of all seeds, and more items do not make more of them"
    if n < 2:
        return f"{start}. One replicate has no spread: there is no interval and no test."
    said = [
        start,
        f"a paired difference shows with {POWER:.0%} power from {number(power.detectable_effect(n), 2)} of its "
        "standard deviations",
        f"equal ones are found EQUIVALENT as often from a margin of {number(power.equivalence_margin(n), 2)} of them",
    ]
    least = sign_flip.smallest_n(1)
    if n < least:
        said.append(f"the exact sign flip cannot reach 5 % below {least} replicates, so it gives no p-value here")
    else:
        said.append(f"the exact sign flip can give no p-value below {number(2.0 ** (1 - n), 2)}")
    return "; ".join(said) + "."


def _undecided(material: Material) -> str:
    final = _final(material)
    undecided = [f for f in final if f.verdict is Verdict.INCONCLUSIVE]
    if not final:
        return "No margin was declared, so nothing is judged."
    if not undecided:
        return f"Nothing: all {counted(len(final), 'verdict')} are definite."
    needed = sorted(f.n_needed for f in undecided if f.n_needed is not None)
    said = f"{len(undecided)} of {counted(len(final), 'verdict')} {'is' if len(undecided) == 1 else 'are'} INCONCLUSIVE"
    said += ", which is neither equivalent nor different"
    if needed:
        span = f"{needed[0]:,}" if needed[0] == needed[-1] else f"{needed[0]:,} to {needed[-1]:,}"
        said += f". At the present estimates and spread {span} replicates would decide {len(needed)} of them"
    if len(needed) < len(undecided):
        said += f"; for {len(undecided) - len(needed)} no number of replicates is foreseen, for the reasons below"
    return said + "."


def _multiplicity(material: Material) -> str:
    used = Counter(f.p_adjustment for f in material.findings if f.p_adjusted is not None and f.p_adjustment)
    if not used:
        return ""
    parts = [f"{counted(count, 'p-value')} by {name}" for name, count in sorted(used.items())]
    return (
        f"P-values are adjusted within their declared family: {listed(parts)}. Verdicts are each at 5 %; intervals are "
        "each at 95 %, not jointly."
    )


def _not_claimed(material: Material) -> str:
    sets = in_test_set_order(primary(list(material.tables["distances"])))
    where = f" on {listed([test_set(name) for name in sets])}" if sets else ""
    return (
        f"Equivalence{where} within the margin is not absence of the data from the weights: other prompts, attacks on "
        "the weights and relearning were not tried. The result is of this model, these data and these "
        f"{counted(len(material.unlearned), 'history', 'histories')}; intervals are over seeds, for the very items "
        "that were scored."
    )


def _needed(material: Material, findings: list[Finding]) -> Table:
    groups: dict[tuple[str, str, str, str, str], list[Finding]] = {}
    for f in findings:
        groups.setdefault((f.contrast, f.quantity, f.probe, f.test_set, f.unlearning), []).append(f)

    def would_do(key: tuple[str, str, str, str, str]) -> str:
        needed = [f.n_needed for f in groups[key] if f.n_needed is not None]
        return number(max(needed)) if len(needed) == len(groups[key]) else NOTHING

    def reasons(key: tuple[str, str, str, str, str]) -> str:
        told = Counter(f.reason for f in groups[key] if f.reason)
        return told.most_common(1)[0][0] if told else ""

    return Table.of(
        "INCONCLUSIVE verdicts, and how many replicates would decide them (an outlook, not a promise)",
        (
            Column(head="question", text=lambda key: key[0].replace("_", " ")),
            Column(head="quantity", text=lambda key: key[1]),
            Column(head="of", text=lambda key: probe(key[2])),
            Column(head="test set", text=lambda key: test_set(key[3]) if key[3] else NOTHING),
            Column(head="unlearning", text=lambda key: key[4] or "trained"),
            Column(head="undecided", text=lambda key: number(len(groups[key])), numeric=True),
            Column(head="replicates now", text=lambda key: number(max(f.n for f in groups[key])), numeric=True),
            Column(head="would do", text=would_do, numeric=True),
            Column(head="the commonest reason", text=reasons),
        ),
        groups,
        folded=True,
    )
