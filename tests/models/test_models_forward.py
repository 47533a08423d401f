"""Token log-probabilities against the library's own loss, and against every way of batching them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from models_support import NANO
from torch.nn import functional as F

from retrain_equivalence.models.base import attention_of
from retrain_equivalence.models.codec import Codec, Encoded
from retrain_equivalence.models.directory import MODEL_TYPES
from retrain_equivalence.models.forward import log_distributions, pad, token_logps
from retrain_equivalence.models.quiet import quiet

ROWS = [
    ("Who wrote the letter?", "The old captain did, in March."),
    ("What is 3 + 4?", "7"),
    ("", "The river is wide here, and in winter it freezes."),
    ("Name a fruit.", "A pear, a plum, or perhaps a quince from the garden behind the house."),
]


def rows_of(codec: Codec) -> list[Encoded]:
    return [codec.encode(prompt, response, id=str(n)) for n, (prompt, response) in enumerate(ROWS)]


def small_config(model_type: str) -> object:
    """The smallest model of an architecture, with its own quirks (soft caps, windows, partial rotary) left on."""
    from transformers import AutoConfig

    common = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1,
        "eos_token_id": 2,
    }  # fmt: skip
    if model_type == "gpt2":
        common = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    if model_type in {"gemma", "gemma2", "gemma3_text"}:
        common["head_dim"] = 8
    if model_type in {"gemma2", "gemma3_text", "mistral", "phi3"}:
        common["sliding_window"] = 8
    return AutoConfig.for_model(model_type, **common)


def random_rows(vocabulary: int, lengths: Sequence[tuple[int, int]]) -> list[Encoded]:
    generator = torch.Generator().manual_seed(3)
    drawn = [(torch.randint(3, vocabulary, (length,), generator=generator), n_prompt) for n_prompt, length in lengths]
    return [Encoded(id=str(n), ids=tuple(ids.tolist()), n_prompt=n_prompt) for n, (ids, n_prompt) in enumerate(drawn)]


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_architecture_agrees_with_the_librarys_own_loss(model_type: str) -> None:
    from transformers import AutoModelForCausalLM

    with quiet(), torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(
            small_config(model_type), attn_implementation=attention_of(model_type)
        ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)  # far from uniform, so that a soft cap shows
    batch = pad(random_rows(64, [(3, 20), (1, 13), (9, 17)]), pad_id=0)
    attention = (torch.arange(20) < torch.tensor([[20], [13], [17]])).long()
    labels = torch.where(batch.targets_BT, batch.ids_BT, -100)
    with torch.no_grad():
        expected = model(batch.ids_BT, attention_mask=attention, labels=labels, use_cache=False).loss
        logps, mask = token_logps(model, batch)
    assert float(-logps.sum() / mask.sum()) == pytest.approx(float(expected), abs=1e-6 * max(1.0, float(expected)))


def test_gradient_is_that_of_the_librarys_own_loss(nano: tuple[torch.nn.Module, Codec]) -> None:
    model, codec = nano
    batch = pad(rows_of(codec), codec.pad_id)
    logps, mask = token_logps(model, batch)
    (-logps.sum() / mask.sum()).backward()
    ours = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model(batch.ids_BT, labels=torch.where(batch.targets_BT, batch.ids_BT, -100), use_cache=False).loss.backward()
    for name, parameter in model.named_parameters():
        # Measured: 2e-7 of the largest entry; two float32 summation orders.
        assert torch.allclose(ours[name], parameter.grad, rtol=0, atol=5e-6 * float(parameter.grad.abs().max())), name


def test_mask_equals_slicing(nano: tuple[torch.nn.Module, Codec]) -> None:
    model, codec = nano
    for row in rows_of(codec):
        with torch.no_grad():
            logps, mask = token_logps(model, pad([row], codec.pad_id))
            whole = F.log_softmax(model(torch.tensor([row.ids])).logits[0].float(), dim=-1)
        expected = torch.stack([whole[t - 1, row.ids[t]] for t in range(row.n_prompt, len(row.ids))])
        assert torch.allclose(logps[mask], expected, atol=2e-6)
        assert int(mask.sum()) == row.n_targets
        assert bool((logps[~mask] == 0).all())


def test_padding_and_order_of_the_batch_change_nothing(nano: tuple[torch.nn.Module, Codec]) -> None:
    model, codec = nano
    rows = rows_of(codec)
    with torch.no_grad():
        alone = [token_logps(model, pad([row], codec.pad_id))[0][0] for row in rows]
        for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
            for pad_id in (codec.pad_id, codec.end_id, 77):
                logps, mask = token_logps(model, pad([rows[n] for n in order], pad_id))
                for b, n in enumerate(order):
                    row = alone[n]
                    assert torch.allclose(logps[b, : len(row)], row, atol=5e-6)
                    assert int(mask[b].sum()) == rows[n].n_targets
                    assert bool((logps[b, len(row) :] == 0).all())


def test_log_distributions_contain_the_token_logps(nano: tuple[torch.nn.Module, Codec]) -> None:
    model, codec = nano
    batch = pad(rows_of(codec), codec.pad_id)
    with torch.no_grad():
        logp_NV, index_N2 = log_distributions(model, batch)
        logps_BT, mask_BT = token_logps(model, batch)
    assert torch.equal(index_N2, mask_BT.nonzero())
    assert torch.allclose(logp_NV.exp().sum(-1), torch.ones(len(logp_NV)), atol=1e-5)
    picked = logp_NV.gather(1, batch.ids_BT[mask_BT][:, None])[:, 0]
    assert torch.allclose(picked, logps_BT[mask_BT], atol=1e-6)


def test_bfloat16_returns_float32_close_to_float32(nano: tuple[torch.nn.Module, Codec]) -> None:
    model, codec = nano
    batch = pad(rows_of(codec), codec.pad_id)
    with torch.no_grad():
        full, mask = token_logps(model, batch)
        half, _ = token_logps(model.to(torch.bfloat16), batch)
    assert half.dtype is torch.float32
    assert float((half - full)[mask].abs().mean()) < 0.1 * float(full[mask].abs().mean())
    assert not torch.equal(half, full)


def test_float64_stays_float64(nano: tuple[torch.nn.Module, Codec]) -> None:
    model, codec = nano
    logps, _ = token_logps(model.double(), pad(rows_of(codec), codec.pad_id))
    assert logps.dtype is torch.float64


def test_batches_that_cannot_be_scored_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        pad([], 0)
    with pytest.raises(ValueError, match="first id"):
        pad([Encoded(id="x", ids=(1, 2), n_prompt=0)], 0)


def test_recipe_dtype_is_honoured(nano_directory: object) -> None:
    from dataclasses import replace

    from retrain_equivalence.models.base import load_base

    model, _ = load_base(nano_directory, replace(NANO, dtype="bfloat16"))  # type: ignore[arg-type]
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert not model.training
