"""The optimisers without torch's compiler are torch's."""

import pytest
import torch
from torch import nn, optim

from latent_anatomy.training import optimisers

STEPS = 5


def trained(kind: type, options: dict, seed: int) -> list[torch.Tensor]:
    """Weights and gradients after some steps, saved and loaded on the way."""
    torch.manual_seed(seed)
    network, images = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)), torch.randn(8, 6)
    optimiser = kind(network.parameters(), **options)
    for step in range(STEPS):
        if step == STEPS // 2:
            state, optimiser = optimiser.state_dict(), kind(network.parameters(), **options)
            optimiser.load_state_dict(state)

        def closure(optimiser=optimiser):
            optimiser.zero_grad()
            loss = network(images).square().mean()
            loss.backward()
            return loss

        optimiser.step(closure)
    return [value for each in network.parameters() for value in (each.detach(), each.grad)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Adam", {"lr": 0.01, "fused": True}),
        ("Adam", {"lr": 0.01, "betas": (0.5, 0.9), "weight_decay": 0.1}),
        ("LBFGS", {"lr": 0.5, "max_iter": 4}),
    ],
)
def test_weights_are_those_of_torch_to_the_bit(name, options, seed):
    ours, theirs = (trained(getattr(module, name), options, seed) for module in (optimisers, optim))
    assert all(map(torch.equal, ours, theirs))
    assert not torch.equal(ours[0], trained(getattr(optim, name), options | {"lr": 0.02}, seed)[0])
