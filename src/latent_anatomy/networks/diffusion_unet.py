"""U-Net that predicts the noise of a diffusion model, arranged as MONAI's DiffusionModelUNet (after Ho 2020).

Res = [group norm, SiLU, Conv 3x3] twice, the step's embedding added between, plus the input (1x1 where widths
differ). At each level one Res on the way down, two on the way up, each with self-attention behind it where
the level has attention; in the middle Res, attention, Res. Down is a Conv 3x3 of stride 2, up repetition and
a Conv 3x3. The last convolution of each Res and of the network starts at 0.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON, LONGEST = 1e-6, 10_000


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """A convolution that starts at 0."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Residual(nn.Module):
    """Res above: maps (N, inputs, H, W) and embeddings (N, E) -> maps (N, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, embedding: int, groups: int):
        super().__init__()
        self.first_norm = nn.GroupNorm(groups, inputs, eps=EPSILON)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.embedded = nn.Linear(embedding, outputs)
        self.second_norm = nn.GroupNorm(groups, outputs, eps=EPSILON)
        self.second = zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        hidden = self.first(F.silu(self.first_norm(features)))
        hidden = hidden + self.embedded(F.silu(embedding))[:, :, None, None]
        return self.second(F.silu(self.second_norm(hidden))) + self.skip(features)


class Attention(nn.Module):
    """Self-attention with one head over all places of maps (N, C, H, W), plus the maps."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=EPSILON)
        self.query, self.key, self.value, self.out = (nn.Linear(channels, channels) for _ in range(4))

    def forward(self, features: Tensor) -> Tensor:
        places = self.norm(features).flatten(2).transpose(1, 2)
        seen = F.scaled_dot_product_attention(self.query(places), self.key(places), self.value(places))
        return features + self.out(seen).transpose(1, 2).unflatten(2, features.shape[2:])


class Stage(nn.Module):
    """Res, and attention behind it or not."""

    def __init__(self, inputs: int, outputs: int, embedding: int, groups: int, attention: bool):
        super().__init__()
        self.residual = Residual(inputs, outputs, embedding, groups)
        self.attention = Attention(outputs, groups) if attention else nn.Identity()

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        return self.attention(self.residual(features, embedding))


class DiffusionUNet(nn.Module):
    """Noisy images (N, C, H, W) and their steps (N,) -> their noise (N, C, H, W).

    ValueError for a `size` (H, W) that cannot be halved once less than there are widths.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        widths: Sequence[int],
        attention: Sequence[bool],
        groups: int,
    ):
        super().__init__()
        halvings = 2 ** (len(widths) - 1)
        if any(side % halvings for side in size):
            raise ValueError(
                f"diffusion U-Net: expected images with sides divisible by {halvings} (widths: "
                f"{len(widths)}), found {size[0]}x{size[1]}: give fewer widths, or resize the slices"
            )
        first, last, embedding = widths[0], widths[-1], 4 * widths[0]
        self.width = first
        self.steps = nn.Sequential(nn.Linear(first, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.entry = nn.Conv2d(channels, first, 3, padding=1)
        levels = list(zip(pairwise([first, *widths]), attention, strict=True))
        self.down = nn.ModuleList(Stage(*each, embedding, groups, seen) for each, seen in levels)
        self.shrink = nn.ModuleList(nn.Conv2d(width, width, 3, stride=2, padding=1) for width in widths[:-1])
        self.middle = Stage(last, last, embedding, groups, True)
        self.after = Residual(last, last, embedding, groups)
        self.up, self.grow, below = nn.ModuleList(), nn.ModuleList(), last
        for (before, width), seen in reversed(levels):
            skipped = ((below, width), (width, before))  # what comes from below, what comes from beside
            self.up.append(
                nn.ModuleList(Stage(sum(each), width, embedding, groups, seen) for each in skipped)
            )
            below = width
        self.grow.extend(nn.Conv2d(width, width, 3, padding=1) for width in reversed(widths[1:]))
        self.exit_norm = nn.GroupNorm(groups, first, eps=EPSILON)
        self.exit = zeroed(nn.Conv2d(first, channels, 3, padding=1))

    def forward(self, images: Tensor, steps: Tensor) -> Tensor:
        embedding = self.steps(waves(steps, self.width))
        features = self.entry(images)
        skipped = [features]
        for number, stage in enumerate(self.down):
            features = stage(features, embedding)
            skipped.append(features)
            if number < len(self.shrink):
                features = self.shrink[number](features)
                skipped.append(features)
        features = self.after(self.middle(features, embedding), embedding)
        for number, stages in enumerate(self.up):
            for stage in stages:
                features = stage(torch.cat([features, skipped.pop()], dim=1), embedding)
            if number < len(self.grow):
                features = self.grow[number](F.interpolate(features, scale_factor=2))
        return self.exit(F.silu(self.exit_norm(features)))


def waves(steps: Tensor, width: int) -> Tensor:
    """Steps (N,) as cosines and sines of `width` / 2 frequencies: (N, width) float32."""
    frequencies = torch.exp(-math.log(LONGEST) * torch.arange(width // 2, device=steps.device) / (width // 2))
    angles = steps[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)
