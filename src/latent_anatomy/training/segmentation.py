"""The recipe that SDNet and its baselines share: optimiser, rotation, losses, streams, selection.

Chartsias et al. 2019 (see `methods.unet`), section 4 and the released code. Where they differ is said in the
methods' own files.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy.metrics import dice
from latent_anatomy.networks.adversarial import gradient_share
from latent_anatomy.networks.rotation import randomly_rotated
from latent_anatomy.networks.rounding import harden
from latent_anatomy.networks.segmentation_losses import SMOOTH, dice_loss
from latent_anatomy.training import labelled_rows
from latent_anatomy.training.method import Batch, Data, MethodParams, Schedules, Selection, Stream
from latent_anatomy.training.optimisers import DecayingAdam, DecayPer, Factor, annealed

VALIDATION_BATCH = 16
DRAW = {"unlabelled": 1, "images": 2}  # seeds of which images are shown unlabelled, the same in every run


class SegmentationParams(MethodParams):
    """What all of them have; the defaults are the released ones of the U-Net, but for `soft_masks`."""

    epochs: int = Field(500, ge=1, description="Passes over the longest stream, or `steps_per_epoch`.")
    steps_per_epoch: int | None = Field(
        None, ge=1, description="Training steps of an epoch, in the place of a pass; none: as released."
    )
    batch_size: int = Field(4, ge=1, description="Slices per step and stream.")
    width: int = Field(64, ge=1, description="Channels of the U-Net's first block.")
    depth: int = Field(4, ge=1, description="Halvings of the image in the U-Net.")
    momentum: float = Field(0.99, ge=0, lt=1, description="Of batch normalisation, as Keras counts it.")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's, of every optimiser.")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's first decay rate.")
    decay: float = Field(1e-4, ge=0, description="The rate is divided by 1 + decay t.")
    decay_per: DecayPer = Field("update", description="What t counts. Printed: epoch.")
    annealed_to: float = Field(
        1.0, gt=0, le=1, description="Part of the rate that half a cosine leaves at the end. Released: all."
    )
    rotation: float = Field(
        90.0, ge=0, le=180, description="Largest rotation in degrees. 0: none, as for QMRI."
    )
    soft_masks: bool = Field(False, description="Whether rotated masks stay bilinear. Released: true.")
    doubled_smooth: bool = Field(True, description="Dice loss of -1, not 0, on what is and stays empty.")
    recalibration: int = Field(
        0, ge=0, description="Batches of which batch statistics are taken anew before validation; 0: running."
    )
    minimum_change: float = Field(
        1e-3, ge=0, description="Of the validation loss in an epoch that is better."
    )
    patience: int = Field(100, ge=1, description="Epochs without a better one before training stops.")
    restore: bool = Field(False, description="Whether the best epoch is kept. Released: the last.")

    @property
    def network(self) -> dict[str, float]:
        """What a U-Net is built with beside its channels and the size of images."""
        return {"width": self.width, "depth": self.depth, "momentum": self.momentum}

    @property
    def selection(self) -> Selection:
        """How training ends."""
        return Selection("loss", "min", self.minimum_change, self.patience, self.restore)

    def adam(self, *networks: nn.Module, each_step: int = 1) -> DecayingAdam:
        """An optimiser of all parameters of the networks, with a state and a count of its own."""
        parameters = [parameter for network in networks for parameter in network.parameters()]
        decay = self.decay if self.decay_per == "update" else 0.0
        return DecayingAdam(parameters, self.learning_rate, self.beta1, decay, each_step)

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        """The annealing, and the decay per epoch; per update the optimisers decay themselves."""

        def factor(step: int) -> float:
            epoch = 0 if self.decay_per == "update" else step // steps_per_epoch
            return annealed(step, self.epochs * steps_per_epoch, self.annealed_to) / (1 + self.decay * epoch)

        return Schedules(per_step=[Factor(optimisers.values(), factor)])

    def shown(self, batch: Batch) -> Batch:
        """A batch as the networks see it: rotated, images in [-1, 1], masks float32."""
        batch = labelled_rows.at_least_two(batch)
        images, masks = randomly_rotated(
            batch.images, batch.masks, degrees=self.rotation, soft_masks=self.soft_masks
        )
        return Batch(2 * images - 1, masks=masks)

    def shown_images(self, batch: Batch) -> Tensor:
        """The images alone; whatever masks there are do not matter."""
        return self.shown(Batch(batch.images)).images

    def dice_loss(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Of soft masks (N, L, H, W): a scalar."""
        return dice_loss(predicted, truth, self.doubled_smooth)


class CriticParams(SegmentationParams):
    """What those share whose masks of unlabelled images a critic sees; the defaults are the released SDNet's.

    `repeated_passes`: the released code passes a batch through the networks again, in inference mode, where
    it needs their output once more. "shared" takes it from the training pass: the same weights one update
    earlier, normalised by the batch's statistics instead of the running ones, and without gradient.
    Then the fakes of the critic are the masks of the unlabelled batch, instead of those of a further one.
    """

    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first decay rate.")
    minimum_change: float = Field(
        1e-2, ge=0, description="Of the validation loss in an epoch that is better."
    )
    lambda_dice: float = Field(10.0, ge=0, description="Weight of the Dice loss.")
    lambda_adversarial: float = Field(10.0, ge=0, description="Weight of the critic's output for masks.")
    critic_width: int = Field(64, ge=1, description="Filters of the critic's first layer.")
    spectral_weight: float = Field(10.0, ge=0, description="Of the critic's spectral penalty. Printed: 0.")
    pool: int = Field(50, ge=0, description="Fakes among which the critic's are sampled. Printed: 0, none.")
    real_masks: Literal["all", "labelled"] = Field("all", description="Masks that the critic sees as real.")
    unlabelled_images: int = Field(1200, ge=1, description="Of more images, so many, alike of each subject.")
    repeated_passes: Literal["shared", "as_released"] = Field("shared", description="See above.")

    def streams(self, train: Data) -> dict[str, Stream]:
        """Labelled pairs, unlabelled images, unpaired masks and, where passes are repeated, more images."""
        paired = labelled_rows.labelled(train)
        rows = {
            "labelled": paired,
            "unlabelled": labelled_rows.images(train, self.unlabelled_images, DRAW["unlabelled"]),
            "masks": labelled_rows.delineated(train) if self.real_masks == "all" else paired,
        }
        if self.repeated_passes == "as_released":
            rows["images"] = labelled_rows.images(train, self.unlabelled_images, DRAW["images"])
        return {name: Stream(indices, self.batch_size) for name, indices in rows.items()}


@torch.no_grad()
def validation_loss(method: nn.Module, data: Data) -> dict[str, Tensor]:
    """1 - soft Dice, structures pooled, smoothed by 0.1, mean over the delineated slices: "loss"."""
    values = []
    for rows in labelled_rows.delineated(data).split(VALIDATION_BATCH):
        batch = data.batch(rows)
        counts = dice.counts(method.segment(batch.images), batch.masks)
        values.append(dice.dice(counts.sum(1), SMOOTH))
    return {"loss": 1 - torch.cat(values).mean()}


@torch.enable_grad()
def adversarial_share(method: nn.Module, data: Data) -> Tensor:
    """How much of what the anatomy learns from unlabelled images the critic says: a scalar in [0, 1].

    Norm of the gradient of lambda_adversarial (D(p) - 1)^2, of the sum of both losses' norms, at s before
    rounding, on up to 16 delineated slices of `data`; the other is reconstruction and KL. Of SDNet.
    """
    images = 2 * data.batch(labelled_rows.delineated(data)[:VALIDATION_BATCH]).images - 1
    soft = method.soft(images).detach().requires_grad_()
    outputs = method.rendered(harden(soft, method.params.rounding), images)
    adversarial = method.params.lambda_adversarial * method.adversarial_loss(outputs)
    return gradient_share(adversarial, method.reconstruction_loss(outputs), soft)
