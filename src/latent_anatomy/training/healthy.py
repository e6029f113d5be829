"""What RA and the methods beside it share: they learn healthy images, and redraw any image as a healthy one.

Bercea, Wiestler, Rueckert, Schnabel: Towards universal unsupervised anomaly detection in medical imaging.
2024 (arXiv 2401.10637). The paper prints no setting of a training; the defaults are those of the authors'
released code for brains:

    augmentation    "affine": turned, shifted, scaled and mirrored, see `networks.affine`; of wrists and
                    chests "none"
    restore         the weights of the epoch with the least validation error. The released trainers of RA and
                    SI-VAE mean to keep them, but hold on to the weights that go on changing: False
    latent          what is decoded at evaluation. Released: z is "sampled" there too; "mean" is the other
                    choice. Here every image gets the same noise, so that its reconstruction does not depend
                    on the images beside it

All maps but RA's and MKD's are |x - r|.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from latent_anatomy.networks.affine import randomly_moved
from latent_anatomy.training.method import Data, MethodParams, Selection, Stack

TEST_SEED = 2401  # of everything that is drawn at evaluation
AT_ONCE = 16  # images of a stack that are redrawn at once


class HealthyParams(MethodParams):
    """What all of them have."""

    epochs: int = Field(1500, ge=1, description="Passes over the healthy images.")
    batch_size: int = Field(8, ge=1, description="Images per step.")
    steps_per_epoch: int | None = Field(None, ge=1, description="Of training; None: every image once.")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's.")
    augmentation: Literal["affine", "none"] = Field("affine", description="Of training images.")

    def shown(self, images: Tensor) -> Tensor:
        """Training images (N, C, H, W) as the networks see them."""
        return randomly_moved(images) if self.augmentation == "affine" else images


class SelectedParams(HealthyParams):
    """Of those that keep the best epoch, or would."""

    minimum_change: float = Field(
        1e-8, ge=0, description="Of the validation error, in an epoch that is better."
    )
    patience: int = Field(500, ge=1, description="Epochs without a better one before training stops.")
    restore: bool = Field(True, description="Whether the best epoch is kept, or the last one.")

    def selection(self, value: str) -> Selection:
        """How training ends, by the validation value that is to be least."""
        return Selection(value, "min", self.minimum_change, self.patience, self.restore)


class Redraws:
    """Of a method with `reconstruct`: its map is |x - r|, or what else its `residual` is."""

    def anomaly_map(self, stack: Stack) -> Tensor:
        """How abnormal each pixel of a patient is, (S, 1, H, W) float32, not below 0."""
        return self.residual(stack.images, redrawn(stack, self.reconstruct))

    def residual(self, images: Tensor, reconstructions: Tensor) -> Tensor:
        """What the anomaly map of images (N, C, H, W) is, given their reconstructions: (N, 1, H, W)."""
        return absolute(images, reconstructions)


def absolute(images: Tensor, reconstructions: Tensor) -> Tensor:
    """|x - r| of images (N, C, H, W), averaged over channels: (N, 1, H, W) float32."""
    return (images.float() - reconstructions.float()).abs().mean(1, keepdim=True)


def smooth(maps: Tensor, sigma: float) -> Tensor:
    """Maps (N, 1, H, W), each smoothed by a Gaussian; reflected at the border."""
    from scipy.ndimage import gaussian_filter

    if not sigma:
        return maps
    return torch.from_numpy(gaussian_filter(maps.cpu().numpy(), (0, 0, sigma, sigma))).to(maps.device)


def redrawn(stack: Stack, reconstruct: Callable[[Tensor], Tensor]) -> Tensor:
    """Reconstructions (S, C, H, W) of a patient's slices, some at a time."""
    return torch.cat([reconstruct(part) for part in stack.images.split(AT_ONCE)])


def parts(data: Data, size: int) -> Iterator[Tensor]:
    """The images of a split, `size` at a time."""
    for rows in torch.arange(len(data), device=data.device).split(size):
        yield data.batch(rows).images


def test_generator() -> torch.Generator:
    """Of what is drawn at evaluation: on the CPU, and the same each time."""
    return torch.Generator().manual_seed(TEST_SEED)


def noise_like(mean: Tensor) -> Tensor:
    """Standard normal noise for one of means (N, ...), which all of them get: (1, ...)."""
    return torch.randn(1, *mean.shape[1:], generator=test_generator()).to(mean)


class Plateau(ReduceLROnPlateau):
    """A tenth of the rate after `patience` epochs that are not better, by a value that it asks for itself."""

    def __init__(self, optimiser: Optimizer, value: Callable[[], float], patience: int = 10):
        super().__init__(optimiser, patience=patience)
        self.value = value

    def step(self):
        super().step(self.value())

    def state_dict(self):
        return {name: each for name, each in super().state_dict().items() if name != "value"}
