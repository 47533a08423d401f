"""How to train: the same value serves stages and unlearning, in the words of `transformers.TrainingArguments`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retrain_equivalence.core.units import Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """Optimizer, schedule, duration and batch of one stage or one unlearning run; all of it is identity."""

    learning_rate: float
    """Peak learning rate, 0 < learning_rate <= 1."""
    num_train_epochs: int | None = None
    """Passes over the data, >= 1; exactly one of this, `max_steps` and `max_tokens` is given."""
    max_steps: int | None = None
    """Optimizer steps, >= 1; the data are repeated in fresh orders as often as needed."""
    max_tokens: int | None = None
    """Real tokens, >= 1; rounded up to whole steps."""
    global_batch_size: int = 16
    """Rows per optimizer step, >= 1; never changes with the number of devices."""
    micro_batch_size: int | None = None
    """Rows per forward pass, >= 1; null takes the whole global batch. Identity: it moves rounding."""
    max_length: int = 512
    """Tokens per row at most, >= 8."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW (decoupled decay), or plain SGD without momentum (for testing theory rates)."""
    adam_beta1: float = 0.9
    """AdamW's decay of the first moment, 0 <= adam_beta1 < 1."""
    adam_beta2: float = 0.999
    """AdamW's decay of the second moment, 0 <= adam_beta2 < 1."""
    adam_epsilon: float = 1e-8
    """AdamW's term in the denominator, > 0."""
    weight_decay: float = 0.0
    """Decoupled weight decay, >= 0."""
    max_grad_norm: float | None = 1.0
    """Global-norm clip, > 0; null does not clip."""
    lr_scheduler_type: Literal["constant", "linear", "cosine", "wsd"] = "constant"
    """Shape after warm-up; `wsd` is warmup-stable-decay."""
    warmup_ratio: float = 0.02
    """Share of the steps, rounded up, that warm up linearly to the peak; no step has rate 0. 0 <= warmup_ratio < 1."""
    decay_ratio: float = 0.02
    """Only `wsd`: share of the steps that decay linearly to `min_lr_ratio` at the end, 0 <= decay_ratio <= 1."""
    min_lr_ratio: float = 0.1
    """Only `wsd`: the rate that the decay ends at, as a share of the peak."""

    @property
    def duration(self) -> Duration:
        """The duration that was given. Raises `ValueError` unless exactly one is."""
        return Duration(epochs=self.num_train_epochs, steps=self.max_steps, tokens=self.max_tokens)
