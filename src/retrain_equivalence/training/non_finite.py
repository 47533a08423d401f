"""The loss or its gradient stopped being a number."""

from __future__ import annotations

from retrain_equivalence.core.errors import Problem, RunError

SHOWN_ROWS = 8


class NonFinite(RunError):
    """Raised before the step is taken: the weights are still the last finite ones.

    In a stage it is an error, and nothing takes the stage's key; while unlearning it is an outcome.

    Args:
        step: the step that was about to be taken, counted from 1.
        loss: the loss of that step, perhaps finite if the gradient was not.
        last_finite: the loss of the step before; None at the first step of the loop.
        row_ids: the rows whose own log-probabilities are not finite, or the whole batch if all of them are.
        place: the stage or unlearning, for the message.
    """

    def __init__(
        self, step: int, loss: float, last_finite: float | None, row_ids: tuple[str, ...], place: str = ""
    ) -> None:
        self.step, self.loss, self.last_finite, self.row_ids, self.place = step, loss, last_finite, row_ids, place
        what = f"loss is {loss}" if not abs(loss) < float("inf") else f"the gradient of loss {loss:.4g} is not finite"
        before = "first step" if last_finite is None else f"last finite {last_finite:.4g} at step {step - 1}"
        rows = ", ".join(row_ids[:SHOWN_ROWS]) + (
            f" and {len(row_ids) - SHOWN_ROWS} more" if len(row_ids) > SHOWN_ROWS else ""
        )
        super().__init__(
            Problem(
                code="E-RUN-01",
                place=place,
                message=f"step {step}: {what} ({before}; rows {rows}); no step was taken",
                fix="look at these rows, lower learning_rate, or set max_grad_norm",
            )
        )

    def __reduce__(self) -> tuple[type[NonFinite], tuple[object, ...]]:  # type: ignore[override]
        return type(self), (self.step, self.loss, self.last_finite, self.row_ids, self.place)
