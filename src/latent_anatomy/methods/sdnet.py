"""SDNet: an image is a spatial map of anatomy and a vector of modality, and the map is what is segmented.

Chartsias, Joyce, Papanastasiou, Semple, Williams, Newby, Dharmakumar, Tsaftaris: Disentangled representation
learning in cardiac image analysis. Medical Image Analysis 58, 2019 (arXiv 1903.09467). Of images x in
[-1, 1], with masks m or without:

    s = round(softmax(f_A(x)))            anatomy (N, C, H, W) of 0 and 1; a U-Net, rounded straight-through
    z ~ N(mean, variance) = f_M(s, x)     modality (N, nz)
    y = g(s, z)                           reconstruction, z by feature-wise linear modulation
    p = h(s)                              probabilities of the structures (and of background, left out)
    D(p), D(m)                            a critic of masks

An iteration has five updates by four optimisers, each with its own Adam state on shared weights:

    1  supervised     lambda_dice Dice(p, m) + lambda_reconstruction |y - x| + lambda_kl KL     f_A h f_M g
    2  z_regression   lambda_z |z' - f_M(s, g(s, z'))|, z' ~ N(0, I), s of update 1             f_M g
    3  unsupervised   lambda_adversarial (D(p) - 1)^2 + the last two of 1, on unlabelled x      f_A h f_M g
    4  z_regression   as 2, s of update 3                                                       f_M g
    5  critic         (D(m) - 1)^2 + D(p)^2 + spectral_weight penalty                           D

Distances are means over pixels and dimensions, KL a sum over dimensions. Where paper and released code
differ, the defaults are the code's but for `frozen_prior` and `soft_masks`: see `Params`, and `mask_gan` and
`unet` for what is theirs too. `labelled_only` leaves updates 3 to 5 out, as section 5.3.1 trains on MR and
CT: full supervision, no images without labels.

An epoch is a pass over the longest stream (released: critic's masks and images do not count). `width`,
released 64, is of the U-Net and the segmentor. A last batch of one image is shown twice. At evaluation z is
its mean; the released graph draws it there too. Images are [0, 1] outside of here.
"""

from dataclasses import dataclass
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy.networks.adversarial import frozen
from latent_anatomy.networks.batchnorm import predicting
from latent_anatomy.networks.film import FilmDecoder
from latent_anatomy.networks.mask_critic import FakePool, MaskCritic, critic_losses
from latent_anatomy.networks.modality import ModalityEncoder, Segmentor
from latent_anatomy.networks.rounding import Rounding, harden
from latent_anatomy.networks.segmentation_losses import kl, least_squares, sampled
from latent_anatomy.networks.unet import UNet
from latent_anatomy.training import labelled_rows
from latent_anatomy.training.method import Batch, Data, Schedules, Shape, Stream, Update
from latent_anatomy.training.segmentation import CriticParams, adversarial_share, validation_loss

PRIOR_SEED = 1  # of `frozen_prior`: the released configuration's


class Params(CriticParams):
    """Parameters of SDNet; the defaults are those of the released configuration for ACDC."""

    channels: int = Field(8, ge=1, description="C, of the anatomy. Printed: 8, for MM-WHS 16.")
    latent: int = Field(8, ge=1, description="nz, dimensions of the modality.")
    rounding: Rounding = Field("nearest", description="Of s. Printed: channels sum to 1, as by argmax.")
    lambda_reconstruction: float = Field(1.0, ge=0, description="Weight of |y - x|.")
    lambda_kl: float = Field(0.01, ge=0, description="Weight of the KL divergence.")
    lambda_z: float = Field(1.0, ge=0, description="Weight of the regression of z.")
    z_regression: Literal["released", "printed"] = Field(
        "released", description="A sampled z, s as it was; printed: the mean, s of y anew, f_A trained too."
    )
    adversarial_on_labelled: bool = Field(False, description="In update 1 too. Printed: one loss for all.")
    frozen_prior: bool = Field(False, description="Whether update 2 has the same z' always. Released: true.")
    labelled_only: bool = Field(False, description="Updates 1 and 2 alone, as printed for MR and CT.")

    @model_validator(mode="after")
    def _no_critic_without_updates(self) -> Self:
        if self.labelled_only and self.adversarial_on_labelled:
            raise ValueError("expected labelled_only or adversarial_on_labelled, found both: choose one")
        return self


@dataclass(frozen=True)
class Pass:
    """What the networks make of images: s (N, C, H, W), p (N, L, H, W), and losses of reconstruction."""

    anatomy: Tensor
    probabilities: Tensor
    reconstruction: Tensor
    kl: Tensor


class Method(nn.Module):
    """Capabilities `segment`, `anatomy`, `encode`, `decode`, `reconstruct`, `posterior`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.params, self.shape, self.selection = params, shape, params.selection
        planes, size = labelled_rows.structures(shape), (shape.height, shape.width)
        encoded, momentum = params.channels + shape.channels, params.momentum
        self.anatomy_encoder = UNet(shape.channels, params.channels, size, **params.network)
        self.modality_encoder = ModalityEncoder(encoded, params.latent, size, momentum)
        self.segmentor = Segmentor(params.channels, planes + 1, params.width, momentum)
        self.decoder = FilmDecoder(params.channels, params.latent, shape.channels)
        if not params.labelled_only:
            self.critic = MaskCritic(planes, size, params.critic_width)
            self.pool = FakePool(params.pool, planes, size)
        self.to(memory_format=torch.channels_last)  # faster, and the same up to the last bits

    def optimisers(self) -> dict[str, Optimizer]:
        adam, modality = self.params.adam, (self.modality_encoder, self.decoder)
        everything = (self.anatomy_encoder, self.segmentor, *modality)
        regressed = modality if self.params.z_regression == "released" else (self.anatomy_encoder, *modality)
        if self.params.labelled_only:
            return {"supervised": adam(*everything), "z_regression": adam(*regressed)}
        of_images = {name: adam(*everything) for name in ("supervised", "unsupervised")}
        return of_images | {"z_regression": adam(*regressed, each_step=2), "critic": adam(self.critic)}

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        return self.params.schedules(optimisers, steps_per_epoch)

    def streams(self, train: Data) -> dict[str, Stream]:
        streams = self.params.streams(train)
        return {"labelled": streams["labelled"]} if self.params.labelled_only else streams

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        losses = self.labelled_updates(batches, update)
        if self.params.labelled_only:
            return losses
        others = self.unlabelled_updates(batches, update)
        return losses | others | {"loss": losses["loss"] + others["loss"]}

    def labelled_updates(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """Updates 1 and 2, and their losses."""
        params = self.params
        labelled = params.shown(batches["labelled"])
        first = self.forward_pass(labelled.images)
        dice = params.dice_loss(first.probabilities, labelled.masks)
        supervised = params.lambda_dice * dice + self.reconstruction_loss(first)
        if params.adversarial_on_labelled:
            supervised = supervised + params.lambda_adversarial * self.adversarial_loss(first)
        update("supervised", supervised)
        regressed = self.regress_z(labelled.images, first, update, frozen_prior=params.frozen_prior)
        losses = {"loss": supervised, "dice": dice, "z_regression": regressed}
        return losses | {"reconstruction": first.reconstruction, "kl": first.kl}

    def unlabelled_updates(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """Updates 3 to 5, and their losses."""
        params, images = self.params, self.params.shown_images(batches["unlabelled"])
        second = self.forward_pass(images)
        adversarial = self.adversarial_loss(second)
        unsupervised = params.lambda_adversarial * adversarial + self.reconstruction_loss(second)
        update("unsupervised", unsupervised)
        regressed = self.regress_z(images, second, update)
        fakes = second.probabilities
        if params.repeated_passes == "as_released":
            with predicting(self.anatomy_encoder, self.segmentor):
                fakes = self.probabilities(self.represent(params.shown_images(batches["images"])))
        real = params.shown(batches["masks"]).masks
        critic = critic_losses(self.critic, self.pool, real, fakes, params.spectral_weight)
        update("critic", critic["critic"])
        losses = {"loss": unsupervised, "adversarial": adversarial, "unlabelled_z_regression": regressed}
        other = {"unlabelled_reconstruction": second.reconstruction, "unlabelled_kl": second.kl}
        return losses | other | critic

    def pass_statistics(self, batches: dict[str, Batch]) -> None:
        """One pass over labelled and unlabelled images each, as they are shown in training."""
        for name in ("labelled",) if self.params.labelled_only else ("labelled", "unlabelled"):
            self.forward_pass(self.params.shown_images(batches[name]))

    def forward_pass(self, images: Tensor) -> Pass:
        """One training pass over images (N, C, H, W) in [-1, 1]; z is sampled."""
        return self.rendered(self.represent(images), images)

    def rendered(self, anatomy: Tensor, images: Tensor) -> Pass:
        """What follows from the anatomy (N, C, H, W) of images (N, C, H, W) in [-1, 1]."""
        mean, log_variance = self.modality_encoder(anatomy, images)
        reconstructions = self.decoder(anatomy, sampled(mean, log_variance))
        distance = (reconstructions - images).abs().mean()
        return Pass(anatomy, self.probabilities(anatomy), distance, kl(mean, log_variance))

    def reconstruction_loss(self, outputs: Pass) -> Tensor:
        """What labelled and unlabelled images have in common: a scalar."""
        return self.params.lambda_reconstruction * outputs.reconstruction + self.params.lambda_kl * outputs.kl

    def adversarial_loss(self, outputs: Pass) -> Tensor:
        """How far the critic is from taking the masks for real: a scalar, of which it learns nothing."""
        with frozen(self.critic):
            return least_squares(self.critic(outputs.probabilities), real=True)

    def regress_z(self, images: Tensor, outputs: Pass, update: Update, frozen_prior: bool = False) -> Tensor:
        """Updates 2 and 4 on the anatomy of images (N, C, H, W) in [-1, 1]: their loss, a scalar."""
        anatomy = outputs.anatomy.detach()
        if self.params.repeated_passes == "as_released":
            with predicting(self.anatomy_encoder):
                anatomy = self.represent(images)
        generator = torch.Generator(images.device).manual_seed(PRIOR_SEED) if frozen_prior else None
        z = torch.randn(len(images), self.params.latent, generator=generator, device=images.device)
        loss = self.z_distance(anatomy, z)
        update("z_regression", self.params.lambda_z * loss)
        return loss

    def z_distance(self, anatomy: Tensor, z: Tensor) -> Tensor:
        """Mean distance of z (N, nz) from what is found of it in g(s, z): a scalar."""
        rendered = self.decoder(anatomy, z)
        if self.params.z_regression == "printed":
            return (self.modality_encoder(self.represent(rendered), rendered)[0] - z).abs().mean()
        return (sampled(*self.modality_encoder(anatomy, rendered)) - z).abs().mean()

    def soft(self, images: Tensor) -> Tensor:
        """Images in [-1, 1] -> anatomy (N, C, H, W) float32 before rounding: channels sum to 1."""
        return self.anatomy_encoder(images).float().softmax(dim=1)

    def represent(self, images: Tensor) -> Tensor:
        """Images in [-1, 1] -> anatomy s (N, C, H, W) float32."""
        return harden(self.soft(images), self.params.rounding)

    def probabilities(self, anatomy: Tensor) -> Tensor:
        """Anatomy (N, C, H, W) -> probabilities (N, L, H, W) float32 of the structures."""
        return self.segmentor(anatomy).float().softmax(dim=1)[:, :-1]

    def validate(self, data: Data) -> dict[str, Tensor]:
        """The `validation_loss` and, where there is a critic, the `adversarial_share`."""
        share = {} if self.params.labelled_only else {"adversarial_share": adversarial_share(self, data)}
        return share | validation_loss(self, data)

    def segment(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] -> probabilities (N, L, H, W) float32; the rest is background."""
        return self.probabilities(self.anatomy(images))

    def anatomy(self, images: Tensor) -> Tensor:
        """Images in [0, 1] -> s (N, C, H, W) float32 of 0 and 1; gradients pass as if it were not rounded."""
        return self.represent(2 * images - 1)

    def soft_anatomy(self, images: Tensor) -> Tensor:
        """Images in [0, 1] -> s (N, C, H, W) float32 before rounding."""
        return self.soft(2 * images - 1)

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images in [0, 1] -> mean and logarithm of the variance of z, (N, nz) float32 each."""
        return self.modality_encoder(self.anatomy(images), 2 * images - 1)

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """Images in [0, 1] -> "modality": the mean of z (N, nz)."""
        return {"modality": self.posterior(images)[0]}

    def decode(self, anatomy: Tensor, modality: Tensor) -> Tensor:
        """s (N, C, H, W) and z (N, nz) -> images in [0, 1]."""
        return (self.decoder(anatomy, modality) + 1) / 2

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images in [0, 1] -> their reconstructions from s and the mean of z."""
        anatomy, shown = self.anatomy(images), 2 * images - 1
        return self.decode(anatomy, self.modality_encoder(anatomy, shown)[0])
