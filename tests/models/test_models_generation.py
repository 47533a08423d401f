"""Generation against a loop that anyone can read."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from retrain_equivalence.models.codec import Codec
from retrain_equivalence.models.generation import generate
from retrain_equivalence.models.lora import attach
from retrain_equivalence.recipes.model import Lora

PROMPTS = ["Who wrote the letter?", "Why?", "What is 3 + 4, and what is 12 times 12?", "Name a fruit."]


def argmax_loop(model: torch.nn.Module, codec: Codec, prompt: str, steps: int) -> str:
    ids = list(codec.encode_prompt(prompt))
    start = len(ids)
    with torch.no_grad():
        for _ in range(steps):
            token = int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
            if token == codec.end_id:
                break
            ids.append(token)
    return codec.decode(ids[start:])


def test_greedy_is_the_argmax_loop_in_any_batch(nano: tuple[torch.nn.Module, Codec]) -> None:
    model, codec = nano
    expected = [[argmax_loop(model, codec, prompt, 12)] for prompt in PROMPTS]
    assert len({answer for (answer,) in expected}) > 1
    assert generate(model, codec, PROMPTS, max_new_tokens=12) == expected
    assert generate(model, codec, PROMPTS[::-1], max_new_tokens=12) == expected[::-1]
    assert [generate(model, codec, [prompt], max_new_tokens=12)[0] for prompt in PROMPTS] == expected


def test_generation_stops_at_the_end_token(nano: tuple[torch.nn.Module, Codec]) -> None:
    model, codec = nano
    first = codec.encode_prompt("Why?")
    with torch.no_grad():
        second = int(model(torch.tensor([first])).logits[0, -1].argmax())
    codec.end_id = second  # whatever this model says first is now how an answer ends
    assert generate(model, codec, ["Why?"], max_new_tokens=12) == [[""]]


def test_samples_belong_to_their_prompt_and_seed(nano: tuple[torch.nn.Module, Codec]) -> None:
    model, codec = nano

    def sample(prompts: list[str], seed: int = 0, samples: int = 3) -> list[list[str]]:
        return generate(model, codec, prompts, max_new_tokens=8, temperature=1.0, samples=samples, seed=seed)

    torch.manual_seed(0)
    before = torch.get_rng_state()
    all_of_them = sample(PROMPTS)
    assert torch.equal(torch.get_rng_state(), before)
    assert sample(PROMPTS[2:3])[0] == all_of_them[2]
    assert sample(PROMPTS[:1], samples=1)[0] == all_of_them[0][:1]
    assert sample(PROMPTS, seed=1) != all_of_them
    assert len(set(all_of_them[0])) > 1


def test_samples_follow_the_models_distribution(nano: tuple[torch.nn.Module, Codec]) -> None:
    model, codec = nano
    n, temperature = 600, 2.0
    drawn = generate(model, codec, ["Why?"], max_new_tokens=1, temperature=temperature, samples=n)[0]
    with torch.no_grad():
        logits = model(torch.tensor([codec.encode_prompt("Why?")])).logits[0, -1]
    probabilities = (logits / temperature).softmax(-1)
    expected: Counter[str] = Counter()
    for token, p in enumerate(probabilities.tolist()):
        expected["" if token == codec.end_id else codec.decode([token])] += p  # type: ignore[assignment]
    seen = Counter(drawn)
    for text, p in expected.most_common(5):
        # Four standard errors of a fraction; the draws are fixed by the seed, so this cannot flicker.
        assert seen[text] / n == pytest.approx(p, abs=4 * (p * (1 - p) / n) ** 0.5)


def test_an_adapted_model_generates_with_its_adapter(nano: tuple[torch.nn.Module, Codec]) -> None:
    model, codec = nano
    plain = generate(model, codec, PROMPTS, max_new_tokens=8)
    adapted = attach(model, Lora(rank=4, alpha=8.0), seed=0)
    assert generate(adapted, codec, PROMPTS, max_new_tokens=8) == plain
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if ".lora_B." in name:
                parameter.fill_(0.3)
    assert generate(adapted, codec, PROMPTS, max_new_tokens=8) != plain


def test_training_mode_and_own_settings_come_back(nano: tuple[torch.nn.Module, Codec]) -> None:
    model, codec = nano
    own = model.generation_config
    model.train()
    generate(model, codec, ["Why?"], max_new_tokens=2)
    assert model.training
    assert model.generation_config is own


@pytest.mark.parametrize(
    ("temperature", "samples"), [(-1.0, 1), (float("nan"), 1), (float("inf"), 1), (0.0, 2), (1.0, 0)]
)
def test_requests_without_meaning_are_refused(
    nano: tuple[torch.nn.Module, Codec], temperature: float, samples: int
) -> None:
    with pytest.raises(ValueError, match=r"temperature|sample"):
        generate(*nano, ["Why?"], max_new_tokens=2, temperature=temperature, samples=samples)


def test_no_prompts_no_answers(nano: tuple[torch.nn.Module, Codec]) -> None:
    assert generate(*nano, [], max_new_tokens=2) == []
