"""U-Net, the supervised baseline of SDNet, as in SDNet's released code.

Chartsias, Joyce, Papanastasiou, Semple, Williams, Newby, Dharmakumar, Tsaftaris: Disentangled representation
learning in cardiac image analysis. Medical Image Analysis 58, 2019 (arXiv 1903.09467), section 4.3a;
network and losses: `networks.unet`, `networks.segmentation_losses`. It sees labelled slices alone. The
softmax has one channel more than there are structures, the background, which is last and is left out of
Dice and of `segment`. Images are shown to the network in [-1, 1], rotated by up to 90 degrees each way.

Where paper and released code differ, or the code has what the paper does not mention:

    decay_per        printed: epoch; released: update, so lr / (1 + 1e-4 t) with t counting updates
    beta1            released: 0.9, Keras' default, but 0.5 for SDNet ("trained alike", the paper says)
    minimum_change   released: 0.001, but 0.01 for SDNet; patience 100; the last epoch's weights are tested
                     (`restore=False`), not the best one's
    doubled_smooth   printed and released: Dice loss of -1 where nothing is drawn and nothing found
    soft_masks       released: True, masks stay as bilinear rotation leaves them; here by default binary

Choices made here: an epoch shows every labelled slice once (SDNet's is longer, see there). A last batch of
one slice is shown twice. `momentum` is Keras' 0.99, which takes hundreds of updates to follow: lower it for
short runs. `width` and `depth` make the network smaller than the printed one, of 64 and 4.
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy import overlap, streams
from latent_anatomy.methods.contract import (
    Batch,
    Data,
    MethodParams,
    Schedules,
    Selection,
    Shape,
    Stream,
    Update,
)
from latent_anatomy.networks.rotation import randomly_rotated
from latent_anatomy.networks.segmentation_losses import SMOOTH, dice_loss
from latent_anatomy.networks.unet import UNet
from latent_anatomy.optimisers import DecayingAdam, DecayPer, decay_per_epoch

VALIDATION_BATCH = 16


class Params(MethodParams):
    """Parameters of the U-Net; the defaults are the released ones, but for `soft_masks`."""

    epochs: int = Field(500, ge=1, description="Passes over the longest stream.")
    batch_size: int = Field(4, ge=1, description="Slices per step and stream.")
    width: int = Field(64, ge=1, description="Channels of the U-Net's first block.")
    depth: int = Field(4, ge=1, description="Halvings of the image in the U-Net.")
    momentum: float = Field(0.99, ge=0, lt=1, description="Of batch normalisation, as Keras counts it.")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's, of every optimiser.")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's first decay rate.")
    decay: float = Field(1e-4, ge=0, description="The rate is divided by 1 + decay t.")
    decay_per: DecayPer = Field("update", description="What t counts. Printed: epoch.")
    rotation: float = Field(
        90.0, ge=0, le=180, description="Largest rotation in degrees. 0: none, as for QMRI."
    )
    soft_masks: bool = Field(False, description="Whether rotated masks stay bilinear. Released: true.")
    doubled_smooth: bool = Field(True, description="Dice loss of -1, not 0, on what is and stays empty.")
    minimum_change: float = Field(
        1e-3, ge=0, description="Of the validation loss in an epoch that is better."
    )
    patience: int = Field(100, ge=1, description="Epochs without a better one before training stops.")
    restore: bool = Field(False, description="Whether the best epoch is kept. Released: the last.")

    @property
    def selection(self) -> Selection:
        """How training ends."""
        return Selection("loss", "min", self.minimum_change, self.patience, self.restore)

    def adam(self, *networks: nn.Module) -> DecayingAdam:
        """An optimiser of all parameters of the networks, with a state of its own."""
        parameters = [parameter for network in networks for parameter in network.parameters()]
        decay = self.decay if self.decay_per == "update" else 0.0
        return DecayingAdam(parameters, self.learning_rate, self.beta1, decay)

    def schedules(self, optimisers: dict[str, Optimizer]) -> Schedules:
        """The decay per epoch, where it is that; per update the optimisers decay themselves."""
        return Schedules() if self.decay_per == "update" else decay_per_epoch(optimisers, self.decay)

    def shown(self, batch: Batch) -> Batch:
        """A batch as the networks see it: rotated, images in [-1, 1], masks float32."""
        batch = streams.at_least_two(batch)
        images, masks = randomly_rotated(
            batch.images, batch.masks, degrees=self.rotation, soft_masks=self.soft_masks
        )
        return Batch(2 * images - 1, masks=masks)

    def shown_images(self, batch: Batch) -> Tensor:
        """The images alone; whatever masks there are do not matter."""
        return self.shown(Batch(batch.images)).images

    def dice_loss(self, predicted: Tensor, drawn: Tensor) -> Tensor:
        """Of soft masks (N, L, H, W): a scalar."""
        return dice_loss(predicted, drawn, self.doubled_smooth)


class Method(nn.Module):
    """Capability `segment`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.params, self.selection = params, params.selection
        self.network = UNet(
            shape.channels,
            streams.structures(shape) + 1,
            (shape.height, shape.width),
            width=params.width,
            depth=params.depth,
            momentum=params.momentum,
        )

    def optimisers(self) -> dict[str, Optimizer]:
        return {"supervised": self.params.adam(self.network)}

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        return self.params.schedules(optimisers)

    def streams(self, train: Data) -> dict[str, Stream]:
        """Labelled slices, and nothing else."""
        return {"labelled": Stream(streams.labelled(train), self.params.batch_size)}

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step on images (N, C, H, W) float32 in [0, 1] with masks (N, L, H, W) of 0 and 1."""
        batch = self.params.shown(batches["labelled"])
        loss = self.params.dice_loss(self.probabilities(batch.images), batch.masks)
        update("supervised", loss)
        return {"loss": loss}

    def probabilities(self, images: Tensor) -> Tensor:
        """Images in [-1, 1] -> probabilities (N, L, H, W) float32 of the structures."""
        return self.network(images).float().softmax(dim=1)[:, :-1]

    def segment(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] -> probabilities (N, L, H, W) float32; the rest is background."""
        return self.probabilities(2 * images - 1)

    def validate(self, data: Data) -> dict[str, Tensor]:
        """1 - soft Dice of the validation slices that are drawn, "loss"."""
        return validation_loss(self, data)


@torch.no_grad()
def validation_loss(method: nn.Module, data: Data) -> dict[str, Tensor]:
    """1 - soft Dice, structures pooled, smoothed by 0.1, mean over the drawn slices: "loss"."""
    dice = []
    for rows in streams.drawn(data).split(VALIDATION_BATCH):
        batch = data.batch(rows)
        counts = overlap.counts(method.segment(batch.images), batch.masks)
        dice.append(overlap.dice(counts.sum(1), SMOOTH))
    return {"loss": 1 - torch.cat(dice).mean()}
