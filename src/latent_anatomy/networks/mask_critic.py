"""The critic of masks that SDNet and its GAN baseline share (Chartsias 2019, section 3.2; released code).

DCGAN's discriminator without batch normalisation, trained by least squares (Mao 2017). With a first width f
(64), all convolutions 4x4 and padded as Keras' "same", LeakyReLU with slope 0.2 after each:

    Conv f stride 2; Conv 2f, 4f, 8f stride 2; Conv 16f stride 1; flatten; Linear to 1

What the released code adds and the paper does not mention: a penalty that pulls the weights W of all
convolutions but the first towards a spectral norm of 1, mean |stop(W / sigma) - W| for each layer, where W
is a matrix of (taps x inputs, outputs) and sigma its largest singular value as of 3 power iterations, which
start at every step from the same random vector; and a pool of the last 50 fakes, from which each batch of
fakes is sampled.

The two critics of the previous model (`methods.spatial_factorisation`), of masks and of images, are of the
same kind: half as wide, with one halving less, and a last convolution 4x4 to one output for each place.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latent_anatomy.networks.encoder_decoder import as_keras
from latent_anatomy.networks.segmentation_losses import least_squares

KERNEL, SLOPE, POWER_ITERATIONS = 4, 0.2, 3


class SameConv2d(nn.Conv2d):
    """A convolution to ceil(size / stride) whose odd pixel of padding, if any, is at the bottom right."""

    def forward(self, features: Tensor) -> Tensor:
        height, width = (
            max((-(-size // stride) - 1) * stride + kernel - size, 0)
            for size, stride, kernel in zip(features.shape[2:], self.stride, self.kernel_size, strict=True)
        )
        sides = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(F.pad(features, sides))


class MaskCritic(nn.Module):
    """Masks (N, L, H, W) in [0, 1] -> outputs (N, 1) float32, 1 for real and 0 for fake.

    With `by_place`, an output (N, 1, H/2^halvings, W/2^halvings), rounded up, for each place.
    """

    def __init__(
        self,
        planes: int,
        size: tuple[int, int],
        width: int = 64,
        halvings: int = 4,
        by_place: bool = False,
    ):
        super().__init__()
        layers, inputs, (rows, columns) = [], planes, size
        for i, stride in enumerate([2] * halvings + [1]):
            layers += [SameConv2d(inputs, width * 2**i, KERNEL, stride=stride), nn.LeakyReLU(SLOPE)]
            inputs, rows, columns = width * 2**i, -(-rows // stride), -(-columns // stride)
        self.features = nn.Sequential(*layers)
        self.by_place = by_place
        self.verdict = SameConv2d(inputs, 1, KERNEL) if by_place else nn.Linear(inputs * rows * columns, 1)
        self.apply(as_keras)
        for i, layer in enumerate(self.penalised()):
            self.register_buffer(f"start{i}", torch.rand(layer.out_channels) * 2 - 1)

    def forward(self, masks: Tensor) -> Tensor:
        features = self.features(masks)
        return self.verdict(features if self.by_place else features.flatten(1)).float()

    def penalised(self) -> list[nn.Conv2d]:
        """The convolutions with a spectral penalty: all but the first."""
        return [layer for layer in self.features if isinstance(layer, nn.Conv2d)][1:]

    def spectral_penalty(self, iterations: int = POWER_ITERATIONS) -> Tensor:
        """Sum over layers of mean |stop(W / sigma) - W|: a scalar."""
        penalties = []
        for i, layer in enumerate(self.penalised()):
            weight = layer.weight
            sigma = spectral_norm(weight.detach().flatten(1), getattr(self, f"start{i}"), iterations)
            penalties.append((weight.detach() / sigma - weight).abs().mean())
        return torch.stack(penalties).sum()


@torch.no_grad()
def spectral_norm(matrix: Tensor, start: Tensor, iterations: int) -> Tensor:
    """Largest singular value of (m, n) by power iterations from `start` (m,): a scalar."""
    left = start
    with torch.autocast(matrix.device.type, enabled=False):
        for _ in range(iterations):
            right = F.normalize(left @ matrix, dim=0)
            left = F.normalize(matrix @ right, dim=0)
        return left @ matrix @ right


class FakePool(nn.Module):
    """The last `capacity` fakes, (L, H, W) each; a capacity of 0 is no pool.

    They are buffers, so in the checkpoint: a run that is killed must go on with the same fakes to end with
    the same bits. 50 of 3x224x224 are 30 MB beside 183 MB of weights.
    """

    def __init__(self, capacity: int, planes: int, size: tuple[int, int]):
        super().__init__()
        self.register_buffer("masks", torch.zeros(capacity, planes, *size))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def exchange(self, fakes: Tensor) -> Tensor:
        """Put fakes (n, L, H, W) in, and sample as many without replacement, not all from the last."""
        capacity = len(self.masks)
        if not capacity:
            return fakes.detach()
        self.masks = torch.cat([self.masks, fakes.detach().to(self.masks.dtype)])[-capacity:]
        self.count = (self.count + len(fakes)).clamp(max=capacity)
        places = torch.arange(capacity, device=fakes.device)
        chances = torch.rand(capacity, device=fakes.device).masked_fill(places < capacity - self.count, -1)
        return self.masks[chances.topk(min(len(fakes), capacity)).indices]


def outputs(critic: nn.Module, pool: FakePool, real: Tensor, fakes: Tensor) -> tuple[Tensor, Tensor]:
    """D(real) and D(fakes); of the two batches (N, L, H, W) the shorter one counts.

    The fakes go into the pool, and others come out.
    """
    fakes = pool.exchange(fakes)
    count = min(len(real), len(fakes))
    return critic(real[:count]), critic(fakes[:count])


def critic_losses(
    critic: MaskCritic, pool: FakePool, real: Tensor, fakes: Tensor, spectral_weight: float
) -> dict[str, Tensor]:
    """What the critic minimises, (D(real) - 1)^2 + D(fakes)^2 + spectral_weight penalty, as "critic".

    Beside it the penalty and the mean outputs on real masks and fakes, which are (N, L, H, W).
    """
    of_real, of_fakes = outputs(critic, pool, real, fakes)
    penalty = critic.spectral_penalty()
    loss = least_squares(of_real, real=True) + least_squares(of_fakes, real=False)
    return {
        "critic": loss + spectral_weight * penalty,
        "spectral_penalty": penalty,
        "critic_on_real": of_real.mean(),
        "critic_on_fakes": of_fakes.mean(),
    }
