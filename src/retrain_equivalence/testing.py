"""The common suite for objectives, public: `check_objective(MyLoss())` in a test of your own package.

Each property is one function that raises `AssertionError` with what was found. Values are drawn in float64 from a
seeded generator; the suite reads and moves no global generator.

Legend: B rows, T token positions.
"""

from __future__ import annotations

import doctest
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING

from retrain_equivalence.core.errors import RunError
from retrain_equivalence.objectives.base import Memory, Objective, Observed, Per, Remembers, Seen, Terms
from retrain_equivalence.objectives.weighted_sum import Composition, WeightedSum
from retrain_equivalence.recipes.passes import ForwardPass, Needs, Signal, Split, Weights

if TYPE_CHECKING:
    from torch import Generator, Tensor

__all__ = ["check_objective"]

TOLERANCE = 1e-12
"""Relative, float64: sums of at most 100 terms in another order differ by less than 1e-14."""

EXTREME_LOG_RATIOS = (1e4, -1e4)
"""Nats of a whole sequence; exp() of either overflows or vanishes in float64."""

Observations = dict[ForwardPass, Observed]


def check_objective(objective: Objective | Composition | WeightedSum, *, seed: int = 0) -> None:
    """Run the whole suite on one objective; of a composition, on every part.

    Args:
        objective: an instance, with any parameters.
        seed: of the drawn observations, and of the state of an objective that has one.

    Raises:
        AssertionError: at the first property that does not hold, with its name and what was found.

    >>> from retrain_equivalence.objectives.nll import NLL
    >>> check_objective(NLL())
    """
    import torch

    if isinstance(objective, Composition):
        check_declaration(objective)
        check_doctest(type(objective))
        objective = objective.composed()
    if isinstance(objective, WeightedSum):
        for part in objective.parts:
            check_objective(part.objective, seed=seed)
        return
    check_declaration(objective)
    check_doctest(type(objective))
    draw = _Draw(objective, torch.Generator().manual_seed(seed))
    check_purity(objective, draw)
    check_finite(objective, draw)
    check_masked_values_do_not_count(objective, draw)
    check_batch_order(objective, draw)
    check_padding(objective, draw)
    check_micro_batches(objective, draw)
    check_empty_row_is_no_row(objective, draw)
    check_undeclared_passes_raise(objective, draw)
    check_locality(objective, draw)


def check_declaration(objective: Objective | Composition) -> None:
    """Name, passes, denominator and citation are there; parameters are fields of a frozen dataclass with docstrings."""
    kind = type(objective)
    _require(is_dataclass(kind) and kind.__dataclass_params__.frozen, "declaration", "the class is no frozen dataclass")
    _require(
        bool(objective.name) and objective.name.isidentifier(),
        "declaration",
        f"name {objective.name!r} is no identifier",
    )
    if not isinstance(objective, Composition):
        _require(bool(objective.passes), "declaration", "`passes` is empty")
        _require(len(set(objective.passes)) == len(objective.passes), "declaration", "`passes` lists one pass twice")
        _require(isinstance(objective.per, Per), "declaration", "`per` is no Per")
    cite = objective.cite.strip()
    _require(cite.startswith("@") and "title" in cite and "year" in cite, "declaration", "`cite` is no BibTeX entry")
    documentation = kind.__doc__ or ""
    _require("Source" in documentation, "declaration", "the docstring has no Source section")
    for field in fields(kind):  # type: ignore[arg-type]
        _require(
            field.type in ("float", "int", "str", "bool"), "declaration", f"parameter {field.name} is {field.type}"
        )


def check_doctest(kind: type) -> None:
    """The class has a doctest, and it passes."""
    module = sys.modules[kind.__module__]
    finder = doctest.DocTestFinder(recurse=False)
    tests = [t for t in finder.find(kind, kind.__name__, module=module, globs=dict(vars(module))) if t.examples]
    _require(bool(tests), "doctest", "the class docstring has none")
    printed: list[str] = []
    for test in tests:
        result = doctest.DocTestRunner(verbose=False).run(test, out=printed.append)
        _require(result.failed == 0, "doctest", "".join(printed))


def check_finite(objective: Objective, draw: _Draw) -> None:
    """Total and gradient are finite on ordinary values and for log ratios of 1e4 nats, in float64 and float32."""
    import torch

    for dtype in (torch.float64, torch.float32):
        # One split at a time too: where two are held against each other, a common shift would cancel.
        splits = dict.fromkeys(asked.split for asked in objective.passes)
        moved = ((shift, some) for shift in EXTREME_LOG_RATIOS for some in (tuple(splits), *((one,) for one in splits)))
        for shift, which in ((0.0, ()), *moved):
            observed = draw(dtype=dtype)
            for asked, seen in observed.items():
                # A log-probability is at most 0, so a ratio above 1 is made by lowering the reference.
                if asked.split in which and (shift > 0) == (asked.weights is not Weights.POLICY):
                    observed[asked] = _lowered(seen, abs(shift), asked.signal)
            total, gradients = _total_and_gradients(objective, observed)
            where = f"{dtype}, log ratio {shift:g} of {', '.join(which) or 'nothing'}"
            _require(math.isfinite(total), "finite", f"total is {total} ({where})")
            for asked, gradient in gradients.items():
                _require(bool(gradient.isfinite().all()), "finite", f"gradient of {asked} is not ({where})")


def check_masked_values_do_not_count(objective: Objective, draw: _Draw) -> None:
    """Anything at all outside the mask, nan and infinity included, changes neither total nor gradient."""
    import torch

    clean = draw()
    base = _total_and_gradients(objective, clean)
    for garbage in (1e30, -1e30, math.inf, -math.inf, math.nan):
        dirty = {
            asked: replace(seen, values_BT=torch.where(_wide(seen), seen.values_BT, garbage))
            for asked, seen in clean.items()
        }
        total, gradients = _total_and_gradients(objective, dirty)
        _require(total == base[0], "mask", f"{garbage} under the mask moves the total from {base[0]} to {total}")
        for asked, gradient in gradients.items():
            _require(
                bool((gradient == base[1][asked]).all()),
                "mask",
                f"{garbage} under the mask moves a gradient ({asked})",
            )
            outside = gradient.masked_select(~_wide(clean[asked]).expand_as(gradient))
            _require(bool((outside == 0).all()), "mask", f"{asked} has a gradient outside the mask")


def check_batch_order(objective: Objective, draw: _Draw) -> None:
    """The order of the rows changes neither total nor count."""
    observed = draw()
    rows = draw.permutation()
    turned = {asked: _rows(seen, rows) for asked, seen in observed.items()}
    _same(_terms(objective, observed), _terms(objective, turned), "batch order")


def check_padding(objective: Objective, draw: _Draw) -> None:
    """More padding on the right changes neither total nor count."""
    import torch

    observed = draw()
    wider: Observations = {}
    for asked, seen in observed.items():
        shape = (seen.mask_BT.shape[0], 3, *seen.values_BT.shape[2:])
        values_BT = torch.cat((seen.values_BT, seen.values_BT.new_full(shape, -7.0)), dim=1)
        mask_BT = torch.cat((seen.mask_BT, seen.mask_BT.new_zeros(shape[:2])), dim=1)
        labels = seen.targets_BT
        targets_BT = None if labels is None else torch.cat((labels, labels.new_zeros(shape[:2])), dim=1)
        wider[asked] = Observed(values_BT=values_BT, mask_BT=mask_BT, targets_BT=targets_BT)
    _same(_terms(objective, observed), _terms(objective, wider), "padding")


def check_micro_batches(objective: Objective, draw: _Draw) -> None:
    """Totals and counts of a batch are the sums of those of its parts, for every split in two."""
    observed = draw()
    whole = _terms(objective, observed)
    n_rows = next(iter(observed.values())).mask_BT.shape[0]
    for cut in range(1, n_rows):
        parts = [
            _terms(objective, {asked: _rows(seen, part) for asked, seen in observed.items()})
            for part in (list(range(cut)), list(range(cut, n_rows)))
        ]
        joined = Terms(total=parts[0].total + parts[1].total, count=parts[0].count + parts[1].count, per=parts[0].per)
        _same(whole, joined, f"micro-batches cut at row {cut}")


def check_empty_row_is_no_row(objective: Objective, draw: _Draw) -> None:
    """A row without a scored target adds nothing; a batch of such rows has total 0, count 0 and gradient 0."""
    observed = draw()
    n_rows = next(iter(observed.values())).mask_BT.shape[0]
    emptied = {asked: _emptied(seen, row=0) for asked, seen in observed.items()}
    rest = {asked: _rows(seen, list(range(1, n_rows))) for asked, seen in observed.items()}
    _same(_terms(objective, rest), _terms(objective, emptied), "fully masked row")
    nothing = {asked: _rows(seen, [0]) for asked, seen in emptied.items()}
    total, gradients = _total_and_gradients(objective, nothing)
    count = _terms(objective, nothing).count
    _require(total == 0 and count == 0, "fully masked batch", f"total {total}, count {count}, expected 0 and 0")
    _require(all(bool((g == 0).all()) for g in gradients.values()), "fully masked batch", "a gradient is not 0")


def check_purity(objective: Objective, draw: _Draw) -> None:
    """Two calls agree, the inputs are left alone, and no global random number is drawn."""
    import torch

    observed = draw()
    before = {asked: seen.values_BT.clone() for asked, seen in observed.items()}
    generator_state = torch.random.get_rng_state()
    first, second = _terms(objective, observed), _terms(objective, observed)
    _require(bool(first.total == second.total), "purity", f"two calls give {first.total} and {second.total}")
    kept = all(bool((before[asked] == seen.values_BT).all()) for asked, seen in observed.items())
    _require(kept, "purity", "the observed values were changed in place")
    untouched = bool((torch.random.get_rng_state() == generator_state).all())
    _require(untouched, "purity", "torch's global generator was used")


def check_undeclared_passes_raise(objective: Objective, draw: _Draw) -> None:
    """Every declared pass is read: hiding one must raise, so the list has no pass too many."""
    observed = draw()
    for hidden in objective.passes:
        kept = tuple(asked for asked in objective.passes if asked != hidden)
        try:
            objective(Seen(observed, declared=kept, name=objective.name, memory=_memory(objective)))
        except RunError:
            continue
        _require(False, "passes", f"{hidden} is declared, costs a forward pass, and is never read")


def check_locality(objective: Objective, draw: _Draw) -> None:
    """What is derived from the passes is true of the values: what is not declared changes nothing when it is swapped.

    Retain rows, preferred answers, the reference and the teacher are swapped one after another. Those that are declared
    must change the total or its gradient.
    """
    needs = Needs.of(objective.passes)
    everything, other = draw.everything(), draw.everything()
    base = _total_and_gradients(objective, everything)
    swaps: tuple[tuple[str, bool, Callable[[ForwardPass], bool]], ...] = (
        ("retain batch", needs.retain, lambda asked: asked.split is Split.RETAIN),
        ("preferred batch", needs.preferred, lambda asked: asked.split is Split.PREFERRED),
        ("reference", needs.reference, lambda asked: asked.weights is Weights.REFERENCE),
        ("teacher", needs.teacher, lambda asked: asked.weights is Weights.TEACHER),
    )
    for what, needed, is_of in swaps:
        swapped = {asked: (other if is_of(asked) else everything)[asked] for asked in everything}
        moved = _differs(base, _total_and_gradients(objective, swapped))
        expected = "must move the loss" if needed else f"must change nothing (is_local is {needs.is_local})"
        _require(moved == needed, "locality", f"another {what} {expected}")


def _differs(one: tuple[float, dict[ForwardPass, Tensor]], two: tuple[float, dict[ForwardPass, Tensor]]) -> bool:
    pairs = ((one[1][asked], two[1][asked]) for asked in one[1])
    return one[0] != two[0] or any(a.shape != b.shape or bool((a != b).any()) for a, b in pairs)


class _Draw:
    """Draws observations for every pass; passes over one split share rows and mask, as in training."""

    ROWS, TOKENS, VOCABULARY = 5, 7, 11

    def __init__(self, objective: Objective, generator: Generator) -> None:
        self._declared, self._generator = objective.passes, generator

    def __call__(self, dtype: object = None) -> Observations:
        """Return one draw for the declared passes: ragged prompts and answers, every row with a target."""
        return self._observations(self._declared, dtype)

    def everything(self) -> Observations:
        """Return one draw for every pass there is, declared or not."""
        every = (
            ForwardPass(split=s, weights=w, signal=g, layer=0 if g is Signal.HIDDEN else None)
            for s in Split for w in Weights for g in Signal
        )  # fmt: skip
        return self._observations(tuple(dict.fromkeys((*self._declared, *every))), None)

    def permutation(self) -> list[int]:
        """Return an order of the rows other than the first one."""
        return [*range(1, self.ROWS), 0]

    def _observations(self, passes: tuple[ForwardPass, ...], dtype: object) -> Observations:
        import torch

        # Preferred answers belong to the forget rows, row by row; their lengths are their own.
        masks = {split: self._mask() for split in Split}
        labels = {
            split: torch.randint(self.VOCABULARY, mask_BT.shape, generator=self._generator)
            for split, mask_BT in masks.items()
        }
        found: Observations = {}
        for asked in passes:
            mask_BT = masks[asked.split]
            depth = () if asked.signal is Signal.TOKEN_LOGPS else (self.VOCABULARY,)
            drawn = torch.randn((*mask_BT.shape, *depth), generator=self._generator, dtype=torch.float64)
            if asked.signal is Signal.TOKEN_LOGPS:
                drawn = -drawn.abs()
            elif asked.signal is Signal.LOG_DISTRIBUTION:
                drawn = drawn.log_softmax(dim=-1)
            values = drawn if dtype is None else drawn.to(dtype)  # type: ignore[call-overload]
            of_vocabulary = asked.signal in (Signal.LOG_DISTRIBUTION, Signal.LOGITS)
            targets_BT = labels[asked.split] if of_vocabulary else None
            found[asked] = Observed(values_BT=values, mask_BT=mask_BT, targets_BT=targets_BT)
        return found

    def _mask(self) -> Tensor:
        import torch

        starts_B = torch.randint(1, 3, (self.ROWS, 1), generator=self._generator)
        ends_B = torch.randint(4, self.TOKENS + 1, (self.ROWS, 1), generator=self._generator)
        position_T = torch.arange(self.TOKENS)
        return (position_T >= starts_B) & (position_T < ends_B)


def _memory(objective: Objective) -> Memory:
    return objective.init(0, _Draw.VOCABULARY) if isinstance(objective, Remembers) else {}


def _terms(objective: Objective, observed: Mapping[ForwardPass, Observed]) -> Terms:
    return objective(Seen(observed, declared=objective.passes, name=objective.name, memory=_memory(objective)))


def _total_and_gradients(objective: Objective, observed: Observations) -> tuple[float, dict[ForwardPass, Tensor]]:
    """Return the total, and its gradient in the values of every pass under the policy's weights."""
    import torch

    leaves = {
        asked: seen.values_BT.clone().requires_grad_(asked.weights is Weights.POLICY)
        for asked, seen in observed.items()
    }
    total = _terms(objective, {asked: replace(observed[asked], values_BT=leaf) for asked, leaf in leaves.items()}).total
    _require(total.dim() == 0, "shape", f"the total has shape {tuple(total.shape)}, expected one number")
    trained = {asked: leaf for asked, leaf in leaves.items() if leaf.requires_grad}
    gradients = torch.autograd.grad(total, list(trained.values()), materialize_grads=True)
    return float(total.detach()), dict(zip(trained, gradients, strict=True))


def _same(one: Terms, two: Terms, property_name: str) -> None:
    _require(one.per is two.per, property_name, f"per {one.per} became per {two.per}")
    _require(one.count == two.count, property_name, f"count {one.count} became {two.count}")
    a, b = float(one.total), float(two.total)
    _require(math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE), property_name, f"total {a!r} became {b!r}")


def _rows(seen: Observed, rows: list[int]) -> Observed:
    labels = seen.targets_BT
    return Observed(
        values_BT=seen.values_BT[rows], mask_BT=seen.mask_BT[rows], targets_BT=None if labels is None else labels[rows]
    )


def _emptied(seen: Observed, row: int) -> Observed:
    mask_BT = seen.mask_BT.clone()
    mask_BT[row] = False
    return replace(seen, mask_BT=mask_BT)


def _lowered(seen: Observed, nats: float, signal: Signal) -> Observed:
    """Make every row `nats` less likely, evenly over its targets; logits and hidden states move as far."""
    per_target_B1 = nats / seen.mask_BT.sum(dim=1, keepdim=True).clamp(min=1)
    if signal is Signal.TOKEN_LOGPS:
        return replace(seen, values_BT=seen.values_BT - per_target_B1)
    if signal is Signal.HIDDEN:
        return replace(seen, values_BT=seen.values_BT + per_target_B1.unsqueeze(-1))
    lowered = seen.values_BT.scatter_add(
        -1, seen.labels_BT1(), -per_target_B1.unsqueeze(-1).expand(*seen.mask_BT.shape, 1).to(seen.values_BT.dtype)
    )
    return replace(seen, values_BT=lowered if signal is Signal.LOGITS else lowered.log_softmax(dim=-1))


def _wide(seen: Observed) -> Tensor:
    """Return the mask with as many dimensions as the values."""
    return seen.mask_BT.view(*seen.mask_BT.shape, *(1,) * (seen.values_BT.dim() - 2))


def _require(holds: bool, property_name: str, found: str) -> None:
    if not holds:
        raise AssertionError(f"{property_name}: {found}")
