"""The answer first: one plain sentence per declared comparison, and the warnings that a reader must not miss.

Nothing is decided here. A sentence counts the verdicts that `compare` gave to the histories and names the one that is
farthest from its margin's good side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from retrain_equivalence.equivalence.finding import Finding, Verdict
from retrain_equivalence.figures.elements import Column, Section, Table
from retrain_equivalence.report.material import Material
from retrain_equivalence.report.recency_words import sentence
from retrain_equivalence.report.words import counted, interval, listed, number, probe, test_set, upper_first

MOVED_NOTHING = 0.01
"""A change of the forget loss below this many nats per token is said to be none; the warning names the number."""

MOST_STATEMENTS = 8
"""Sentences that stand open under the answer."""

CONTRASTS = {
    "oracle_distance": "distance to the retrain oracle",
    "oracle_bias": "distance to the retrain oracle without seed noise",
    "improvement": "improvement of the distance to the oracle",
    "path_gap": "path gap between histories",
    "excess_path_gap": "path gap beyond that of the oracles",
    "path_spread": "variance between histories",
    "growth": "rate at which histories part",
    "recency": "recency",
    "difference": "difference to the retrain oracle",
}
RANK = {name: i for i, name in enumerate(CONTRASTS)}
ORDER = (Verdict.DIFFERENT, Verdict.INCONCLUSIVE, Verdict.EQUIVALENT)
SYMBOLS = {Verdict.EQUIVALENT: "✓", Verdict.DIFFERENT: "✕", Verdict.INCONCLUSIVE: "?"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """A verdict in colour, symbol and word."""

    kind: str
    """`equivalent`, `different`, `inconclusive`."""
    symbol: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One sentence of the answer."""

    badges: tuple[Badge, ...]
    about: str
    says: str
    reason: str
    id: str
    """Of the finding whose numbers the sentence has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Unlearnings down, test sets across, one group of verdicts per cell."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[tuple[Badge, ...], str], ...]], ...]
    """Per row its head and, per cell, badges and a short text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The first screen."""

    headline: str
    scope: str
    """What was judged how often; empty if nothing was."""
    by_unlearning: str
    """The same counts, method by method; empty if there is one method."""
    matrices: tuple[Matrix, ...]
    statements: tuple[Statement, ...]
    """The most important ones."""
    more: tuple[Statement, ...]
    """The others, which a reader may open."""
    warnings: tuple[str, ...]


def answer(material: Material) -> Answer:
    """Return the answer of a study."""
    judged = [f for f in material.findings if f.verdict is not None]
    final = [f for f in judged if f.alignment != "at_step"]
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in sorted(final, key=lambda f: _place(material, f)):
        key = (
            finding.contrast,
            finding.probe,
            finding.quantity,
            finding.alignment,
            finding.unlearning,
            finding.test_set,
        )
        groups.setdefault(key, []).append(finding)
    ranked = sorted(groups, key=lambda key: _importance(groups[key][0]))
    first = set(ranked[:MOST_STATEMENTS])
    return Answer(
        headline=_headline(_main(final)),
        scope=_scope(material, final),
        by_unlearning=_by_unlearning(material, _main(final)),
        matrices=_matrices(material, groups),
        statements=tuple(_statement(material, groups[key]) for key in groups if key in first),
        more=tuple(_statement(material, groups[key]) for key in groups if key not in first),
        warnings=tuple(warnings(material)),
    )


def _importance(f: Finding) -> tuple[int, int]:
    """What an answer needs first: forget items and what has no test set; nearness to the oracle, then recency."""
    contrasts = ("oracle_distance", "oracle_bias", "recency", "path_gap", "difference", "improvement", "growth")
    rank = contrasts.index(f.contrast) if f.contrast in contrasts else len(contrasts)
    return f.test_set not in ("", "forget"), rank


def _place(material: Material, f: Finding) -> tuple[object, ...]:
    def rank(name: str, order: Sequence[str]) -> tuple[int, str]:
        return (order.index(name) if name in order else -1, name)

    sets = {"forget": 0, "held_out": 1, "generic": 3}
    return (
        RANK.get(f.contrast, len(RANK)), f.contrast, f.probe, f.quantity, f.alignment,
        rank(f.unlearning, [u.name for u in material.study.unlearnings]), sets.get(f.test_set, 2), f.test_set,
        rank(f.history, list(material.names)), f.other,
    )  # fmt: skip


def _main(final: Sequence[Finding]) -> list[Finding]:
    """The verdicts of the question that comes first: counts over several questions would say nothing of any."""
    if not final:
        return []
    first = min(final, key=_importance).contrast
    return [f for f in final if f.contrast == first]


def _counted(final: Sequence[Finding]) -> str:
    counts = Counter(f.verdict for f in final)
    return listed([f"{counts[v]} {v}" for v in ORDER if counts[v]])


def _headline(final: Sequence[Finding]) -> str:
    """Say what the verdicts of one question are."""
    if not final:
        return (
            "No verdict: no comparison of this study declares a margin that could be judged. "
            "Estimates and intervals stand below."
        )
    counts = Counter(f.verdict for f in final)
    what = upper_first(CONTRASTS[final[0].contrast])
    if len(counts) == 1:
        verdict = next(v for v in ORDER if counts[v])
        every = f"all {len(final)} verdicts are" if len(final) > 1 else "the one verdict is"
        return f"{what}: {every} {verdict}: {_MEANING[verdict]}."
    equivalent = counts[Verdict.EQUIVALENT]
    start = f"{equivalent} of {len(final)}" if equivalent else f"none of {len(final)}"
    rest = listed([f"{counts[v]} {'is' if counts[v] == 1 else 'are'} {v}" for v in ORDER[:2] if counts[v]])
    return f"{what}: {start} verdicts {'is' if equivalent == 1 else 'are'} EQUIVALENT; {rest}."


def _scope(material: Material, final: Sequence[Finding]) -> str:
    """Say why there are more verdicts than comparisons: a comparison is judged wherever it can be asked."""
    asked = sum(comparison.margin is not None for comparison in material.study.comparisons)
    if not final or len(final) <= asked:
        return ""
    groups: dict[str, list[Finding]] = {}
    for f in final:
        groups.setdefault(f.contrast, []).append(f)
    main = _main(final)[0].contrast
    others = [f"{CONTRASTS[name]}: {_counted(group)}" for name, group in groups.items() if name != main]
    return (
        f"{counted(asked, 'declared comparison')} with a margin, judged for each history or pair of histories, "
        "unlearning and test set." + (f" Other questions: {'; '.join(others)}." if others else "")
    )


def _by_unlearning(material: Material, final: Sequence[Finding]) -> str:
    parts = []
    for unlearning in material.study.unlearnings:
        own = [f for f in final if f.unlearning == unlearning.name]
        if own:
            parts.append(f"{unlearning.name}: {_counted(own)}.")
    return " ".join(parts) if len(parts) > 1 else ""


_MEANING = {
    Verdict.EQUIVALENT: "within the declared margin",
    Verdict.DIFFERENT: "beyond the declared margin",
    Verdict.INCONCLUSIVE: "the data do not decide",
}


def _badges(group: Sequence[Finding]) -> tuple[Badge, ...]:
    counts = Counter(f.verdict for f in group)
    several = len(group) > 1
    return tuple(
        Badge(kind=v.lower(), symbol=SYMBOLS[v], text=f"{counts[v]}/{len(group)} {v}" if several else str(v))
        for v in ORDER
        if counts[v]
    )


def _farthest(group: Sequence[Finding]) -> Finding:
    return max(group, key=lambda f: (f.estimate is not None, abs(f.estimate or 0.0)))


def _value(f: Finding) -> str:
    if f.margin_kind == "times_band" and f.estimate is not None:
        return f"{number(f.estimate)} times the retrain band"
    return f"{number(f.estimate)} {f.unit}".strip()


def _margin(f: Finding) -> str:
    if f.margin is None:
        return "no margin"
    return (
        f"margin {number(f.margin)} times the band"
        if f.margin_kind == "times_band"
        else f"margin {number(f.margin)} {f.unit}".strip()
    )


def _who(material: Material, f: Finding) -> str:
    pair = [material.short(name) for name in (f.history, f.other) if name in material.names]
    return " – ".join(pair)


def _statement(material: Material, group: Sequence[Finding]) -> Statement:
    far = _farthest(group)
    what = CONTRASTS.get(far.contrast, far.contrast.replace("_", " "))
    where = f" on {test_set(far.test_set)}" if far.test_set else ""
    subject = far.unlearning or "trained models"
    when = " at equal forgetting" if far.alignment == "at_forget_level" else ""
    who = _who(material, far)
    if far.estimate is None:
        says = f"{what}{when} is undefined"
    else:
        first = "largest" if len(group) > 1 else ""
        says = " ".join(part for part in (first, f"{what}{when}: {_value(far)}") if part)
        says += f" ({who})" if who else ""
        says += f", {100 * far.level:g} % interval {interval(far.low, far.high)}"
    says += f", n = {far.n}" + (f" and {far.n_oracles} oracles" if far.n_oracles else "") + f"; {_margin(far)}."
    if far.contrast == "recency" and (said := sentence(material.tables["recency_contrast"], far.unlearning)):
        says = f"{said.removesuffix('.')}; {_margin(far)}."
    about = f"{subject}{where}" + (f", {probe(far.probe)}" if not far.test_set and far.probe else "")
    return Statement(
        badges=_badges(group), about=about, says=upper_first(says), reason=_sentence(far.reason), id=far.id
    )


def _sentence(text: str) -> str:
    # `n = 3` is a symbol and keeps its case.
    start = text if text.startswith("n =") else upper_first(text)
    return start + ("" if text.endswith((".", "!", "?")) else ".") if text else ""


def _matrices(material: Material, groups: dict[tuple[str, ...], list[Finding]]) -> tuple[Matrix, ...]:
    tops = list(dict.fromkeys(key[:4] for key in groups))
    found = []
    for top in tops:
        own = {key[4:]: group for key, group in groups.items() if key[:4] == top}
        sets, unlearnings = list(dict.fromkeys(k[1] for k in own)), list(dict.fromkeys(k[0] for k in own))
        if len(own) < 2:
            continue
        cells = {key: (_badges(group), _range(group)) for key, group in own.items()}
        rows = tuple(
            (unlearning or "trained models", tuple(cells.get((unlearning, name), ((), "")) for name in sets))
            for unlearning in unlearnings
        )
        contrast, alignment = top[0], " at equal forgetting" if top[3] == "at_forget_level" else ""
        what = CONTRASTS.get(contrast, contrast)
        one = next(iter(own.values()))[0]
        caption = f"{upper_first(what)}{alignment}, {probe(top[1])}; {_margin(one)}"
        caption += f": {one.rationale}" if one.rationale else ""
        unit = "multiples of the band" if one.margin_kind == "times_band" else one.unit
        caption += f". Verdicts and the range of the estimates{f', in {unit}' if unit else ''}"
        found.append(
            Matrix(caption=caption, heads=tuple(test_set(name) if name else "verdict" for name in sets), rows=rows)
        )
    return tuple(found)


def _range(group: Sequence[Finding]) -> str:
    values = [f.estimate for f in group if f.estimate is not None]
    if not values:
        return "undefined"
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def warnings(material: Material) -> list[str]:
    """Return what a reader must know before believing a number: interim results, lost runs, and no effect at all."""
    found = []
    records = material.tables["runs"]
    there, registered = material.runs
    if there < registered:
        missing = registered - there
        found.append(f"Interim: {number(missing)} of {counted(registered, 'registered run')} are not in the table yet.")
    for key, meaning in (
        ("censored", "stopped being finite during unlearning; nothing is filled in for them"),
        ("failed", "failed in a probe"),
        ("unscored", "could not be scored: too much probability outside the stored cells"),
    ):
        hit = [r for r in records if r[key]]
        if hit:
            where = listed(list(dict.fromkeys(r["unlearning"] or "training" for r in hit)))
            found.append(f"{counted(sum(r[key] for r in hit), 'run')} {meaning} ({where}).")
    for unlearning in material.study.unlearnings:
        still = _unmoved(material, unlearning.name)
        if still:
            found.append(
                f"{unlearning.name} moved nothing for {listed(still)}: the loss on the forget items changed by less "
                f"than {MOVED_NOTHING} nats per token, so its distances are those of the trained model."
            )
    tasks = material.provenance.get("tasks")
    for line in tasks.get("failed", ()) if isinstance(tasks, dict) else ():
        found.append(str(line))
    if material.study.replicates < 2:
        found.append("One replicate only: there is no interval, and nothing can be decided.")
    return found


def _unmoved(material: Material, unlearning: str) -> list[str]:
    records = [r for r in material.tables["trajectories"]
               if r["probe"] == "forget_loss" and r["unlearning"] == unlearning and r["mean"] is not None]  # fmt: skip
    still = []
    for history, entry in material.names.items():
        own = sorted((r for r in records if r["history"] == history), key=lambda r: r["step"])
        if len(own) > 1 and all(abs(r["mean"] - own[0]["mean"]) < MOVED_NOTHING for r in own):
            still.append(entry.short)
    return still


def _adjusted(f: Finding) -> str:
    return number(f.p_adjusted) + (f" ({f.p_adjustment})" if f.p_adjustment else "")


def all_findings(material: Material) -> Section:
    """Return every declared finding as a table: the numbers behind the sentences."""
    declared = [f for f in material.findings if (f.verdict is not None or f.family) and f.alignment != "at_step"]
    table = Table.of(
        "Declared comparisons: estimate, interval, verdict",
        (
            Column(head="contrast", text=lambda f: f.contrast.replace("_", " ")),
            Column(head="probe", text=lambda f: f.probe),
            Column(head="test set", text=lambda f: test_set(f.test_set)),
            Column(head="unlearning", text=lambda f: f.unlearning or "trained"),
            Column(head="histories", text=lambda f: _who(material, f)),
            Column(head="at", text=lambda f: f.alignment.replace("_", " ") + ("" if f.step is None else f", {f.step}")),
            Column(head="quantity", text=lambda f: f.quantity),
            Column(head="estimate", text=lambda f: number(f.estimate), numeric=True),
            Column(head="interval", text=lambda f: interval(f.low, f.high), numeric=True),
            Column(head="n", text=lambda f: number(f.n), numeric=True),
            Column(head="margin", text=lambda f: number(f.margin), numeric=True),
            Column(head="p (adjusted)", text=lambda f: number(f.p_adjusted), numeric=True),
            Column(head="verdict", text=lambda f: str(f.verdict or "–")),
            Column(head="reason", text=lambda f: f.reason),
            Column(head="id", text=lambda f: f.id),
        ),
        sorted(declared, key=lambda f: _place(material, f)),
        prefer=lambda f: f.verdict is not None,
    )
    return Section(
        name="findings",
        title="All declared comparisons",
        says=(
            "Every number with its interval, its n and its reason; findings.json holds all fields and all steps. "
            "`retrain-equivalence trace FOLDER ID` prints the rows behind an id, of this table or of any other.",
        ),
        tables=(table,) if declared else (),
    )
