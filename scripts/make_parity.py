#!/usr/bin/env python3
"""Compare the package's objectives with the formulas of its peers, and write docs/objectives-parity.md.

    python scripts/make_parity.py            writes the page
    python scripts/make_parity.py --check    writes nothing; exit 1 if the page is not what would be written

Every peer's loss is written here once more, in numpy and float64, from its published code's mathematics, quirks
included, and evaluated on one small batch of random logits under which the labels are likely: three ragged rows, nine
positions, 128 tokens. Ours is evaluated by the package on the same numbers. What is compared is the value, and the
derivative along one random direction of all logits (hidden states for RMU): by central differences theirs, by automatic
differentiation ours. Where the two differ, the one quirk that is named is taken out of theirs, and the comparison is
made again: the quirk is then the whole difference.

Legend: B rows, T positions, V vocabulary, D width of hidden states.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_expit, log_softmax, softmax

from retrain_equivalence.objectives.base import Objective, Observed, Seen
from retrain_equivalence.objectives.catalogue import build, resolve, resolve_sum
from retrain_equivalence.objectives.weighted_sum import WeightedSum, as_sum
from retrain_equivalence.recipes.objective import Term
from retrain_equivalence.recipes.passes import ForwardPass, Signal, Split, Weights

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "objectives-parity.md"

Array = NDArray[np.float64]
IGNORED = -100
EQUAL = 1e-6
"""Relative difference up to which two losses count as the same."""
STEP = 1e-5
ROWS, POSITIONS, VOCABULARY, WIDTH = 3, 9, 128, 6
STEERING = 2.0
LIKELY = 6.5
"""How far the next token's logit is raised: about 1.3 nats a label are left, as after training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a model says on the rows of one split."""

    z: Array
    """Logits of the trained model, [B, T, V]; those at t predict the token at t + 1."""
    zr: Array
    """Logits of the start model."""
    y: NDArray[np.int64]
    """Labels, [B, T]; -100 where nothing is scored."""
    ids: NDArray[np.int64]
    """Token ids, [B, T]."""
    h: Array
    """Hidden states of the trained model, [B, T, D]."""
    hr: Array
    """Hidden states of the start model."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Scored targets that a logit predicts: labels without the first position, [B, T]."""
        kept: NDArray[np.bool_] = self.y != IGNORED
        kept[:, 0] = False
        return kept

    def moved(self, direction: Rows, by: float) -> Rows:
        """Return the rows with the trained model's logits and hidden states moved along a direction."""
        return Rows(
            z=self.z + by * direction.z, zr=self.zr, y=self.y, ids=self.ids, h=self.h + by * direction.h, hr=self.hr
        )


Batch = Mapping[Split, Rows]
Loss = Callable[[Batch], float]
F, R, W = Split.FORGET, Split.RETAIN, Split.PREFERRED


def drawn(rng: np.random.Generator, *, first_scored: bool = False, rows: int = ROWS) -> Rows:
    """Draw ragged rows: a prompt, an answer, padding; with `first_scored` the first row has no prompt."""
    shape = (rows, POSITIONS)
    ids = rng.integers(5, VOCABULARY, size=shape)
    y = np.full(shape, IGNORED)
    for b in range(rows):
        start, end = (2, 4, 3)[b % 3], (9, 7, 6)[b % 3]
        y[b, 0 if first_scored and b == 0 else start : end] = ids[b, 0 if first_scored and b == 0 else start : end]
    z, zr = rng.normal(0, 2, (2, *shape, VOCABULARY))
    row, place = np.indices((rows, POSITIONS - 1))
    for logits in (z, zr):
        # Without this the labels have 7 nats each: SimNPO at its shipped β is then 1e-14, SatImp 1e-12, and no
        # difference would show.
        logits[row, place, ids[:, 1:]] += LIKELY
    return Rows(z=z, zr=zr, y=y, ids=ids, h=rng.normal(0, 1, (*shape, WIDTH)), hr=rng.normal(0, 1, (*shape, WIDTH)))


def batch(seed: int, **options: Any) -> dict[Split, Rows]:
    """Draw forget, retain and preferred rows."""
    rng = np.random.default_rng(seed)
    return {split: drawn(rng, **options) for split in (F, R, W)}


# --- their formulas, from their code's mathematics ----------------------------------------------------------------


def ce(rows: Rows, z: Array) -> Array:
    """Cross-entropy of each label, predicted one place before it, [B, T - 1]; 0 where the label is ignored."""
    logp = log_softmax(z[:, :-1], axis=-1)
    y = rows.y[:, 1:]
    picked = np.take_along_axis(logp, np.where(y == IGNORED, 0, y)[..., None], axis=-1)[..., 0]
    return np.where(y == IGNORED, 0.0, -picked)


def hf(rows: Rows, z: Array | None = None) -> float:
    """The loss of `transformers`: mean over the batch's labels."""
    return float(ce(rows, rows.z if z is None else z).sum() / rows.mask.sum())


def s(rows: Rows, z: Array | None = None) -> Array:
    """Summed cross-entropy of each row, [B]."""
    sums: Array = ce(rows, rows.z if z is None else z).sum(axis=1)
    return sums


def n(rows: Rows, *, shifted: bool = False) -> Array:
    """Labels of each row, counted before (theirs) or after the shift, [B]."""
    counts: Array = (rows.mask if shifted else rows.y != IGNORED).sum(axis=1).astype(np.float64)
    return counts


def kl(rows: Rows, *, masked: bool) -> float:
    """KL(start ‖ trained); theirs over every position, divided by B·T."""
    p, q = log_softmax(rows.zr, axis=-1), log_softmax(rows.z, axis=-1)
    each = (np.exp(p) * (p - q)).sum(axis=-1)
    return float(each[:, :-1][rows.mask[:, 1:]].mean() if masked else each.mean())


def klr(rows: Rows) -> float:
    """MUSE's retain term: raw logits where log-probabilities belong, every position, divided by the rows alone."""
    return float((np.exp(rows.zr) * (rows.zr - rows.z)).sum() / len(rows.y))


def npo(excess: Array, beta: float) -> float:
    """-(2/β) mean log σ(β · excess)."""
    return float((-2 / beta * log_expit(beta * excess)).mean())


def undial(rows: Rows, beta: float, *, masked: bool) -> float:
    """Theirs: mean over all B(T - 1) positions; an ignored label -100 lowers the logit of token V - 100."""
    z, zr, y = rows.z[:, :-1], rows.zr[:, :-1].copy(), rows.y[:, 1:]
    b, t = np.indices(y.shape)
    zr[b, t, y] -= beta  # numpy wraps the negative index, as theirs does
    each = -(softmax(zr, axis=-1) * log_softmax(z, axis=-1)).sum(axis=-1)
    return float(each[rows.mask[:, 1:]].mean() if masked else each.mean())


def weighted(rows: Rows, weight: Callable[[Array], Array], held: Rows) -> float:
    """-mean over labels of weight(p) CE, the weight from `held`, without gradient."""
    kept = rows.mask[:, 1:]
    return -float((weight(np.exp(-ce(held, held.z)))[kept] * ce(rows, rows.z)[kept]).mean())


def ceu(rows: Rows, held: Rows, *, skip_first: bool) -> float:
    """Cross-entropy to the own distribution without the label; theirs leaves out the first label of a row."""
    kept = rows.mask[:, 1:].copy()
    if skip_first:
        for row in kept:
            row[np.flatnonzero(row)[:1]] = False
    z, y = held.z[:, :-1].copy(), np.where(rows.y[:, 1:] == IGNORED, 0, rows.y[:, 1:])
    np.put_along_axis(z, y[..., None], -np.inf, axis=-1)
    each = -(softmax(z, axis=-1) * log_softmax(rows.z[:, :-1], axis=-1)).sum(axis=-1)
    return float(each[kept].mean())


def rmu(rows: Rows, target: Array, *, broadcast: bool) -> float:
    """Mean squared distance of hidden states; theirs divides [B] by [B, 1], which makes a [B, B] table."""
    kept = rows.y != IGNORED
    sums, counts = (np.square(rows.h - target).mean(axis=-1) * kept).sum(axis=1), kept.sum(axis=1)
    return float((sums / counts[:, None]).mean() if broadcast else (sums / counts).mean())


def mse(rows: Rows, target: Array) -> float:
    """RMU upstream: one mean over every position, prompt and padding included."""
    return float(np.square(rows.h - target).mean())


def flat(rows: Rows, *, shifted: bool) -> float:
    """(max - mean)^2 of the logits; theirs reads those at the label's own place."""
    each = np.square(rows.z.max(axis=-1) - rows.z.mean(axis=-1))
    return float(each[:, :-1][rows.mask[:, 1:]].mean() if shifted else each[rows.y != IGNORED].mean())


def muse(rows: Rows, argument: Array, beta: float, *, masked: bool) -> float:
    """-(2/β) mean over positions and vocabulary of log σ(β · argument), on raw logits."""
    each = (-2 / beta * log_expit(beta * argument)).mean(axis=-1)
    return float(each[:, :-1][rows.mask[:, 1:]].mean() if masked else each.mean())


def halves(rows: Rows, loss: Callable[[Rows], float]) -> float:
    """Mean of a loss over two micro-batches."""
    parts = (slice(0, 1), slice(1, None))
    cut = [Rows(z=rows.z[p], zr=rows.zr[p], y=rows.y[p], ids=rows.ids[p], h=rows.h[p], hr=rows.hr[p]) for p in parts]
    return float(np.mean([loss(part) for part in cut]))


# --- ours ----------------------------------------------------------------------------------------------------------


def direction_vector() -> Array:
    """The unit vector that our RMU draws at seed 0; theirs is given the same."""
    objective = build(resolve("rmu_forget", {"layer": 1}, ""))
    return np.asarray(objective.init(0, WIDTH)["direction"].double())  # type: ignore[union-attr]


def observed(rows: Rows, asked: ForwardPass, z: torch.Tensor, h: torch.Tensor) -> Observed:
    """Return what a pass sees: signals in place of the token that they predict."""
    policy = asked.weights is Weights.POLICY
    ids, mask = torch.from_numpy(rows.ids), torch.from_numpy(rows.mask)
    logits = z if policy else torch.from_numpy(rows.zr)
    before = torch.cat((torch.zeros_like(logits[:, :1]), logits[:, :-1]), dim=1)
    match asked.signal:
        case Signal.HIDDEN:
            # Hidden states are read where the token stands; a first label counts.
            return Observed(
                values_BT=h if policy else torch.from_numpy(rows.hr), mask_BT=torch.from_numpy(rows.y != IGNORED)
            )
        case Signal.LOGITS:
            values = before
        case Signal.LOG_DISTRIBUTION:
            values = before.log_softmax(dim=-1)
        case _:
            values = before.log_softmax(dim=-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    return Observed(values_BT=values, mask_BT=mask, targets_BT=ids)


def ours(objective: Objective | WeightedSum, rows: Batch, direction: Batch) -> tuple[float, float]:
    """Return the package's loss on a batch, and its derivative along a direction."""
    z = {k: torch.from_numpy(r.z).requires_grad_() for k, r in rows.items()}
    h = {k: torch.from_numpy(r.h).requires_grad_() for k, r in rows.items()}
    added = as_sum(objective)
    memory = added.init(0, WIDTH)
    losses = []
    for number, (part, weight) in enumerate(zip(added.parts, added.weights(memory), strict=True)):
        one = part.objective
        passes = {asked: observed(rows[asked.split], asked, z[asked.split], h[asked.split]) for asked in one.passes}
        seen = Seen(passes, declared=tuple(one.passes), memory=added.memory_of(number, memory))
        terms = one(seen)
        losses.append(terms.total / terms.count * weight)
    total = torch.stack(losses).sum()
    leaves = [*z.values(), *h.values()]
    gradients = torch.autograd.grad(total, leaves, materialize_grads=True)
    along = [torch.from_numpy(d) for d in (*(direction[k].z for k in z), *(direction[k].h for k in h))]
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, along, strict=True))
    return float(total.detach()), slope


def objective_of(name: str, **parameters: float | str) -> Objective | WeightedSum:
    """Return an objective of the catalogue."""
    return build(resolve(name, parameters, ""))


def summed(*terms: tuple[float, str, Mapping[str, float]]) -> WeightedSum:
    """Return a weighted sum of objectives of the catalogue: of each a weight, a name and what is not at its default."""
    weighed = tuple(Term(objective=resolve(name, parameters, ""), weight=weight) for weight, name, parameters in terms)
    built = build(resolve_sum(weighed, ""))
    assert isinstance(built, WeightedSum)
    return built


INTRODUCTION = """
# Objectives against their peers

Written by `scripts/make_parity.py`, which holds every formula of this page as code; a test runs it again.

Each loss of the peers, quirks included, beside ours on the same random logits (three ragged rows, nine positions, 128
tokens, labels likely as after training, float64): the largest relative difference of the value and of its derivative
along a random direction. `equal` means at most 1e-6. Where a loss differs, the last column is the difference that is
left once the named quirk is taken out of theirs: the quirk is all there is.

Notation: S = summed cross-entropy of a row, S_ref = the same under the start model, n = its labels, hf = mean over the
labels of a batch, Δ = −(S − S_ref), p = probability of the label, z = logits, h = hidden states, c = RMU's target
vector, f = forget and r = retain rows. Where a line does not say it, β is 0.1 in NPO and DPO, 4.5 in SimNPO, and else
the default that the peer ships.
""".strip()

NOT_OFFERED = """
Not offered, since they depend on how rows are batched and so on the hardware: the KTO forms of NPO's code (their
reference point is a batch mean), and NPO or SimNPO of a batch's mean loss. The forms of Erasus (mean over positions and
vocabulary, labels unused) and of EleutherAI's `unlearn` (attention-mask denominators) are not written out.
""".strip()


# --- the table ------------------------------------------------------------------------------------------------------

Theirs = Callable[[Batch, Batch], float]
"""A loss of (rows, rows whose detached weights are held): the same batch twice for its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One peer's loss beside ours."""

    peer: str
    method: str
    formula: str
    """Theirs, in the notation of the page."""
    name: str
    """Ours, as a study writes it."""
    ours: Callable[[Batch], Objective | WeightedSum]
    theirs: Theirs
    differs: str = ""
    """The one quirk that makes the difference, in words; empty if there is none."""
    repaired: Theirs | None = None
    """Theirs without it."""
    rows: Batch = field(default_factory=lambda: batch(1))


def _lines() -> list[Line]:
    b, c = 0.1, STEERING * direction_vector()
    ou, fan = "open-unlearning", "SimNPO's code"
    retained = (1.0, "retain_nll", dict[str, float]())
    wga_weight: Callable[[Array], Array] = lambda p: p  # noqa: E731
    satimp_weight: Callable[[Array], Array] = lambda p: p**5 * (1 - p)  # noqa: E731

    def always(objective: Objective | WeightedSum) -> Callable[[Batch], Objective | WeightedSum]:
        return lambda rows: objective

    def idk_as_one_mean(rows: Batch) -> WeightedSum:
        idk, retain = rows[W].mask.sum(), rows[R].mask.sum()
        return summed((idk / (idk + retain), "idk", {}), (retain / (idk + retain), "retain_nll", {}))

    return [
        Line(peer=ou, method="GradAscent", formula="−hf", name="`ga`", ours=always(objective_of("ga")),
             theirs=lambda x, _: -hf(x[F])),
        Line(peer=ou, method="GradAscent, two micro-batches", formula="mean of −hf over micro-batches", name="`ga`",
             ours=always(objective_of("ga")), theirs=lambda x, _: -halves(x[F], hf),
             differs="a mean of micro-batch means: tokens of short micro-batches weigh more; ours is one mean over the "
             "global batch, however it is split", repaired=lambda x, _: -hf(x[F])),
        Line(peer=ou, method="GradDiff, NLL", formula="−hf_f + hf_r", name="`graddiff`",
             ours=always(objective_of("graddiff")), theirs=lambda x, _: -hf(x[F]) + hf(x[R])),
        Line(peer=ou, method="GradDiff, KL", formula="−hf_f + KL(ref ‖ θ) over B·T", name="`graddiff`, `retain: kl`",
             ours=always(objective_of("graddiff", retain="kl")), theirs=lambda x, _: -hf(x[F]) + kl(x[R], masked=False),
             differs="the KL has neither shift nor mask: prompt and padding count, and the divisor is B·T",
             repaired=lambda x, _: -hf(x[F]) + kl(x[R], masked=True)),
        Line(peer=ou, method="DPO (with its default retain term)",
             formula="−(2/β) mean log σ(β(Δ_w − Δ_l)) + hf_r", name="`dpo` and `retain_nll`",
             ours=always(summed((1.0, "dpo", {"beta": b}), retained)),
             theirs=lambda x, _: npo((s(x[F]) - s(x[F], x[F].zr)) - (s(x[W]) - s(x[W], x[W].zr)), b) + hf(x[R])),
        Line(peer=ou, method="NPO (with its default retain term)", formula="−(2/β) mean log σ(β(S − S_ref)) + hf_r",
             name="`npo_retain`", ours=always(objective_of("npo_retain", beta=b)),
             theirs=lambda x, _: npo(s(x[F]) - s(x[F], x[F].zr), b) + hf(x[R])),
        Line(peer=ou, method="SimNPO, δ = 0.5", formula="γ·(−(2/β) mean log σ(β(S/n − δ))) + hf_r",
             name="`simnpo_as_in_open_unlearning` and `retain_nll`, weights 0.125 and 1",
             ours=always(summed((0.125, "simnpo_as_in_open_unlearning", {"delta": 0.5}), retained)),
             theirs=lambda x, _: 0.125 * npo(s(x[F]) / n(x[F]) - 0.5, 4.5) + hf(x[R])),
        Line(peer=ou, method="SimNPO, δ = 0.5, read as the paper's γ", formula="the same",
             name="`simnpo_retain`, `gamma: 0.5`", ours=always(objective_of("simnpo_retain", gamma=0.5)),
             theirs=lambda x, _: 0.125 * npo(s(x[F]) / n(x[F]) - 0.5, 4.5) + hf(x[R]),
             differs="β multiplies δ; the published margin γ stands outside: theirs is `gamma: β δ`",
             repaired=lambda x, _: 0.125 * npo(s(x[F]) / n(x[F]) - 0.5 / 4.5, 4.5) + hf(x[R])),
        Line(peer=ou, method="SimNPO, a first label that is scored", formula="−(2/β) mean log σ(β S/n)",
             name="`simnpo`",
             ours=always(objective_of("simnpo")), theirs=lambda x, _: npo(s(x[F]) / n(x[F]), 4.5),
             differs="n counts labels before the shift: a row whose first label is scored is divided by one too many",
             repaired=lambda x, _: npo(s(x[F]) / n(x[F], shifted=True), 4.5), rows=batch(2, first_scored=True)),
        Line(peer=ou, method="UNDIAL", formula="mean over B(T−1) of CE(z, softmax(z_ref − β onehot(y)))",
             name="`undial`",
             ours=always(objective_of("undial")), theirs=lambda x, _: undial(x[F], 10.0, masked=False),
             differs="no mask: prompt and padding count, and there y = −100 lowers the logit of token V − 100",
             repaired=lambda x, _: undial(x[F], 10.0, masked=True)),
        Line(peer=ou, method="WGA (with its default retain term)", formula="−mean p^β CE + hf_r, p held",
             name="`wga` and `retain_nll`", ours=always(summed((1.0, "wga", {}), retained)),
             theirs=lambda x, held: weighted(x[F], wga_weight, held[F]) + hf(x[R])),
        Line(peer=ou, method="SatImp (with its default retain term)",
             formula="−γ mean p^β1 (1−p)^β2 CE + hf_r, p held",
             name="`satimp` and `retain_nll`, weights 0.1 and 1", ours=always(summed((0.1, "satimp", {}), retained)),
             theirs=lambda x, held: 0.1 * weighted(x[F], satimp_weight, held[F]) + hf(x[R])),
        Line(peer=ou, method="CEU", formula="mean −Σ q log p, q = softmax(z, z_y = −∞) held", name="`ce_u`",
             ours=always(objective_of("ce_u")), theirs=lambda x, held: ceu(x[F], held[F], skip_first=True),
             differs="the first label of every row is left out",
             repaired=lambda x, held: ceu(x[F], held[F], skip_first=False)),
        Line(peer=ou, method="RMU", formula="[mean (h − c)²] / n by broadcast + the same to h_ref", name="`rmu`",
             ours=always(objective_of("rmu", layer=1)),
             theirs=lambda x, _: rmu(x[F], c, broadcast=True) + rmu(x[R], x[R].hr, broadcast=True),
             differs="sums of shape [B] are divided by counts of shape [B, 1]: every row by every row's length",
             repaired=lambda x, _: rmu(x[F], c, broadcast=False) + rmu(x[R], x[R].hr, broadcast=False)),
        Line(peer=ou, method="PDU at λ = 50", formula="mean (max z − mean z)² + λ hf_r", name="`pdu`",
             ours=always(objective_of("pdu", retain_bound=1.0)),
             theirs=lambda x, _: flat(x[F], shifted=False) + 50 * hf(x[R]),
             differs="the logits are read at the label's own place, one late: they predict the next token",
             repaired=lambda x, _: flat(x[F], shifted=True) + 50 * hf(x[R])),
        Line(peer="NPO's code", method="NPO", formula="−(2/β) mean log σ(β(S − S_ref))", name="`npo`",
             ours=always(objective_of("npo", beta=b)), theirs=lambda x, _: npo(s(x[F]) - s(x[F], x[F].zr), b)),
        Line(peer="NPO's code", method="NPO + KL", formula="the same + KL(ref ‖ θ) over B·T",
             name="`npo_retain`, `retain: kl`", ours=always(objective_of("npo_retain", beta=b, retain="kl")),
             theirs=lambda x, _: npo(s(x[F]) - s(x[F], x[F].zr), b) + kl(x[R], masked=False),
             differs="the KL has neither shift nor mask",
             repaired=lambda x, _: npo(s(x[F]) - s(x[F], x[F].zr), b) + kl(x[R], masked=True)),
        Line(peer=fan, method="SimNPO on TOFU, γ = 0", formula="−(2/β) mean log σ(β S/n)", name="`simnpo`",
             ours=always(objective_of("simnpo")), theirs=lambda x, _: npo(s(x[F]) / n(x[F]), 4.5)),
        Line(peer=f"{fan}, MUSE", method="NPO on MUSE", formula="−(2/β) mean_{b,t,v} log σ(β(z_ref − z))",
             name="`npo_as_in_muse`", ours=always(objective_of("npo_as_in_muse", beta=b)),
             theirs=lambda x, _: muse(x[F], x[F].zr - x[F].z, b, masked=False),
             differs="every position counts, prompt and padding too; neither form is NPO: no label enters",
             repaired=lambda x, _: muse(x[F], x[F].zr - x[F].z, b, masked=True)),
        Line(peer=fan, method="SimNPO on MUSE, β = 0.7, γ = 0.3", formula="−(2/β) mean_{b,t,v} log σ(β(−z − γ))",
             name="`simnpo_as_in_muse`", ours=always(objective_of("simnpo_as_in_muse", gamma=0.3)),
             theirs=lambda x, _: muse(x[F], -x[F].z - 0.3, 0.7, masked=False),
             differs="every position counts; neither form is SimNPO: no label enters",
             repaired=lambda x, _: muse(x[F], -x[F].z - 0.3, 0.7, masked=True)),
        Line(peer="MUSE", method="GA + KLR", formula="−hf_f + (1/B) Σ_{b,t,v} e^{z_ref} (z_ref − z)",
             name="`graddiff`, `retain: kl`",
             ours=always(objective_of("graddiff", retain="kl")), theirs=lambda x, _: -hf(x[F]) + klr(x[R]),
             differs="raw logits are taken for log-probabilities, so it is no KL: linear in z, without a minimum; "
             "every position counts, and the divisor is B",
             repaired=lambda x, _: -hf(x[F]) + kl(x[R], masked=True)),
        Line(peer=f"{fan}, RESTOR", method="NPO on WMDP and in RESTOR", formula="−(2/β) log σ(β(hf − hf_ref))",
             name="`npo_per_token`", ours=always(objective_of("npo_per_token", beta=b)),
             theirs=lambda x, _: npo(np.array([hf(x[F]) - hf(x[F], x[F].zr)]), b),
             differs="one scalar for the whole batch, so the loss depends on how rows are batched; the same for a "
             "batch of one row, and no objective here can depend on batching",
             repaired=lambda x, _: npo(s(x[F]) / n(x[F]) - s(x[F], x[F].zr) / n(x[F]), b)),
        Line(peer=fan, method="SimNPO on WMDP", formula="−(2/β) log σ(β hf)", name="`simnpo`",
             ours=always(objective_of("simnpo")), theirs=lambda x, _: npo(np.array([hf(x[F])]), 4.5),
             differs="one scalar for the whole batch, as above",
             repaired=lambda x, _: npo(s(x[F]) / n(x[F]), 4.5)),
        Line(peer="WMDP", method="RMU", formula="mean (h − c)² + mean (h − h_ref)² over B·T·D", name="`rmu`",
             ours=always(objective_of("rmu", layer=1)), theirs=lambda x, _: mse(x[F], c) + mse(x[R], x[R].hr),
             differs="one mean over every position, prompt and padding too; ours is the mean over rows of their means",
             repaired=lambda x, _: rmu(x[F], c, broadcast=False) + rmu(x[R], x[R].hr, broadcast=False)),
        Line(peer="TOFU", method="KL", formula="−hf_f + KL(ref ‖ θ) over B·T", name="`graddiff`, `retain: kl`",
             ours=always(objective_of("graddiff", retain="kl")), theirs=lambda x, _: -hf(x[F]) + kl(x[R], masked=False),
             differs="the KL has neither shift nor mask",
             repaired=lambda x, _: -hf(x[F]) + kl(x[R], masked=True)),
        Line(peer="TOFU", method="DPO", formula="−mean log σ(β(Δ_w − Δ_l))", name="`dpo_as_in_tofu`",
             ours=always(objective_of("dpo_as_in_tofu", beta=b)),
             theirs=lambda x, _: b / 2 * npo((s(x[F]) - s(x[F], x[F].zr)) - (s(x[W]) - s(x[W], x[W].zr)), b)),
        Line(peer="TOFU", method="IDK", formula="hf over IDK and retain rows together",
             name="`idk` and `retain_nll`, weights by their shares of tokens", ours=idk_as_one_mean,
             theirs=lambda x, _: float((s(x[W]).sum() + s(x[R]).sum()) / (x[W].mask.sum() + x[R].mask.sum()))),
        Line(peer="unlearning-taxonomy", method="NPO", formula="−(2/β) mean_b log σ(β(S/n − S_ref/n)), prompt included",
             name="`npo_per_token`", ours=always(objective_of("npo_per_token", beta=b)),
             theirs=lambda x, _: _taxonomy(x[F], b, answers_only=False),
             differs="prompt tokens are unlearned too", repaired=lambda x, _: _taxonomy(x[F], b, answers_only=True)),
        Line(peer="Closer Look", method="ME", formula="masked token mean of KL(U ‖ p)", name="`uniform`",
             ours=always(objective_of("uniform")), theirs=lambda x, _: _maximum_entropy(x[F])),
        Line(peer="Yu et al. 2025", method="GA", formula="−Σ CE / Σ tokens of the global batch", name="`ga`",
             ours=always(objective_of("ga")), theirs=lambda x, _: -hf(x[F])),
        Line(peer="Yu et al. 2025", method="NPO", formula="−(2/β) mean log σ(β(S − S_ref)), β = 0.5", name="`npo`",
             ours=always(objective_of("npo", beta=0.5)), theirs=lambda x, _: npo(s(x[F]) - s(x[F], x[F].zr), 0.5)),
        Line(peer="Yu et al. 2025", method="SimNPO", formula="−(2/β) mean log σ(β S), β = 1",
             name="`simnpo_sequence`", ours=always(objective_of("simnpo_sequence")),
             theirs=lambda x, _: npo(s(x[F]), 1.0)),
    ]  # fmt: skip


def _taxonomy(rows: Rows, beta: float, *, answers_only: bool) -> float:
    y = rows.y.copy()
    if not answers_only:
        for b, row in enumerate(y):
            last = np.flatnonzero(row != IGNORED)[-1]
            y[b, : last + 1] = rows.ids[b, : last + 1]
    whole = Rows(z=rows.z, zr=rows.zr, y=y, ids=rows.ids, h=rows.h, hr=rows.hr)
    count = n(whole, shifted=True)
    return npo(s(whole) / count - s(whole, whole.zr) / count, beta)


def _maximum_entropy(rows: Rows) -> float:
    logp = log_softmax(rows.z[:, :-1], axis=-1)
    return float((-logp.mean(axis=-1) - np.log(VOCABULARY))[rows.mask[:, 1:]].mean())


def compared(line: Line, theirs: Theirs) -> float:
    """Return the largest relative difference of value and derivative between theirs and ours."""
    rows, direction = line.rows, batch(9)
    value, slope = ours(line.ours(rows), rows, direction)
    forward, backward = ({k: r.moved(direction[k], by) for k, r in rows.items()} for by in (STEP, -STEP))
    their_slope = (theirs(forward, rows) - theirs(backward, rows)) / (2 * STEP)
    pairs = ((value, theirs(rows, rows)), (slope, their_slope))
    return max(abs(a - b) / max(abs(a), abs(b), 1e-12) for a, b in pairs)


def page() -> str:
    """Return the page."""
    out = [
        *INTRODUCTION.splitlines(),
        "",
        "| peer | its method | its formula | ours | difference | why | without it |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in _lines():
        found = compared(line, line.theirs)
        left = "" if line.repaired is None else _words(compared(line, line.repaired))
        if bool(line.differs) != (found > EQUAL) or (line.repaired is not None and left != "equal"):
            raise SystemExit(f"{line.peer} {line.method}: {found:g}, left {left or 'nothing'}: the page would be wrong")
        cells = (line.peer, line.method, line.formula, line.name, _words(found), line.differs, left)
        out.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    out += ["", *NOT_OFFERED.splitlines(), ""]
    return "\n".join(out)


def _words(difference: float) -> str:
    return "equal" if difference <= EQUAL else f"{difference:.2g}"


def main() -> None:
    """Write the page, or check it."""
    text = page()
    if sys.argv[1:] == ["--check"]:
        raise SystemExit(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    print(PAGE.relative_to(ROOT))


if __name__ == "__main__":
    main()
