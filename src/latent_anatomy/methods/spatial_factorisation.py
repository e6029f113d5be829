"""SDNet's predecessor: the mask itself is the anatomy, and a vector says how it looks.

Chartsias, Joyce, Papanastasiou, Semple, Williams, Newby, Dharmakumar, Tsaftaris: Factorised spatial
representation learning: application in semi-supervised myocardial segmentation. MICCAI 2018; here for several
structures, as Chartsias et al. 2019 (see `unet`, `sdnet`) compare it. Of images x in [-1, 1], with masks m or
without:

    p, z = f(x)       one U-Net: probabilities of the structures, and from its bottom 16 numbers in [0, 1]
    s    = round(p)   (N, L, H, W) of 0 and 1, straight-through
    y    = g(s, z)    reconstruction: residual blocks with instance normalisation (`networks.factorising`)
    D_M, D_X          critics of masks and of images, an output for each place, without spectral penalty

An iteration has four updates, each by an Adam of its own with a constant rate:

    supervised      lambda_dice Dice(p, m) + lambda_from_mask |g(m, z) - x| + lambda_reconstruction |y - x|
                    + lambda_adversarial (D_M(p) - 1)^2 + lambda_image_adversarial (D_X(y) - 1)^2         f g
    unsupervised    lambda_unlabelled_reconstruction |y - x| + lambda_adversarial (D_M(p) - 1)^2
                    + lambda_unlabelled_image_adversarial (D_X(y) - 1)^2                                  f g
    mask_critic     (D_M(m) - 1)^2 + D_M(p)^2                                                             D_M
    image_critic    (D_X(x) - 1)^2 + D_X(y)^2                                                             D_X

Weights, the critics' size, beta1, the constant rate, minimum_change 0.001 and patience 20 are the released
ones. Inferred:

    networks       width, depth and batch normalisation of SDNet's U-Net; background is one more channel of
                   its softmax, left out of s; z by one linear layer from the flattened bottom, repeated at
                   every pixel for g; g's `decoder_width`, its first and last convolution, and tanh
    distances      mean absolute; Dice and critics' losses as SDNet's; the critics see soft p
    order          that of the table; the fakes are p and y of the unlabelled batch, as of its training pass;
                   real images are those of the same batch
    as SDNet's     rotation, pool of fakes, real_masks, unlabelled_images, streams; the last weights stay
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy.networks.adversarial import frozen
from latent_anatomy.networks.factorising import FactorisingUNet, PlainDecoder
from latent_anatomy.networks.mask_critic import FakePool, MaskCritic, critic_loss
from latent_anatomy.networks.rounding import harden
from latent_anatomy.networks.segmentation_losses import least_squares
from latent_anatomy.training import labelled_rows
from latent_anatomy.training.method import Batch, Data, Schedules, Shape, Stream, Update
from latent_anatomy.training.segmentation import DRAW, SegmentationParams, validation_loss

HALVINGS = 3  # by the critics


class Params(SegmentationParams):
    """Parameters of the predecessor; the defaults are the released ones, or inferred as above."""

    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first decay rate.")
    decay: float = Field(0.0, ge=0, description="The rate is divided by 1 + decay t.")
    patience: int = Field(20, ge=1, description="Epochs without a better one before training stops.")
    latent: int = Field(16, ge=1, description="Dimensions of z.")
    decoder_width: int = Field(64, ge=1, description="Channels of the decoder.")
    critic_width: int = Field(32, ge=1, description="Filters of the first layer of both critics.")
    lambda_dice: float = Field(10.0, ge=0, description="Weight of the Dice loss.")
    lambda_from_mask: float = Field(10.0, ge=0, description="Weight of the image from the delineated mask.")
    lambda_reconstruction: float = Field(1.0, ge=0, description="Weight of |y - x| of labelled images.")
    lambda_adversarial: float = Field(10.0, ge=0, description="Weight of the critic's output for masks.")
    lambda_image_adversarial: float = Field(1.0, ge=0, description="The same on labelled images' y.")
    lambda_unlabelled_reconstruction: float = Field(5.0, ge=0, description="Of |y - x| of unlabelled images.")
    lambda_unlabelled_image_adversarial: float = Field(5.0, ge=0, description="The same on their y.")
    pool: int = Field(50, ge=0, description="Fakes among which each critic's are sampled; 0: none.")
    real_masks: Literal["all", "labelled"] = Field("all", description="Masks that the critic sees as real.")
    unlabelled_images: int = Field(1200, ge=1, description="Of more images, so many, alike of each subject.")


@dataclass(frozen=True)
class Pass:
    """What the networks make of images: p, s (N, L, H, W), z (N, latent), y (N, C, H, W)."""

    probabilities: Tensor
    mask: Tensor
    z: Tensor
    reconstructions: Tensor


class Method(nn.Module):
    """Capabilities `segment`, `anatomy`, `encode`, `decode`, `reconstruct`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.params, self.shape, self.selection = params, shape, params.selection
        planes, size, channels = labelled_rows.structures(shape), (shape.height, shape.width), shape.channels
        self.network = FactorisingUNet(
            channels,
            planes + 1,
            params.latent,
            size,
            width=params.width,
            depth=params.depth,
            momentum=params.momentum,
        )
        self.decoder = PlainDecoder(planes, params.latent, channels, params.decoder_width)
        self.mask_critic = MaskCritic(planes, size, params.critic_width, HALVINGS, by_place=True)
        self.image_critic = MaskCritic(channels, size, params.critic_width, HALVINGS, by_place=True)
        self.mask_pool = FakePool(params.pool, planes, size)
        self.image_pool = FakePool(params.pool, channels, size)

    def optimisers(self) -> dict[str, Optimizer]:
        adam = self.params.adam
        return {name: adam(self.network, self.decoder) for name in ("supervised", "unsupervised")} | {
            "mask_critic": adam(self.mask_critic),
            "image_critic": adam(self.image_critic),
        }

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        return self.params.schedules(optimisers, steps_per_epoch)

    def streams(self, train: Data) -> dict[str, Stream]:
        """Labelled pairs, unlabelled images and unpaired masks."""
        params, paired = self.params, labelled_rows.labelled(train)
        rows = {
            "labelled": paired,
            "unlabelled": labelled_rows.images(train, params.unlabelled_images, DRAW["unlabelled"]),
            "masks": labelled_rows.delineated(train) if params.real_masks == "all" else paired,
        }
        return {name: Stream(indices, params.batch_size) for name, indices in rows.items()}

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """The four updates, in their order."""
        params = self.params
        labelled = params.shown(batches["labelled"])
        first = self.forward_pass(labelled.images)
        from_mask = self.decoder(labelled.masks, first.z)
        losses = {
            "dice": params.dice_loss(first.probabilities, labelled.masks),
            "from_mask": (from_mask - labelled.images).abs().mean(),
            "reconstruction": (first.reconstructions - labelled.images).abs().mean(),
        }
        masks, images = self.adversarial_losses(first)
        supervised = (
            params.lambda_dice * losses["dice"]
            + params.lambda_from_mask * losses["from_mask"]
            + params.lambda_reconstruction * losses["reconstruction"]
            + params.lambda_adversarial * masks
            + params.lambda_image_adversarial * images
        )
        update("supervised", supervised)

        shown = params.shown_images(batches["unlabelled"])
        second = self.forward_pass(shown)
        losses["unlabelled_reconstruction"] = (second.reconstructions - shown).abs().mean()
        losses["adversarial"], losses["image_adversarial"] = self.adversarial_losses(second)
        unsupervised = (
            params.lambda_unlabelled_reconstruction * losses["unlabelled_reconstruction"]
            + params.lambda_adversarial * losses["adversarial"]
            + params.lambda_unlabelled_image_adversarial * losses["image_adversarial"]
        )
        update("unsupervised", unsupervised)

        real = params.shown(batches["masks"]).masks
        losses["mask_critic"] = critic_loss(self.mask_critic, self.mask_pool, real, second.probabilities)
        update("mask_critic", losses["mask_critic"])
        losses["image_critic"] = critic_loss(
            self.image_critic, self.image_pool, shown, second.reconstructions
        )
        update("image_critic", losses["image_critic"])
        return {"loss": supervised + unsupervised} | losses

    def forward_pass(self, images: Tensor) -> Pass:
        """One training pass over images (N, C, H, W) in [-1, 1]."""
        probabilities, z = self.represent(images)
        mask = harden(probabilities, "nearest")
        return Pass(probabilities, mask, z, self.decoder(mask, z))

    def represent(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images in [-1, 1] -> probabilities (N, L, H, W) of the structures, and z (N, latent); float32."""
        logits, z = self.network(images)
        return logits.float().softmax(dim=1)[:, :-1], z

    def adversarial_losses(self, outputs: Pass) -> tuple[Tensor, Tensor]:
        """How far the critics are from taking p and y for real: scalars, of which they learn nothing."""
        with frozen(self.mask_critic), frozen(self.image_critic):
            masks = least_squares(self.mask_critic(outputs.probabilities), real=True)
            return masks, least_squares(self.image_critic(outputs.reconstructions), real=True)

    validate = validation_loss

    def segment(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] -> probabilities (N, L, H, W) float32; the rest is background."""
        return self.represent(2 * images - 1)[0]

    def soft_anatomy(self, images: Tensor) -> Tensor:
        """Images in [0, 1] -> s (N, L, H, W) float32 before rounding."""
        return self.segment(images)

    def anatomy(self, images: Tensor) -> Tensor:
        """Images in [0, 1] -> s (N, L, H, W) float32 of 0 and 1; gradients pass as if it were not rounded."""
        return harden(self.segment(images), "nearest")

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """Images in [0, 1] -> "modality": z (N, latent) float32 in [0, 1]."""
        return {"modality": self.represent(2 * images - 1)[1]}

    def decode(self, anatomy: Tensor, modality: Tensor) -> Tensor:
        """s (N, L, H, W) and z (N, latent) -> images in [0, 1]."""
        return (self.decoder(anatomy, modality) + 1) / 2

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images in [0, 1] -> their reconstructions from s and z."""
        return (self.forward_pass(2 * images - 1).reconstructions + 1) / 2
