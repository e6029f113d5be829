"""GAN, SDNet's semi-supervised baseline: a U-Net whose masks of unlabelled images a critic judges.

Chartsias et al. 2019 (see `unet`), section 4.3b: SDNet without reconstruction. With the segmentor S and a
critic D of masks (`networks.mask_critic`), at each iteration three updates, each with an Adam of its own:

    labelled      lambda_dice Dice(S(x), m)                                   of S
    unlabelled    lambda_adversarial (D(S(x)) - 1)^2                          of S
    critic        (D(m) - 1)^2 + D(S(x))^2 + spectral_weight penalty          of D

The paper has no more about it, and no code was released; inferred: the weights, critic, pool, beta1 and
streams are SDNet's. Where SDNet's code and its paper differ, these are parameters, here as there:

    real_masks         released: "all", the critic sees all drawn masks of the training split, unpaired, at
                       every fraction of labels; "labelled": the labelled subjects' only
    spectral_weight    released: 10; printed: no such penalty, which is 0
    pool               released: fakes come from the last 50; printed: from the current batch, which is 0
    unlabelled_images  printed: 1200 drawn at random; released: as many of each subject, rounded up (1260 of
                       70 subjects)
    repeated_passes    see `Params`

An epoch is a pass over the longest stream. The released code leaves the critic's masks out when it counts.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer

from latent_anatomy import streams
from latent_anatomy.methods import unet
from latent_anatomy.methods.contract import Batch, Data, Shape, Stream, Update
from latent_anatomy.networks.adversarial import frozen
from latent_anatomy.networks.batchnorm import predicting
from latent_anatomy.networks.mask_critic import FakePool, MaskCritic, dispute
from latent_anatomy.networks.segmentation_losses import judged

DRAW = {"unlabelled": 1, "images": 2}  # seeds, the same in every run


class Params(unet.Params):
    """Parameters of the GAN, and those that SDNet shares with it.

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
    lambda_adversarial: float = Field(10.0, ge=0, description="Weight of the critic's verdict on masks.")
    critic_width: int = Field(64, ge=1, description="Filters of the critic's first layer.")
    spectral_weight: float = Field(10.0, ge=0, description="Of the critic's spectral penalty. Printed: 0.")
    pool: int = Field(50, ge=0, description="Fakes among which the critic's are drawn. Printed: 0, none.")
    real_masks: Literal["all", "labelled"] = Field("all", description="Masks that the critic sees as real.")
    unlabelled_images: int = Field(1200, ge=1, description="Of more images, so many, alike of each subject.")
    repeated_passes: Literal["shared", "as_released"] = Field("shared", description="See above.")

    def streams(self, train: Data) -> dict[str, Stream]:
        """Labelled pairs, unlabelled images, unpaired masks and, where passes are repeated, more images."""
        paired = streams.labelled(train)
        rows = {
            "labelled": paired,
            "unlabelled": streams.images(train, self.unlabelled_images, DRAW["unlabelled"]),
            "masks": streams.drawn(train) if self.real_masks == "all" else paired,
        }
        if self.repeated_passes == "as_released":
            rows["images"] = streams.images(train, self.unlabelled_images, DRAW["images"])
        return {name: Stream(indices, self.batch_size) for name, indices in rows.items()}


class Method(unet.Method):
    """Capability `segment`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__(params, shape)
        planes, size = streams.structures(shape), (shape.height, shape.width)
        self.critic = MaskCritic(planes, size, params.critic_width)
        self.pool = FakePool(params.pool, planes, size)

    def optimisers(self) -> dict[str, Optimizer]:
        adam = self.params.adam
        return {name: adam(self.network) for name in ("supervised", "unsupervised")} | {
            "critic": adam(self.critic)
        }

    def streams(self, train: Data) -> dict[str, Stream]:
        return self.params.streams(train)

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """The three updates, in their order; see `Params.streams` for the batches."""
        params = self.params
        batch = params.shown(batches["labelled"])
        dice = params.dice_loss(self.probabilities(batch.images), batch.masks)
        update("supervised", params.lambda_dice * dice)

        masks = self.probabilities(params.shown_images(batches["unlabelled"]))
        with frozen(self.critic):
            deceit = judged(self.critic(masks), real=True)
        update("unsupervised", params.lambda_adversarial * deceit)

        if params.repeated_passes == "as_released":
            with predicting(self.network):
                masks = self.probabilities(params.shown_images(batches["images"]))
        losses = {"dice": dice, "adversarial": deceit}
        losses |= critic_losses(self.critic, self.pool, params.shown(batches["masks"]).masks, masks, params)
        update("critic", losses["critic"])
        return {"loss": params.lambda_dice * dice + params.lambda_adversarial * deceit} | losses


def critic_losses(
    critic: MaskCritic, pool: FakePool, real: Tensor, fakes: Tensor, params: Params
) -> dict[str, Tensor]:
    """What the critic minimises, "critic", and its spectral penalty; real masks and fakes (N, L, H, W)."""
    disputed, penalty = dispute(critic, pool, real, fakes), critic.spectral_penalty()
    return {"critic": disputed + params.spectral_weight * penalty, "spectral_penalty": penalty}
