"""LPIPS, how different two images look, at each pixel.

Zhang, Isola, Efros, Shechtman, Wang: The unreasonable effectiveness of deep features as a perceptual metric.
CVPR 2018 (arXiv 1801.03924). Of the maps of a network, each of unit length over its channels at every place,

    d(a, b) = sum over maps l of up( sum over channels c of w_lc (a_lc - b_lc)^2 )

up to the size of the images, bilinear. Learnt weights w belong to the network that they were learnt with; for
any other one w = 1, with which the paper has the cosine distance.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latent_anatomy.networks.squeezenet import SqueezeNet

PLACES = {1: 64, 3: 128, 5: 256, 6: 384, 7: 384, 8: 512, 9: 512}  # maps of SqueezeNet, and their channels
EPSILON, SEED = 1e-10, 2018
SMALLEST = 32  # of a side, that SqueezeNet has features of


class Lpips(nn.Module):
    """Images (N, 1 or 3, H, W) in [0, 1], two of each -> distances (N, 1, H, W), not below 0.

    Without weights, those of the network are drawn with a fixed seed.
    """

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            self.network = SqueezeNet()
        self.heads = nn.ParameterList(torch.ones(1, channels, 1, 1) for channels in PLACES.values())

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        given, compared = self.network(images), self.network(others)
        distance = images.new_zeros(len(images), 1, *images.shape[2:])
        for head, place in zip(self.heads, PLACES, strict=True):
            apart = (unit(given[place]) - unit(compared[place])).square()
            plane = (head * apart).sum(1, keepdim=True)
            distance = distance + F.interpolate(plane, images.shape[2:], mode="bilinear", align_corners=False)
        return distance

    def load_heads(self, path: Path) -> None:
        """Zhang's learnt weights of SqueezeNet, version 0.1."""
        given = torch.load(path, map_location="cpu", weights_only=True)
        for number, head in enumerate(self.heads):
            head.data.copy_(given[f"lin{number}.model.1.weight"])


def unit(maps: Tensor) -> Tensor:
    """Maps (N, C, H, W) of length 1 over C."""
    return maps / (maps.square().sum(1, keepdim=True).sqrt() + EPSILON)
