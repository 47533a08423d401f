"""Numbers and names in the words of a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from retrain_equivalence.figures.palette import Series, series_of
from retrain_equivalence.histories.history import History, Role

MOST_LOOKS = 8
"""Beyond this many histories no eye tells them apart: they are then drawn in the looks of their position."""
NOTHING = "–"
"""What a cell shows where there is no number."""


def number(value: float | int | None, digits: int = 3) -> str:
    """Return a number with `digits` significant digits and a true minus sign; `–` if there is none.

    >>> number(-0.012345), number(1234567.0), number(None), number(8)
    ('−0.0123', '1,234,567', '–', '8')
    """
    if value is None or value != value:
        return NOTHING
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15) or abs(value) >= 1000:
        text = f"{value:,.0f}"
    elif value != 0 and abs(value) < 1e-4:
        text = f"{value:.{digits - 1}e}"
    else:
        text = f"{value:.{digits}g}"
    return "0" if text == "-0" else text.replace("-", "−")


def interval(low: float | None, high: float | None) -> str:
    """Return `low to high`, or `–` if either is missing.

    >>> interval(1.0, 2.5)
    '1 to 2.5'
    """
    if low is None or high is None or low != low or high != high:
        return NOTHING
    return f"{number(low)} to {number(high)}"


def counted(n: int, one: str, many: str = "") -> str:
    """Return a count with its noun.

    >>> counted(1, "run"), counted(3, "run"), counted(2, "history", "histories")
    ('1 run', '3 runs', '2 histories')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def replicates(numbers: Iterable[int | None]) -> str:
    """Return how many replicates are behind the numbers of a figure.

    >>> replicates([8, 8]), replicates([6, 8]), replicates([])
    ('n = 8 replicates', 'n = 6 to 8 replicates', 'n = 0 replicates')
    """
    known = sorted({n for n in numbers if n is not None}) or [0]
    span = f"{known[0]}" if len(known) == 1 else f"{known[0]} to {known[-1]}"
    return f"n = {span} replicate{'' if known == [1] else 's'}"


def listed(words: Sequence[str]) -> str:
    """Return words as an enumeration.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def upper_first(text: str) -> str:
    """Return the text with its first letter in upper case and everything else as it was.

    >>> upper_first("squared Hellinger distance")
    'Squared Hellinger distance'
    """
    return text[:1].upper() + text[1:]


TEST_SETS = {
    "forget": "forget items",
    "held_out": "held-out forget items",
    "generic": "generic text",
    "": "all items",
}


def test_set(name: str) -> str:
    """Return a test set's words."""
    kind, _, stage = name.partition(":")
    return f"retain items of {stage}" if kind == "retain" else TEST_SETS.get(name, name)


MEASURES = {
    "hellinger": "squared Hellinger distance",
    "squared_l2": "squared L2 distance of probabilities (the paper's)",
    "kl_oracle_to_state": "KL divergence, oracle to state",
    "kl_state_to_oracle": "KL divergence, state to oracle",
    "jensen_shannon": "Jensen-Shannon divergence",
    "total_variation": "total variation distance",
    "relative_l2": "relative L2 distance",
    "relative_l2_lora": "relative L2 distance of raw adapters",
    "cosine": "cosine of changes",
}
PRIMARY_MEASURE = "hellinger"

PROBES = {
    "forget_score": "log-probability of the refusal",
    "answer_logprob": "log-probability of the answers",
    "accuracy": "accuracy",
    "exact_match": "exact match",
    "prediction": "next-token predictions",
    "expected_loss": "expected loss",
    "label_margin": "label margin",
    "parameters": "weights",
}
BY_SET = ("expected_loss", "label_margin")
"""Probes whose names have a test set where others have a stage."""
VARIANTS = {
    "label": "label",
    "paraphrases": "paraphrases",
    "strict": "strict",
    "flexible": "flexible",
    "samples_strict": "samples, strict",
    "samples_flexible": "samples, flexible",
}


def probe(name: str) -> str:
    """Return a probe's words.

    >>> probe("answer_logprob:tofu:held_out"), probe("forget_loss")
    ('log-probability of the answers: tofu, held out', 'loss on forget items')
    >>> probe("label_margin:retain:tofu")
    'label margin on retain items of tofu'
    """
    if name == "forget_loss":
        return "loss on forget items"
    whole, _, variant = name.partition("/")
    kind, _, rest = whole.partition(":")
    if kind in BY_SET:
        return f"{PROBES[kind]} on {test_set(rest)}"
    stage, _, split = rest.partition(":")
    if kind == "forget_score":
        what = "label log-probability" if variant == "label" else "paraphrase log-probability"
        return f"forget score, {what}: {stage}" + (", held out" if split else "")
    parts = [stage, "held out" if split else "", VARIANTS.get(variant, MEASURES.get(variant, variant))]
    return f"{PROBES.get(kind, kind)}: {', '.join(part for part in parts if part)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A history with its short name and looks."""

    history: History
    short: str
    """`p1`, `p2`, ... if the position of the forget stage tells the histories apart; else `H1`, `H2`, ..."""
    order: str
    """The stages in order, as printed."""
    series: Series


def named(histories: Sequence[History]) -> dict[str, Named]:
    """Give every history a short name and looks; the result is keyed by `History.name`, in order."""
    positions: dict[tuple[int | None, bool], set[str]] = {}
    for history in histories:
        orders = positions.setdefault((_place(history), history.position() is None), set())
        orders.add(">".join(stage.name for stage in history.stages))
    telling = all(len(orders) == 1 for orders in positions.values()) and all(place for place, _ in positions)
    shorts = []
    for i, history in enumerate(histories, start=1):
        short = f"{'placebo ' if history.position() is None else 'p'}{_place(history)}" if telling else f"H{i}"
        shorts.append(f"{short}~{history.shuffle}" if history.shuffle and telling else short)
    # A placebo is never unlearned, so no line is drawn for it: it takes no looks from those that are.
    looks: list[Series] = [Series(name="", label="", colour="", dash=(1, 0), shape="circle")] * len(histories)
    for is_placebo in (False, True):
        own = [i for i, history in enumerate(histories) if (history.position() is None) is is_placebo]
        for i, series in zip(own, _looks([histories[i] for i in own], [shorts[i] for i in own]), strict=True):
            looks[i] = series
    found: dict[str, Named] = {}
    for history, short, series in zip(histories, shorts, looks, strict=True):
        order = " › ".join(stage.name for stage in history.stages) or "base model"
        if history.shuffle:
            order += f" (sample order {history.shuffle})"
        label = f"{short}: {order}" if len(order) <= 60 else short
        found[history.name] = Named(history=history, short=short, order=order, series=replace(series, label=label))
    return found


def _looks(histories: Sequence[History], shorts: Sequence[str]) -> list[Series]:
    """Give each history looks of its own or, where there are too many, the looks of its position."""
    if len(histories) <= MOST_LOOKS:
        return list(series_of([(h.name, short) for h, short in zip(histories, shorts, strict=True)]))
    places = sorted({_position_words(history) for history in histories})
    by_place = dict(zip(places, series_of([(place, place) for place in places]), strict=True))
    return [replace(by_place[_position_words(history)], name=history.name) for history in histories]


def _position_words(history: History) -> str:
    return f"{'placebo' if history.position() is None else 'forget'} stage at position {_place(history) or '–'}"


def legend_of(names: Mapping[str, Named]) -> list[Series]:
    """Return one series per line of a legend: each history, or each position where histories share looks by it."""
    if len(names) <= MOST_LOOKS:
        return [entry.series for entry in names.values()]
    places = {_position_words(entry.history): entry.series for entry in names.values()}
    sizes = Counter(_position_words(entry.history) for entry in names.values())
    return [
        replace(places[place], label=f"{place} ({counted(sizes[place], 'history', 'histories')})")
        for place in sorted(places)
    ]


def _place(history: History) -> int | None:
    return next((i for i, stage in enumerate(history.stages, start=1) if stage.role is not Role.RETAIN), None)
