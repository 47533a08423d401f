"""What the replicates of a study can decide, said before anything is run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_equivalence.core.units import Unit
from retrain_equivalence.execution.results_folder import read_findings
from retrain_equivalence.study.questions import PARAMETERS, PREDICTION

if TYPE_CHECKING:
    from retrain_equivalence.equivalence.finding import Finding
    from retrain_equivalence.study.study import Comparison, Study

GAP_PROBE = "/hellinger"
"""The distance that a pilot is asked for: the one that verdicts are read on."""


def power_lines(study: Study) -> tuple[str, ...]:
    """Return, for each kind of declared comparison, what `study.replicates` can show and what they cannot."""
    n = study.replicates
    if n < 2:
        return (f"Power  {n} replicate has no interval: every verdict will be INCONCLUSIVE.",)
    if not study.comparisons:
        return (f"Power  {n} replicates; no comparison is declared, so there are intervals and no verdict.",)
    laws = [c for c in study.comparisons if c.contrast == "distribution"]
    scalars = [c for c in study.comparisons if _is_paired(c)]
    distances = [c for c in study.comparisons if c not in laws and c not in scalars]
    lines = [f"Power  {n} replicates; 80 % power, two-sided 5 %, before Holm's correction; sd of the paired difference"]
    if scalars:
        lines.append(f"       {_names(scalars)}: {_of_scalars(n)}{_without_margin(scalars)}.")
    if distances:
        lines.append(f"       {_names(distances)}: {_of_predictions(distances, n)}{_without_margin(distances)}.")
    if laws:
        lines.append(f"       {_names(laws)}: {_of_laws(study)}.")
    if study.looks:
        lines.append(f"       {_of_looks(study)}.")
    return tuple(lines)


def _of_looks(study: Study) -> str:
    from retrain_equivalence.equivalence.finding import ALPHA
    from retrain_equivalence.equivalence.spending import levels

    spent = levels(study.looks, study.replicates, ALPHA)
    stops = zip((*study.looks, study.replicates), spent, strict=True)
    each = ", ".join(f"n = {n} at {100 * level:.2g} %" for n, level in stops)
    return f"looks: each one-sided bound is read at {each}, {100 * ALPHA:g} % in all; any other table is interim"


def _is_paired(comparison: Comparison) -> bool:
    """Whether the comparison is of one signed number a replicate, read by a paired t."""
    of_numbers = comparison.probe.partition("/")[0].partition(":")[0] not in (PREDICTION, PARAMETERS)
    return of_numbers and comparison.contrast in ("recency", "difference", "path_gap")


def _of_laws(study: Study) -> str:
    """Say what sizes the two sets of runs have, and whether a permutation of them can reach 5 %."""
    from retrain_equivalence.equivalence import distribution, permutation
    from retrain_equivalence.equivalence.finding import ALPHA

    two = distribution.sets(study.replicates, study.oracle_replicates)
    sizes = (len(two.unlearned), len(two.oracles))
    if min(sizes) < 2:
        return f"{sizes[0]} runs against {sizes[1]} oracles have no law to compare"
    least = permutation.smallest_p(*sizes)
    found = f"{sizes[0]} runs against {sizes[1]} independent oracles, smallest p {least:.2g}; without a verdict"
    return found if least <= ALPHA else f"{found}; 5 % needs {permutation.needed(*sizes)} of each"


def _names(comparisons: list[Comparison]) -> str:
    return ", ".join(dict.fromkeys(f"{c.contrast} of {c.probe}" for c in comparisons))


def _without_margin(comparisons: list[Comparison]) -> str:
    bare = list(dict.fromkeys(c.contrast for c in comparisons if c.margin is None))
    return f"; without a margin, so without a verdict: {', '.join(bare)}" if bare else ""


def _of_scalars(n: int) -> str:
    from retrain_equivalence.equivalence.estimate import T_NEEDS
    from retrain_equivalence.equivalence.power import detectable_effect, equivalence_margin, power_of_tost

    found = (
        f"a difference of {detectable_effect(n):.2f} sd is detected; where there is none, EQUIVALENT comes up for a "
        f"margin of {equivalence_margin(n):.2f} sd (for one of 1 sd: in {100 * power_of_tost(1.0, n):.0f} % of studies)"
    )
    return f"{found}; every verdict is INCONCLUSIVE below n = {T_NEEDS}" if n < T_NEEDS else found


def _of_predictions(comparisons: list[Comparison], n: int) -> str:
    from retrain_equivalence.equivalence.estimate import JACKKNIFE_NEEDS
    from retrain_equivalence.equivalence.sign_flip import smallest_n

    if n < JACKKNIFE_NEEDS:
        found = f"a verdict needs n >= {JACKKNIFE_NEEDS}: every one will be INCONCLUSIVE"
    else:
        found = (
            f"a verdict can be read (n >= {JACKKNIFE_NEEDS}); how small a distance it tells apart, --pilot estimates"
        )
    if n < smallest_n(1) and any(c.contrast == "path_gap" for c in comparisons):
        found += f"; the sign-flip test of a path gap reaches 5 % from n = {smallest_n(1)}"
    return found


PILOTED = {
    ("path_gap", "G_ab"): "a path gap of {size} {unit}",
    ("oracle_bias", "B_h"): "a distance to the oracle beyond seed noise of {size} {unit}",
    ("oracle_distance", "D_ho/D_oo"): "{size} times the band from once the band",
    ("improvement", "D_ho(end)-D_ho(0)"): "a change of the distance to the oracle of {size} {unit}",
}
"""What a pilot is asked for: contrast and quantity -> the words for the smallest size that is detected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotSpread:
    """What a study could detect of one quantity on one test set, from the spread in a finished one."""

    contrast: str
    quantity: str
    probe: str
    test_set: str
    n: int
    """Replicates of the pilot, the fewest behind its numbers."""
    numbers: int
    """Histories or pairs, over all unlearnings, that the spread is taken from."""
    sd: float
    """The largest of their standard deviations per replicate, in `unit`; of a ratio, of its logarithm."""
    detectable: float | None
    """The size that the study's replicates find with 80 % power at two-sided 5 %; null with one replicate."""
    unit: str

    def line(self, replicates: int) -> str:
        """Return the sentence that `plan` prints."""
        words = PILOTED[self.contrast, self.quantity]
        found = "nothing" if self.detectable is None else words.format(size=f"{self.detectable:.3g}", unit=self.unit)
        log = " of the logarithm" if self.unit == Unit.RATIO else ""
        return (
            f"       {self.test_set}: {replicates} replicates detect {found} "
            f"(sd{log} {self.sd:.3g}, the largest of {self.numbers}, {self.n} replicates)"
        )


def pilot_spreads(folder: Path, replicates: int) -> tuple[PilotSpread, ...]:
    """Return what a study could detect, from the numbers at the end of unlearning in a results folder.

    A jackknife interval of half width h at level 1 - a on n replicates has `sd = h sqrt n / t(1 - a/2, n - 1)`; of a
    ratio, h is taken of the logarithm. The spread of a gap near 0 shrinks faster than `1 / sqrt n`, so the answer errs
    on the side of more replicates.

    Args:
        folder: the pilot's results.
        replicates: of the study that is planned.

    Raises:
        InputError: E-DATA-80 or E-DATA-81 if the folder has no readable findings.
    """
    from retrain_equivalence.equivalence.power import detectable_effect

    places: dict[tuple[str, str, str, str], list[tuple[float, Finding]]] = {}
    for finding in read_findings(folder, _is_piloted):
        if (sd := _sd(finding)) is not None:
            place = (finding.contrast, finding.quantity, finding.probe, finding.test_set)
            places.setdefault(place, []).append((sd, finding))
    spreads = []
    for (contrast, quantity, probe, test_set), found in places.items():
        sd = max(sd for sd, _ in found)
        size = detectable_effect(replicates) * sd if replicates > 1 else None
        is_ratio = found[0][1].unit == Unit.RATIO
        spreads.append(
            PilotSpread(
                contrast=contrast,
                quantity=quantity,
                probe=probe,
                test_set=test_set,
                n=min(finding.n for _, finding in found),
                numbers=len(found),
                sd=sd,
                detectable=math.exp(size) if is_ratio and size is not None else size,
                unit=found[0][1].unit,
            )
        )
    return tuple(spreads)


def _is_piloted(item: dict[str, Any]) -> bool:
    place = (item["contrast"], item["quantity"])
    return place in PILOTED and item["alignment"] == "at_end" and str(item["probe"]).endswith(GAP_PROBE)


def _sd(finding: Finding) -> float | None:
    from retrain_equivalence.equivalence.estimate import t_quantile

    low, high = finding.low, finding.high
    if low is None or high is None or finding.n < 2:
        return None
    half = (math.log(high / low) if finding.unit == Unit.RATIO else high - low) / 2
    return half * math.sqrt(finding.n) / t_quantile((1 + finding.level) / 2, finding.n - 1)
