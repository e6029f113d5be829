"""Encoders that were never trained: what a protocol finds in them says what its numbers are worth."""

import torch
from torch import nn

from latent_anatomy.evaluation.common import embed, spaced
from latent_anatomy.networks.batchnorm import recalibrated
from latent_anatomy.training.method import Data

IMAGES = 512  # of the training split, for the statistics of a fresh encoder


def fresh(method: nn.Module, train: Data, seed: int) -> nn.Module:
    """The same method as it was before its first step, up to the seed: its `params` and `shape` anew.

    In evaluation mode, with the batch statistics of up to 512 training images, evenly spaced.
    """
    rows = torch.from_numpy(spaced(len(train), IMAGES)).to(train.device)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = type(method)(method.params, method.shape).to(train.device)
        return with_statistics(encoder, train.batch(rows).images)


def with_statistics(encoder: nn.Module, images: torch.Tensor) -> nn.Module:
    """The encoder itself, in evaluation mode, with running statistics that are the means over one pass.

    images (N, C, H, W). Without them a deep untrained network shrinks its images to next to nothing.
    """
    with recalibrated(encoder):
        embed(encoder.train(), images)
    return encoder.eval()
