"""Self-training, SDNet's semi-supervised baseline: a U-Net learns from its own masks of unlabelled images.

Chartsias et al. 2019 (see `unet`), section 4.3c, which names Bai, Oktay, Sinclair, Suzuki, Rajchl, Tarroni,
Glocker, King, Matthews, Rueckert: Semi-supervised learning for network-based cardiac MR image segmentation.
MICCAI 2017: train on the labelled slices, let the network delineate the others, train on both, and so on;
without the conditional random field that improves the masks there. `rounds` are equal parts of the training:

    first      Dice(S(x), m)                                                 labelled x alone: the U-Net
    others     Dice(S(x), m) + lambda_unlabelled Dice(S(u), m_u)             and unlabelled u
               m_u = the likeliest class of each pixel by S as it was when the round began, in inference mode

SDNet's paper has no more about it, and no code was released; inferred:

    rounds               3; neither paper's number of rounds is known here for certain
    lambda_unlabelled    1: a batch of either kind counts alike
    unlabelled_images    those of the GAN and SDNet (see `mask_gan`), less the labelled ones
    training goes on     weights, Adam's state and decay are not begun anew with a round
    rotation             of the slice that has been delineated, with its mask
    patience             counts from the beginning of the last round at the earliest: what stops in an earlier
                         one is no self-training

m_u is made when it is needed, by a copy of the network, which is the same as all at once when the round
begins: a run that is killed needs the copy, and no masks. The copy is no part of the checkpoint, which is a
U-Net's. An epoch is a pass over the longer stream. Without unlabelled slices this is the U-Net.
"""

import copy
from dataclasses import replace
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.optim import Optimizer

from latent_anatomy.methods import unet
from latent_anatomy.training import labelled_rows
from latent_anatomy.training.method import Batch, Data, Schedules, Shape, Stream, Update
from latent_anatomy.training.segmentation import DRAW


class Params(unet.Params):
    """Parameters of self-training: the U-Net's, and what is inferred."""

    rounds: int = Field(3, ge=2, description="Parts of the training, the first on labelled slices.")
    lambda_unlabelled: float = Field(1.0, ge=0, description="Weight of the Dice loss of unlabelled slices.")
    unlabelled_images: int = Field(1200, ge=1, description="Of more images, so many, alike of each subject.")

    @model_validator(mode="after")
    def _an_epoch_for_each_round(self) -> Self:
        if self.epochs < self.rounds:
            raise ValueError(
                f"expected at least an epoch for each of {self.rounds} rounds, found {self.epochs}: "
                "train for longer, or set fewer `rounds`"
            )
        return self

    @property
    def starts(self) -> list[int]:
        """The epochs, from 0, with which the rounds begin, the first left out."""
        return [-(-self.epochs * each // self.rounds) for each in range(1, self.rounds)]


class Method(unet.Method):
    """Capability `segment`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__(params, shape)
        self.selection = replace(params.selection, patience=None)  # see `Rounds`
        self.rounds = Rounds(self)

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        """The U-Net's, and the rounds."""
        schedules = super().schedules(optimisers, steps_per_epoch)
        return replace(schedules, per_epoch=[*schedules.per_epoch, self.rounds])

    def streams(self, train: Data) -> dict[str, Stream]:
        """Labelled pairs and, where there are any, images of other rows."""
        streams = super().streams(train)
        chosen = labelled_rows.images(train, self.params.unlabelled_images, DRAW["unlabelled"])
        others = chosen[~torch.isin(chosen, streams["labelled"].indices)]
        return streams | ({"unlabelled": Stream(others, self.params.batch_size)} if len(others) else {})

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step on images (N, C, H, W) float32 in [0, 1]; masks of the unlabelled do not matter."""
        dice = self.dice(batches["labelled"])
        unlabelled = torch.zeros_like(dice)
        if self.rounds.labeller is not None and "unlabelled" in batches:
            images = batches["unlabelled"].images
            unlabelled = self.dice(Batch(images, masks=delineated(self.rounds.labeller, 2 * images - 1)))
        loss = dice + self.params.lambda_unlabelled * unlabelled
        update("supervised", loss)
        return {"loss": loss, "dice": dice, "unlabelled_dice": unlabelled}

    def pass_statistics(self, batches: dict[str, Batch]) -> None:
        """One pass over labelled slices and, from the second round on, over unlabelled ones."""
        super().pass_statistics(batches)
        if self.rounds.labeller is not None and "unlabelled" in batches:
            self.network(self.params.shown_images(batches["unlabelled"]))

    def dice(self, batch: Batch) -> Tensor:
        """Dice loss of slices with their masks, rotated: a scalar."""
        shown = self.params.shown(batch)
        return self.params.dice_loss(self.probabilities(shown.images), shown.masks)


class Rounds:
    """Which round it is and who delineates in it; stepped after every epoch, as a schedule, and saved as one.

    `labeller` is the network as it was when the round began, in inference mode; None in the first round.
    """

    def __init__(self, method: Method):
        self.method, self.epoch, self.labeller = method, 0, None

    def step(self) -> None:
        self.epoch += 1
        if self.epoch in self.method.params.starts:
            self.labeller = frozen_copy(self.method.network)
        self.let_stop()

    def let_stop(self) -> None:
        """Let training end for want of patience, which it has from the beginning of the last round."""
        params = self.method.params
        if self.epoch >= params.starts[-1] + params.patience:
            self.method.selection = params.selection

    def state_dict(self) -> dict:
        weights = None if self.labeller is None else self.labeller.state_dict()
        return {"epoch": self.epoch, "labeller": weights}

    def load_state_dict(self, state: dict) -> None:
        self.epoch, self.labeller = state["epoch"], None
        if state["labeller"] is not None:
            self.labeller = frozen_copy(self.method.network)
            self.labeller.load_state_dict(state["labeller"])
        self.let_stop()


def frozen_copy(network: nn.Module) -> nn.Module:
    """A copy in inference mode, without gradients."""
    copied = copy.deepcopy(network).eval().requires_grad_(False)
    copied.zero_grad()
    return copied


@torch.no_grad()
def delineated(network: nn.Module, images: Tensor) -> Tensor:
    """Images (N, C, H, W) in [-1, 1] -> masks (N, L, H, W) uint8: the likeliest class of each pixel."""
    logits = network(images)
    return one_hot(logits.argmax(1), logits.shape[1]).movedim(-1, 1)[:, :-1].to(torch.uint8)
