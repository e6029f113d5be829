"""SDNet's predecessor: the mask itself is the anatomy, and a vector says how it looks.

Chartsias, Joyce, Papanastasiou, Semple, Williams, Newby, Dharmakumar, Tsaftaris: Factorised spatial
representation learning: application in semi-supervised myocardial segmentation. MICCAI 2018, as its code was
released; here for several structures, as Chartsias et al. 2019 (see `unet`, `sdnet`) compare it. Of images x
in [-1, 1], with masks m or without:

    p, z = f(x)       one U-Net: probabilities of the structures, and from its bottom 16 numbers in [0, 1]
    s    = round(p)   (N, L, H, W) of 0 and 1, straight-through
    y    = g(s, z)    reconstruction (`networks.factorising`)
    D_M, D_X          critics of masks and of images, an output for each place: 0 for real, 1 for fake

An iteration has three updates, each by an Adam of its own with a constant rate:

    unsupervised    lambda_adversarial D_M(p)^2 + lambda_unlabelled_reconstruction |y - x|
                    + lambda_unlabelled_image_adversarial D_X(y)^2                                        f g
    supervised      lambda_dice Dice(p, m) + lambda_from_mask |g(m, z) - x| + lambda_reconstruction |y - x|
                    + lambda_adversarial D_M(p)^2 + lambda_image_adversarial D_X(g(m, z))^2               f g
    critics         D_M(m')^2 + (D_M(p) - 1)^2 + D_X(x)^2 + (D_X(g(m', z)) - 1)^2                      D_M D_X

The critics' x are drawn from the labelled and unlabelled batches together, their m' from the labelled batch's
masks and others of the split; p, and z of g(m', z), are of these x in inference mode. Of fakes of either kind
there is a pool. `shared_pool` is a slip of the release: fake masks and fake images go through one pool.

Inferred: background is one more channel of a softmax, left out of s (released: one structure, a sigmoid);
the widths of z's convolutions follow `width`; half of m' is the labelled batch's in the mean. As SDNet's:
rotation, real_masks, unlabelled_images, streams; the last weights stay.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy.networks.adversarial import frozen
from latent_anatomy.networks.batchnorm import predicting
from latent_anatomy.networks.factorising import FactorisingUNet, PlainDecoder
from latent_anatomy.networks.mask_critic import FakePool, MaskCritic, outputs
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
    critic_width: int = Field(32, ge=1, description="Filters of the first layer of both critics.")
    lambda_dice: float = Field(10.0, ge=0, description="Weight of the Dice loss.")
    lambda_from_mask: float = Field(10.0, ge=0, description="Weight of the image from the delineated mask.")
    lambda_reconstruction: float = Field(1.0, ge=0, description="Weight of |y - x| of labelled images.")
    lambda_adversarial: float = Field(10.0, ge=0, description="Weight of the critic's output for masks.")
    lambda_image_adversarial: float = Field(1.0, ge=0, description="The same on labelled images' g(m, z).")
    lambda_unlabelled_reconstruction: float = Field(5.0, ge=0, description="Of |y - x| of unlabelled images.")
    lambda_unlabelled_image_adversarial: float = Field(5.0, ge=0, description="The same on their y.")
    pool: int = Field(50, ge=0, description="Fakes among which each critic's are sampled; 0: none.")
    shared_pool: bool = Field(False, description="One pool for masks and images. Released: true, by a slip.")
    real_masks: Literal["all", "labelled"] = Field("all", description="Masks that the critic sees as real.")
    unlabelled_images: int = Field(1200, ge=1, description="Of more images, so many, alike of each subject.")


@dataclass(frozen=True)
class Pass:
    """What the networks make of images: p (N, L, H, W), z (N, latent), y (N, C, H, W)."""

    probabilities: Tensor
    z: Tensor
    reconstructions: Tensor


class Method(nn.Module):
    """Capabilities `segment`, `anatomy`, `encode`, `decode`, `reconstruct`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.params, self.shape, self.selection = params, shape, params.selection
        planes, size, channels = labelled_rows.structures(shape), (shape.height, shape.width), shape.channels
        if params.shared_pool and planes != channels:
            raise ValueError(
                f"shared_pool: expected as many structures as channels of an image, found {planes} and "
                f"{channels}: leave it out"
            )
        self.network = FactorisingUNet(channels, planes + 1, params.latent, size, **params.network)
        self.decoder = PlainDecoder(planes, params.latent, channels, size, params.momentum)
        self.mask_critic = MaskCritic(planes, size, params.critic_width, HALVINGS, by_place=True)
        self.image_critic = MaskCritic(channels, size, params.critic_width, HALVINGS, by_place=True)
        self.image_pool = FakePool(params.pool, channels, size)
        self.mask_pool = self.image_pool if params.shared_pool else FakePool(params.pool, planes, size)
        self.to(memory_format=torch.channels_last)  # faster, and the same up to the last bits

    def optimisers(self) -> dict[str, Optimizer]:
        adam = self.params.adam
        optimisers = {name: adam(self.network, self.decoder) for name in ("unsupervised", "supervised")}
        return optimisers | {"critics": adam(self.mask_critic, self.image_critic)}

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
        """The three updates, in their order."""
        params = self.params
        shown, labelled = params.shown_images(batches["unlabelled"]), params.shown(batches["labelled"])
        unsupervised, losses = self.unsupervised_loss(shown)
        update("unsupervised", unsupervised)
        supervised, others = self.supervised_loss(labelled)
        update("supervised", supervised)
        images = drawn(torch.cat([labelled.images, shown]), len(shown))
        real = torch.cat([labelled.masks, params.shown(batches["masks"]).masks])
        critics, of_critics = self.critics_loss(images, drawn(real, len(images)))
        update("critics", critics)
        return {"loss": supervised + unsupervised} | losses | others | {"critics": critics} | of_critics

    def unsupervised_loss(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Of images (N, C, H, W) in [-1, 1], and its parts."""
        params, made = self.params, self.forward_pass(images)
        losses = {
            "adversarial": self.adversarial_loss(self.mask_critic, made.probabilities),
            "unlabelled_reconstruction": (made.reconstructions - images).abs().mean(),
            "image_adversarial": self.adversarial_loss(self.image_critic, made.reconstructions),
        }
        weights = (
            params.lambda_adversarial,
            params.lambda_unlabelled_reconstruction,
            params.lambda_unlabelled_image_adversarial,
        )
        return sum(weight * loss for weight, loss in zip(weights, losses.values(), strict=True)), losses

    def supervised_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Of images in [-1, 1] with masks (N, L, H, W), and its parts."""
        params, made = self.params, self.forward_pass(batch.images)
        from_mask = self.decoder(batch.masks, made.z)
        losses = {
            "dice": params.dice_loss(made.probabilities, batch.masks),
            "from_mask": (from_mask - batch.images).abs().mean(),
            "reconstruction": (made.reconstructions - batch.images).abs().mean(),
            "labelled_adversarial": self.adversarial_loss(self.mask_critic, made.probabilities),
            "labelled_image_adversarial": self.adversarial_loss(self.image_critic, from_mask),
        }
        weights = (
            params.lambda_dice,
            params.lambda_from_mask,
            params.lambda_reconstruction,
            params.lambda_adversarial,
            params.lambda_image_adversarial,
        )
        return sum(weight * loss for weight, loss in zip(weights, losses.values(), strict=True)), losses

    def critics_loss(self, images: Tensor, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Of images (N, C, H, W) in [-1, 1] and masks (N, L, H, W) of others; its mean outputs beside it."""
        with predicting(self.network, self.decoder):
            probabilities, z = self.represent(images)
            rendered = self.decoder(real[: len(z)], z[: len(real)])
        loss, means = torch.zeros((), device=images.device), {}
        for name, truth, fakes in (("mask", real, probabilities), ("image", images, rendered)):
            critic, pool = getattr(self, f"{name}_critic"), getattr(self, f"{name}_pool")
            of_real, of_fakes = outputs(critic, pool, truth, fakes)
            loss = loss + least_squares(of_real, real=False) + least_squares(of_fakes, real=True)
            means |= {f"{name}_critic_on_real": of_real.mean(), f"{name}_critic_on_fakes": of_fakes.mean()}
        return loss, means

    def adversarial_loss(self, critic: MaskCritic, fakes: Tensor) -> Tensor:
        """How far a critic is from taking fakes for real: a scalar, of which it learns nothing."""
        with frozen(critic):
            return critic(fakes).square().mean()

    def pass_statistics(self, batches: dict[str, Batch]) -> None:
        """One pass over labelled and unlabelled images each, as they are shown in training."""
        for name in ("labelled", "unlabelled"):
            self.forward_pass(self.params.shown_images(batches[name]))

    def forward_pass(self, images: Tensor) -> Pass:
        """One pass over images (N, C, H, W) in [-1, 1]."""
        probabilities, z = self.represent(images)
        return Pass(probabilities, z, self.decoder(harden(probabilities, "nearest"), z))

    def represent(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images in [-1, 1] -> probabilities (N, L, H, W) of the structures, and z (N, latent); float32."""
        logits, z = self.network(images)
        return logits.float().softmax(dim=1)[:, :-1], z

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


def drawn(items: Tensor, count: int) -> Tensor:
    """`count` of the items (n, ...), at random and each once at most."""
    return items[torch.randperm(len(items), device=items.device)[:count]]
