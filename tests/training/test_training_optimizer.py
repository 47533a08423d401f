import pytest
import torch

from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.training.optimizer import load_moments, make_optimizer, moments_of

SIZES = (3, 16, 1000)
RATE, DECAY, BETA1, BETA2, EPSILON = 0.05, 0.1, 0.9, 0.999, 1e-8
# Half a unit in the last place per rounding; moments and weights are rounded at each of three steps.
ROUNDING = {torch.float64: 1e-14, torch.float32: 2e-6, torch.bfloat16: 3e-2}


def recipe(optimizer):
    return TrainingRecipe(learning_rate=RATE, max_steps=3, optimizer=optimizer, weight_decay=DECAY)


def parameters(dtype):
    generator = torch.Generator().manual_seed(0)
    return {
        f"w{size}": torch.nn.Parameter(torch.randn(size, generator=generator, dtype=torch.float64).to(dtype))
        for size in SIZES
    }


def gradients(step):
    generator = torch.Generator().manual_seed(step + 1)
    return {f"w{size}": torch.randn(size, generator=generator, dtype=torch.float64) for size in SIZES}


def expected(optimizer, start, steps):
    """The update rules written out in float64."""
    found = {}
    for name, value in start.items():
        weight = value.detach().double().clone()
        first, second = torch.zeros_like(weight), torch.zeros_like(weight)
        for step in range(steps):
            gradient = gradients(step)[name]
            if optimizer == "sgd":
                weight = (1 - RATE * DECAY) * weight - RATE * gradient
                continue
            first = BETA1 * first + (1 - BETA1) * gradient
            second = BETA2 * second + (1 - BETA2) * gradient**2
            corrected = (second / (1 - BETA2 ** (step + 1))).sqrt() + EPSILON
            weight = (1 - RATE * DECAY) * weight - RATE * first / (1 - BETA1 ** (step + 1)) / corrected
        found[name] = weight
    return found


def advance(optimizer, weights, steps):
    for step in steps:
        for name, gradient in gradients(step).items():
            weights[name].grad = gradient.to(weights[name].dtype)
        optimizer.step()


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_every_weight_follows_the_update_rule(kind, dtype):
    weights = parameters(dtype)
    rule = expected(kind, weights, 3)
    advance(make_optimizer(recipe(kind), weights), weights, range(3))
    for name, weight in weights.items():
        torch.testing.assert_close(weight.detach().double(), rule[name], rtol=ROUNDING[dtype], atol=ROUNDING[dtype])


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_moments_put_back_go_on_bit_for_bit(kind):
    weights = parameters(torch.float32)
    optimizer = make_optimizer(recipe(kind), weights)
    assert moments_of(optimizer, weights) == {}
    advance(optimizer, weights, range(2))
    kept = moments_of(optimizer, weights)
    assert len(kept) == (9 if kind == "adamw" else 0)
    other = {name: torch.nn.Parameter(weight.detach().clone()) for name, weight in weights.items()}
    again = make_optimizer(recipe(kind), other)
    load_moments(again, other, kept)
    advance(optimizer, weights, [2])
    advance(again, other, [2])
    assert all(torch.equal(weights[name], other[name]) for name in weights)
    assert all(
        torch.equal(a, b)
        for a, b in zip(moments_of(again, other).values(), moments_of(optimizer, weights).values(), strict=True)
    )


def test_a_weight_without_gradient_keeps_its_own_count():
    weights = parameters(torch.float32)
    optimizer = make_optimizer(recipe("adamw"), weights)
    weights["w3"].grad = torch.ones(3)
    optimizer.step()
    kept = moments_of(optimizer, weights)
    assert set(kept) == {"exp_avg/w3", "exp_avg_sq/w3", "step/w3"}
    other = parameters(torch.float32)
    again = make_optimizer(recipe("adamw"), other)
    load_moments(again, other, kept)
    advance(again, other, [0])
    assert {name: float(moments_of(again, other)[f"step/{name}"]) for name in other} == {"w3": 2, "w16": 1, "w1000": 1}


@pytest.mark.parametrize("odd", [{"exp_avg/w3": torch.zeros(3)}, {"exp_avg/other": torch.zeros(3)}])
def test_moments_of_something_else_are_refused(odd):
    weights = parameters(torch.float32)
    with pytest.raises(ValueError, match="optimizer moments do not match"):
        load_moments(make_optimizer(recipe("adamw"), weights), weights, odd)
    with pytest.raises(ValueError, match="optimizer moments do not match"):
        load_moments(make_optimizer(recipe("sgd"), weights), weights, odd)
