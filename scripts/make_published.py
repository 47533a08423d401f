#!/usr/bin/env python3
"""Write docs/published-table-1.md: which recency claims the paper's own single runs can carry.

    python scripts/make_published.py            writes the page
    python scripts/make_published.py --check    writes nothing; exit 1 if the page is not what would be written

The published numbers are docs/published-table-1.csv and docs/published-figure-1.csv; everything else is computed by
`retrain_equivalence.judging.recency_claims`. `tests/docs/test_docs_published.py` compares the page.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from retrain_equivalence.judging import recency_claims
from retrain_equivalence.judging.recency_claims import Cell, Claim

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "published-table-1.md"
CELLS, STARTS = DOCS / "published-table-1.csv", DOCS / "published-figure-1.csv"

HEAD = """# The paper's Table 1, judged

Written by `scripts/make_published.py` from [published-table-1.csv](published-table-1.csv) and
[published-figure-1.csv](published-figure-1.csv): numbers as published (Yu et al. 2025, Table 1; start levels
read off Fig. 1 by eye, to about 0.1). Everything else on this page is computed by
`retrain_equivalence.judging.recency_claims`.

The table has one run for each of {models} models, {methods} methods and {positions} positions of the forget
stage; a position is the place at which the safety stage was trained. The forget score is the drop of the
label's mean log-probability in nats per token: large is much forgotten. The claim is *recency*: what was
trained last is forgotten least. A single run has no interval, so no cell can be EQUIVALENT or DIFFERENT from
another, and no verdict is given on any of them. What can be asked is how often the last position comes out
lowest, and whether chance would do that."""

UNITS = """## Models are the unit, not cells

The three methods start from the same fine-tuned checkpoint of each model and position, so the {cells} cells are
not {cells} observations. If no position were special, the last one would be the lowest of {positions} in one
model out of {positions}. *p* is the chance of so many hits or more; *p, any position* allows for the fact that
the last one was not named before the table was seen (at most {positions} times as much). A family is a hit if
the last position is the lowest in all of its models, since models of one family share data and recipe."""

SAYS = """- **GA and NPO, model as unit: 5 of 5.** The runs carry that the last of these four positions is special in
  this set-up, if the five models count as independent, also after Holm over the methods and for any position.
- **It is one finding, not two.** {copies}
- **SimNPO: 3 of 5.** The runs do not carry recency for SimNPO; p = {simnpo} can arise by chance, and with the
  paper's own repetition over four unlearning seeds (its Fig. 5, Qwen2.5-1.5B) the last position drops *most*.
- **Family as unit: nothing.** With two families the smallest p there is is {family}: the test cannot reach 5 %,
  whatever the numbers.
- **Within one model: nothing.** There is one run for each position, so the difference of two positions has no
  spread to be held against. How large a seed's effect is cannot be read from the table; 6 seeds are the fewest at
  which an exact sign flip can reach 5 %.
- **The naive count.** {hits} of {cells} cells, taken as independent, would give p = {naive}. That number is wrong:
  it counts each checkpoint three times.
- **Not separable by design.** In the four-position design position, time since the forget stage, and the stage that
  follows are one variable; the released code has one seed. "Last is slowest" is about this design, not about order
  alone."""

EXCEPTIONS = """## The exceptions

The paper says that all but one cell show recency. {count} do not:"""

START_TEXT = """## Where the runs start

What is memorised better has a smaller gradient, so a position whose label starts higher may be slow for that
reason alone. Level of the label's log-probability by position, before unlearning:"""

START_SAYS = """In {higher} of {models} models the last position starts highest, so part of its slowness may be a head
start of the others. In Llama3.2-1B the levels are nearly equal and the last position is slowest all the same, so a head
start of the *label* cannot explain it there; the level of the whole response, which the loss acts on, was not
published. Fig. 1 does not show Llama3.1-8B."""

RANGE_TEXT = """## "As large as 20 %": ranges without a band

Largest minus smallest GSM8K change over the four positions. Four runs that differ by nothing but noise have a
range too: on average {factor} standard deviations. The last column is the seed noise that would make the
published range by chance. No seed repetition of these numbers was published, so which side of it the truth lies
on is unknown: the ranges describe {cells} sets of four runs and carry no claim."""

LAST = """What a study that could carry such claims looks like, and how others' results are judged with several
runs, stands in [evaluating unlearning](evaluating-unlearning.md)."""

WIDTH = 118


def filled(text: str, **values: object) -> str:
    """Return running text with its values, each paragraph and each point filled to the line."""
    blocks = []
    for block in text.format(**values).split("\n\n"):
        parts = [" ".join(part.split()) for part in f"\n{block}".split("\n- ")]
        points = [
            textwrap.fill(f"- {part}", WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
            for part in parts[1:]
        ]
        blocks.append(
            "\n".join(points)
            if points
            else textwrap.fill(parts[0], WIDTH, break_long_words=False, break_on_hyphens=False)
        )
    return "\n\n".join(blocks)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def p(value: float) -> str:
    """Return a p-value: three decimals, or one digit and an exponent."""
    return f"{value:.3f}" if value >= 0.0005 else f"{value:.0e}"


def claim_row(claim: Claim) -> tuple[str, ...]:
    """Return one row of the table of claims."""
    carried = "no"
    if claim.unit == "cell":
        carried = "not a valid count"
    elif claim.smallest_p > 0.05:
        carried = f"cannot: smallest p {p(claim.smallest_p)}"
    elif claim.p_holm is not None and claim.p_holm <= 0.05 and claim.p_any <= 0.05:
        carried = "yes"
    adjusted = "" if claim.p_holm is None else p(claim.p_holm)
    return (
        claim.unit,
        claim.method,
        f"{claim.hits} of {claim.units}",
        p(claim.p_value),
        adjusted,
        p(claim.p_any),
        carried,
    )


def page() -> str:
    """Return the whole page."""
    cells = recency_claims.read_cells(CELLS)
    claims = recency_claims.claims(cells)
    naive = next(claim for claim in claims if claim.unit == "cell")
    simnpo = next(claim for claim in claims if claim.unit == "model" and claim.method == "SimNPO")
    family = next(claim for claim in claims if claim.unit == "family")
    one, two, alike, models, rho = recency_claims.agreement(cells)[0]
    copies = (
        f"{one} and {two} order the positions alike in {alike} of {models} models (mean rank correlation {rho:.2f}): "
        "at the start of unlearning NPO's weights are 1, and the two are nearly the same method."
    )
    odd = recency_claims.exceptions(cells)
    starts = recency_claims.read_starts(STARTS)
    sections = [
        filled(
            HEAD,
            models=len({cell.model for cell in cells}),
            methods=len({cell.method for cell in cells}),
            positions=naive.positions,
        ),
        score_table(cells),
        filled(UNITS, cells=naive.units, positions=naive.positions),
        table(("unit", "method", "last is lowest", "p", "p, Holm over methods", "p, any position", "carried at 5 %"),
              map(claim_row, claims)),
        filled(SAYS, copies=copies, simnpo=p(simnpo.p_value), family=p(family.smallest_p), hits=naive.hits,
                    cells=naive.units, naive=p(naive.p_value)),
        filled(EXCEPTIONS, count={1: "One", 2: "Two"}.get(len(odd), str(len(odd)))),
        table(("model", "method", *(f"position {k + 1}" for k in range(naive.positions))),
              ((model, method, *(f"{value:.3f}" for value in values)) for model, method, values in odd)),
        filled(START_TEXT),
        table(("model", *(f"position {k + 1}" for k in range(naive.positions)), "last minus mean of the others"),
              ((s.model, *(f"{level:g}" for level in s.levels), f"{s.last_above:+.2f}") for s in starts)),
        filled(START_SAYS, higher=sum(s.last_is_highest for s in starts), models=len(starts)),
        filled(RANGE_TEXT, factor=f"{recency_claims.expected_range(naive.positions):.2f}", cells=naive.units),
        table(("model", "method", "range", "seed sd that would do"),
              ((r.model, r.method, f"{r.value:.3f}", f"{r.sd_by_chance:.3f}")
               for r in recency_claims.path_ranges(cells, "gsm8k_change"))),
        filled(LAST),
    ]  # fmt: skip
    return "\n\n".join(sections) + "\n"


def score_table(cells: Sequence[Cell]) -> str:
    """Return the forget scores as published, the lowest position of each row in bold."""
    series = recency_claims.series_of(cells, "forget_score")
    rows = []
    for (model, method), values in series.items():
        low = min(values)
        rows.append((model, method, *(f"**{value:.3f}**" if value == low else f"{value:.3f}" for value in values)))
    positions = len(next(iter(series.values())))
    return table(("model", "method", *(f"position {k + 1}" for k in range(positions))), rows)


def main(words: Sequence[str]) -> int:
    """Write the page, or say whether it is up to date."""
    text = page()
    if "--check" in words:
        if PAGE.read_text(encoding="utf-8") == text:
            return 0
        print(f"{PAGE.name} is not up to date; run: python scripts/make_published.py")
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
