"""What the replicates of a study can decide, said before anything is run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_equivalence.execution.results_folder import read_findings
from retrain_equivalence.study.questions import PREDICTION

if TYPE_CHECKING:
    from retrain_equivalence.equivalence.finding import Finding
    from retrain_equivalence.study.study import Comparison, Study

GAP_PROBE = "/hellinger"
"""The distance whose gaps a pilot is asked for: the one that verdicts are read on."""


def power_lines(study: Study) -> tuple[str, ...]:
    """Return, for each kind of declared comparison, what `study.replicates` can show and what they cannot."""
    n = study.replicates
    if n < 2:
        return (f"Power  {n} replicate has no interval: every verdict will be INCONCLUSIVE.",)
    if not study.comparisons:
        return (f"Power  {n} replicates; no comparison is declared, so there are intervals and no verdict.",)
    distances = [c for c in study.comparisons if _of_distances(c)]
    scalars = [c for c in study.comparisons if not _of_distances(c)]
    lines = [f"Power  {n} replicates; 80 % power, two-sided 5 %, before Holm's correction; sd of the paired difference"]
    if scalars:
        lines.append(f"       {_names(scalars)}: {_of_scalars(n)}{_without_margin(scalars)}.")
    if distances:
        lines.append(f"       {_names(distances)}: {_of_predictions(distances, n)}{_without_margin(distances)}.")
    return tuple(lines)


def _of_distances(comparison: Comparison) -> bool:
    return comparison.probe.partition("/")[0].partition(":")[0] == PREDICTION


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotGap:
    """The path gap that a study could detect on one test set, from the spread in a finished one."""

    probe: str
    test_set: str
    n: int
    """Replicates of the pilot, the fewest behind its gaps."""
    gaps: int
    """Pairs of histories, over all unlearnings, that the spread is taken from."""
    sd: float
    """The largest of their standard deviations per replicate, in `unit`."""
    detectable: float | None
    """The gap that the study's replicates find with 80 % power at two-sided 5 %; null with one replicate."""
    unit: str

    def line(self, replicates: int) -> str:
        """Return the sentence that `plan` prints."""
        found = "no gap" if self.detectable is None else f"a path gap of {self.detectable:.3g} {self.unit}"
        return (
            f"       {self.test_set}: {replicates} replicates detect {found} "
            f"(sd {self.sd:.3g}, the largest of {self.gaps} gaps, {self.n} replicates)"
        )


def pilot_gaps(folder: Path, replicates: int) -> tuple[PilotGap, ...]:
    """Return what path gaps a study could detect, from the end-of-unlearning gaps in a results folder.

    A jackknife interval of half width h at level 1 - a on n replicates has `sd = h sqrt n / t(1 - a/2, n - 1)`. The
    spread of a gap near 0 shrinks faster than `1 / sqrt n`, so the answer errs on the side of more replicates.

    Args:
        folder: the pilot's results.
        replicates: of the study that is planned.

    Raises:
        InputError: E-DATA-80 or E-DATA-81 if the folder has no readable findings.
    """
    from retrain_equivalence.equivalence.power import detectable_effect

    places: dict[tuple[str, str], list[tuple[float, Finding]]] = {}
    for finding in read_findings(folder, _is_gap):
        if (sd := _sd(finding)) is not None:
            places.setdefault((finding.probe, finding.test_set), []).append((sd, finding))
    return tuple(
        PilotGap(
            probe=probe,
            test_set=test_set,
            n=min(finding.n for _, finding in found),
            gaps=len(found),
            sd=max(sd for sd, _ in found),
            detectable=detectable_effect(replicates) * max(sd for sd, _ in found) if replicates > 1 else None,
            unit=found[0][1].unit,
        )
        for (probe, test_set), found in places.items()
    )


def _is_gap(item: dict[str, Any]) -> bool:
    place = (item["contrast"], item["quantity"], item["alignment"])
    return place == ("path_gap", "G_ab", "at_end") and str(item["probe"]).endswith(GAP_PROBE)


def _sd(finding: Finding) -> float | None:
    from retrain_equivalence.equivalence.estimate import t_quantile

    if finding.low is None or finding.high is None or finding.n < 2:
        return None
    half = (finding.high - finding.low) / 2
    return half * math.sqrt(finding.n) / t_quantile((1 + finding.level) / 2, finding.n - 1)
