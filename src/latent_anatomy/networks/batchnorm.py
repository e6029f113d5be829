"""Running statistics of batch normalisation."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def counted(network: nn.Module, times: int) -> Iterator[None]:
    """Let one training-mode forward pass move the running statistics as far as `times` equal passes.

    A pass moves them by the momentum m towards the batch's statistics; `times` passes over the same
    batch move them by 1 - (1 - m)^times. Same result, without computing the passes again.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = 1 - (1 - momentum) ** times
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


@contextmanager
def recalibrated(network: nn.Module) -> Iterator[None]:
    """Take running statistics anew: afterwards they are the means over the training-mode passes within."""
    layers = {layer: layer.momentum for layer in network.modules() if isinstance(layer, _BatchNorm)}
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # cumulative mean
    try:
        yield
    finally:
        for layer, momentum in layers.items():
            layer.momentum = momentum


@contextmanager
def predicting(*networks: nn.Module) -> Iterator[None]:
    """Inference within training: running statistics, which stay as they are, and no gradients."""
    for network in networks:
        network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for network in networks:
            network.train()


class UnmovedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation of a network that is in evaluation mode in training too: a gain and a bias.

    Mean and variance stay at 0 and 1; names and shapes of weights are those of BatchNorm2d.
    """

    def __init__(self, channels: int):
        super().__init__(channels)
        self.eval()

    def train(self, mode: bool = True) -> "UnmovedBatchNorm2d":
        return super().train(False)
