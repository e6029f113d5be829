"""ResNet-18 for small images: He 2016 with the 3x3 stem that MedMNIST v2 uses at 28x28 pixels."""

import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation around a shortcut (He 2016, figure 5 left)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, features: Tensor) -> Tensor:
        branch = F.relu(self.bn1(self.conv1(features)))
        return F.relu(self.bn2(self.conv2(branch)) + self.shortcut(features))


class ResNet18(nn.Sequential):
    """Images (N, channels, H, W) float -> logits (N, outputs) float.

    Stem 3x3 with stride 1 and no max-pooling; stages of two blocks with 64, 128, 256 and 512 channels.
    """

    def __init__(self, channels: int, outputs: int):
        stages, inputs = [], 64
        for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            stages += [BasicBlock(inputs, width, stride), BasicBlock(width, width, 1)]
            inputs = width
        super().__init__(
            nn.Conv2d(channels, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            *stages,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(512, outputs),
        )
