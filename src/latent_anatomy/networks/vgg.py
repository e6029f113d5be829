"""VGG16's convolutions, and a narrow network that learns to give the same maps (Salehi 2021, released code).

Five levels of [Conv 3x3, ReLU], each ended by 2x2 max-pooling. The narrow network is without bias, with batch
normalisation before each ReLU but the last of a level, and as wide as VGG where levels 2 to 5 end.
"""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
NARROW = ((16, 16), (16, 128), (16, 16, 256), (16, 16, 512), (16, 16, 512))
FULL = 64  # of the first level of VGG16

Relu = Callable[[Tensor], Tensor]


class GuidedRelu(torch.autograd.Function):
    """ReLU that lets no negative gradient pass (Springenberg et al. 2014, arXiv 1412.6806)."""

    @staticmethod
    def forward(context, features):
        context.save_for_backward(features)
        return features.relu()

    @staticmethod
    def backward(context, gradient):
        (features,) = context.saved_tensors
        return gradient.relu() * (features > 0)


class Vgg(nn.Module):
    """Images (N, 3, H, W) -> the maps after the pools of levels 2 to 5, of width / 64 of all channels."""

    def __init__(self, narrow: bool, width: int = FULL):
        super().__init__()
        self.levels = nn.ModuleList()
        inputs = 3
        for level in NARROW if narrow else VGG16:
            layers = nn.ModuleList()
            for place, channels in enumerate(level, start=1):
                outputs = channels * width // FULL
                convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=not narrow)
                norm = nn.BatchNorm2d(outputs) if narrow and place < len(level) else nn.Identity()
                layers.append(nn.Sequential(convolution, norm))
                inputs = outputs
            self.levels.append(layers)

    def forward(self, images: Tensor, relu: Relu = torch.relu) -> list[Tensor]:
        features, maps = images, []
        for level in self.levels:
            for layer in level:
                features = relu(layer(features))
            features = F.max_pool2d(features, 2)
            maps.append(features)
        return maps[1:]

    def load_torchvision(self, path: Path) -> None:
        """torchvision's weights of VGG16 for ImageNet, vgg16-397923af.pth."""
        given = torch.load(path, map_location="cpu", weights_only=True)
        layers = [layer[0] for level in self.levels for layer in level]
        names = [name.removesuffix(".weight") for name in given if name.startswith("features.")]
        names = [name for name in names if not name.endswith(".bias")]
        for layer, name in zip(layers, names, strict=True):
            layer.load_state_dict({kind: given[f"{name}.{kind}"] for kind in ("weight", "bias")})


def drawn(seed: int, width: int) -> Vgg:
    """VGG16 of random weights, He's of the outputs, biases of 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Vgg(narrow=False, width=width)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)
    return network
