"""GAN, SDNet's semi-supervised baseline: a U-Net whose masks of unlabelled images a critic judges.

Chartsias et al. 2019 (see `unet`), section 4.3b: SDNet without reconstruction. With the segmentor S and a
critic D of masks (`networks.mask_critic`), at each iteration three updates, each with an Adam of its own:

    labelled      lambda_dice Dice(S(x), m)                                   of S
    unlabelled    lambda_adversarial (D(S(x)) - 1)^2                          of S
    critic        (D(m) - 1)^2 + D(S(x))^2 + spectral_weight penalty          of D

The paper has no more about it, and no code was released; inferred: the weights, critic, pool, beta1 and
streams are SDNet's. Where SDNet's code and its paper differ, these are parameters, here as there:

    real_masks         released: "all", the critic sees all masks of the training split, unpaired, at every
                       fraction of labels; "labelled": the labelled subjects' only
    spectral_weight    released: 10; printed: no such penalty, which is 0
    pool               released: fakes come from the last 50; printed: from the current batch, which is 0
    unlabelled_images  printed: 1200 drawn at random; released: as many of each subject, rounded up (1260 of
                       70 subjects)
    repeated_passes    see `Params`

An epoch is a pass over the longest stream. The released code leaves the critic's masks out when it counts.
"""

import torch
from torch import Tensor
from torch.optim import Optimizer

from latent_anatomy.methods import unet
from latent_anatomy.networks.adversarial import frozen
from latent_anatomy.networks.batchnorm import predicting
from latent_anatomy.networks.mask_critic import FakePool, MaskCritic, critic_losses
from latent_anatomy.networks.segmentation_losses import least_squares
from latent_anatomy.training import labelled_rows
from latent_anatomy.training.method import Batch, Data, Shape, Stream, Update
from latent_anatomy.training.segmentation import CriticParams


class Params(CriticParams):
    """Parameters of the GAN; inferred, see above."""


class Method(unet.Method):
    """Capability `segment`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__(params, shape)
        planes, size = labelled_rows.structures(shape), (shape.height, shape.width)
        self.critic = MaskCritic(planes, size, params.critic_width)
        self.pool = FakePool(params.pool, planes, size)
        self.to(memory_format=torch.channels_last)  # faster, and the same up to the last bits

    def optimisers(self) -> dict[str, Optimizer]:
        adam = self.params.adam
        return {name: adam(self.network) for name in ("supervised", "unsupervised")} | {
            "critic": adam(self.critic)
        }

    def streams(self, train: Data) -> dict[str, Stream]:
        return self.params.streams(train)

    def pass_statistics(self, batches: dict[str, Batch]) -> None:
        """One pass over labelled and unlabelled images each, as they are shown in training."""
        for name in ("labelled", "unlabelled"):
            self.network(self.params.shown_images(batches[name]))

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """The three updates, in their order; see `Params.streams` for the batches."""
        params = self.params
        batch = params.shown(batches["labelled"])
        dice = params.dice_loss(self.probabilities(batch.images), batch.masks)
        update("supervised", params.lambda_dice * dice)

        masks = self.probabilities(params.shown_images(batches["unlabelled"]))
        with frozen(self.critic):
            adversarial = least_squares(self.critic(masks), real=True)
        update("unsupervised", params.lambda_adversarial * adversarial)

        if params.repeated_passes == "as_released":
            with predicting(self.network):
                masks = self.probabilities(params.shown_images(batches["images"]))
        losses = {"dice": dice, "adversarial": adversarial}
        losses |= critic_losses(
            self.critic, self.pool, params.shown(batches["masks"]).masks, masks, params.spectral_weight
        )
        update("critic", losses["critic"])
        return {"loss": params.lambda_dice * dice + params.lambda_adversarial * adversarial} | losses
