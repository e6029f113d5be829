"""unORANIC: unsupervised orthogonalisation of anatomy and image characteristics.

Doerrich, Di Salvo, Ledig: unORANIC. MLMI at MICCAI 2023, LNCS 14348, pages 62-71 (arXiv 2308.15507).

Two encoders, E_A for anatomy and E_C for characteristics, and two decoders: D_A restores the
uncorrupted image from the anatomy embedding, D restores the corrupted image from both. With S a
corrupted version of the image I and V a set of corrupted versions that contains S:

    L_R_I  = mse(I, D_A(E_A(S)))                  equation 3
    L_R_S  = mse(S, D(E_A(S), E_C(S)))            equation 2
    L_C    = mean over pairs of V of d(E_A(v_i), E_A(v_j))      equation 1
    L      = lambda_reconstruction (L_R_I + L_R_S) + lambda_consistency L_C      equation 4

Where paper and released code differ, the defaults are the released code's; as printed:
`slope=0.01` (released: 1.0, so that the strided blocks are linear), `views=3` (4), `consistency="l2"`
("mse"), `anatomy_input="clean"` ("corrupted"; the paper's equation 3 decodes I, its text S) and
`cycle={"stepping": "step"}` ("epoch"). The paper leaves both lambdas open; the code has 1 and 1.

Of the released code, what does not reach the loss is left out: a Barlow-twins term and the metrics
that it logs at every step. S is encoded once instead of twice, with the same gradient and the same
running statistics (`networks.batchnorm.counted`).
"""

from itertools import combinations
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.corruptions.augment import augment
from latent_anatomy.networks.batchnorm import counted
from latent_anatomy.training.method import Batch, Data, Shape, Update
from latent_anatomy.training.strided import SIZE, CyclicAdam, StridedParams


class Params(StridedParams):
    """Parameters of unORANIC; the defaults are those of the released configuration."""

    views: int = Field(4, ge=2, description="Corrupted versions of an image, S included. Printed: 3.")
    consistency: Literal["mse", "l2"] = Field("mse", description="Distance of embeddings. Printed: l2.")
    anatomy_input: Literal["corrupted", "clean"] = Field("corrupted", description="What D_A(E_A(.)) sees.")
    lambda_reconstruction: float = Field(1.0, ge=0, description="Weight of the two reconstruction losses.")
    lambda_consistency: float = Field(1.0, ge=0, description="Weight of the consistency loss.")


class Method(CyclicAdam, nn.Module):
    """unORANIC on 28x28 images: capabilities `reconstruct`, `anatomy`, `encode`."""

    Params = Params
    SIZE = SIZE

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.params = params
        self.anatomy_encoder, self.characteristics_encoder = params.encoder(shape), params.encoder(shape)
        self.anatomy_decoder, self.decoder = params.decoder(shape), params.decoder(shape, embeddings=2)
        self.to(memory_format=torch.channels_last)  # faster, and the same up to the last bits

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step on images (N, C, 28, 28) float32 in [0, 1]; the views are drawn here."""
        losses = self.losses(batches["train"].images)
        update("all", losses["loss"])
        return losses

    def losses(self, images: Tensor) -> dict[str, Tensor]:
        """Scalar losses of clean images (N, C, 28, 28), with freshly drawn views."""
        params = self.params
        repeated = images.repeat(params.views, 1, 1, 1)
        corrupted, *variants = augment(repeated, params.corruption_probability).chunk(params.views)

        with counted(self.anatomy_encoder, times=2):
            anatomy = self.anatomy_encoder(corrupted)
        embeddings = [anatomy, *(self.anatomy_encoder(variant) for variant in variants)]
        source = anatomy if params.anatomy_input == "corrupted" else self.anatomy_encoder(images)
        both = torch.cat([anatomy, self.characteristics_encoder(corrupted)], dim=1)

        anatomy_loss = F.mse_loss(self.anatomy_decoder(source).float(), images)
        reconstruction_loss = F.mse_loss(self.decoder(both).float(), corrupted)
        consistency_loss = torch.stack(
            [self.distance(one, other) for one, other in combinations(embeddings, 2)]
        ).mean()
        return {
            "loss": params.lambda_reconstruction * (anatomy_loss + reconstruction_loss)
            + params.lambda_consistency * consistency_loss,
            "anatomy": anatomy_loss,
            "reconstruction": reconstruction_loss,
            "consistency": consistency_loss,
        }

    def distance(self, one: Tensor, other: Tensor) -> Tensor:
        """Distance of two batches of embeddings (N, latent): a scalar."""
        if self.params.consistency == "mse":
            return F.mse_loss(one.float(), other.float())
        return torch.linalg.vector_norm(one.float() - other.float(), dim=1).mean()

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, Tensor]:
        """The training losses on freshly corrupted validation images; not used for any selection."""
        losses = self.losses(data.images)
        total = losses.pop("loss")
        return {**losses, "loss": total}

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """Images (N, C, 28, 28) -> embeddings "anatomy" and "characteristics", each (N, latent)."""
        return {
            "anatomy": self.anatomy_encoder(images),
            "characteristics": self.characteristics_encoder(images),
        }

    def reconstruct(self, images: Tensor) -> Tensor:
        """D(E_A(x), E_C(x)): images as they are, corruption included. Not clamped."""
        return self.decoder(torch.cat(list(self.encode(images).values()), dim=1))

    def anatomy(self, images: Tensor) -> Tensor:
        """D_A(E_A(x)): images without their corruption. Not clamped."""
        return self.anatomy_decoder(self.anatomy_encoder(images))
