"""MAE: a transformer that draws the hidden three quarters of an image from the rest draws them healthy.

He, Chen, Xie, Li, Dollar, Girshick: Masked autoencoders are scalable vision learners. CVPR 2022 (arXiv
2111.06377), as a baseline of Bercea 2024 (see `training.healthy`). An image is cut into square patches; the
encoder, a vision transformer with a class token, sees those that are kept, the decoder all places, the hidden
ones as one learnt token. Positions are fixed sines and cosines.

    L = mean over hidden patches of the mean of (x - r)^2

The reconstruction of an image is the mean over `draws` random choices of what to hide, each patch of those
draws that hide it.

    selection   by the squared error of the whole image, predictions of patches that are kept included, as
                released
    draws       30. The same for all images, so that a reconstruction does not depend on the images beside it
"""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy.networks.transformer import Block
from latent_anatomy.training.healthy import Redraws, SelectedParams, parts, test_generator
from latent_anatomy.training.method import Batch, Data, Schedules, Shape, Update
from latent_anatomy.training.optimisers import Adam

EPSILON, SPREAD, LONGEST = 1e-6, 0.02, 10_000


class Params(SelectedParams):
    """Parameters of the MAE; the defaults are the released ones for brains."""

    patch: int = Field(16, ge=1, description="Pixels along a side of a patch.")
    width: int = Field(512, ge=4, multiple_of=4, description="Of the encoder.")
    depth: int = Field(12, ge=1, description="Blocks of the encoder.")
    decoder_width: int = Field(512, ge=4, multiple_of=4, description="Of the decoder.")
    decoder_depth: int = Field(8, ge=1, description="Blocks of the decoder.")
    heads: int = Field(16, ge=1, description="Of both; a divisor of both widths.")
    hidden: float = Field(0.75, gt=0, lt=1, description="Part of the patches.")
    draws: int = Field(30, ge=1, description="At evaluation.")


class Method(Redraws, nn.Module):
    """Capabilities `reconstruct`, `anomaly_map`.

    ValueError for images that are no whole number of patches, heads that divide no width, and so few draws
    that a patch is never hidden.
    """

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        if shape.height % params.patch or shape.width % params.patch:
            raise ValueError(
                f"patch: expected a divisor of the sides of images, {shape.height}x{shape.width}, found "
                f"{params.patch}"
            )
        if params.width % params.heads or params.decoder_width % params.heads:
            raise ValueError(f"heads: expected a divisor of width and decoder_width, found {params.heads}")
        self.params, self.selection = params, params.selection("mse")
        self.grid = (shape.height // params.patch, shape.width // params.patch)
        self.count = self.grid[0] * self.grid[1]
        self.kept = max(1, int(self.count * (1 - params.hidden)))
        if not self.hides().any(0).all():
            raise ValueError(
                f"draws: expected so many that each of {self.count} patches is hidden in one, found "
                f"{params.draws}"
            )
        pixels, width, after = shape.channels * params.patch**2, params.width, params.decoder_width
        self.embed, self.embed_again = nn.Linear(pixels, width), nn.Linear(width, after)
        self.encoder = nn.Sequential(
            *(Block(width, params.heads, bias=True, epsilon=EPSILON) for _ in range(params.depth)),
            nn.LayerNorm(width, eps=EPSILON),
        )
        self.decoder = nn.Sequential(
            *(Block(after, params.heads, bias=True, epsilon=EPSILON) for _ in range(params.decoder_depth)),
            nn.LayerNorm(after, eps=EPSILON),
            nn.Linear(after, pixels),
        )
        for layer in (each for each in self.modules() if isinstance(each, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.of_class = nn.Parameter(SPREAD * torch.randn(width))
        self.of_hidden = nn.Parameter(SPREAD * torch.randn(after))
        self.register_buffer("places", waves(self.grid, width), persistent=False)
        self.register_buffer("places_again", waves(self.grid, after), persistent=False)

    def optimisers(self) -> dict[str, Optimizer]:
        return {"autoencoder": Adam(self.parameters(), lr=self.params.learning_rate, fused=True)}

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        return Schedules()

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step on images (N, C, H, W) float32 in [0, 1]."""
        patches = self.patches(self.params.shown(batches["train"].images))
        order = torch.rand(patches.shape[:2], device=patches.device).argsort(1)
        drawn = self.drawn(patches, order[:, : self.kept])
        errors = (drawn.float() - patches).square().mean(2)
        loss = errors.gather(1, order[:, self.kept :]).mean()
        update("autoencoder", loss)
        return {"loss": loss}

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, Tensor]:
        """Squared error of validation images, all patches as they are drawn."""
        errors = []
        for images in parts(data, self.params.batch_size):
            patches = self.patches(images)
            order = torch.rand(patches.shape[:2], device=patches.device).argsort(1)
            drawn = self.drawn(patches, order[:, : self.kept])
            errors.append(F.mse_loss(drawn.float(), patches) * len(images))
        return {"mse": sum(errors) / len(data)}

    def patches(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> patches in the order of rows (N, L, P)."""
        return F.unfold(images, self.params.patch, stride=self.params.patch).transpose(1, 2)

    def drawn(self, patches: Tensor, kept: Tensor) -> Tensor:
        """All patches (N, L, P), drawn from those of the places `kept` (N, K) alone."""
        rows = torch.arange(len(patches), device=patches.device)[:, None]
        tokens = self.embed(patches[rows, kept]) + self.places[kept]
        tokens = self.encoder(torch.cat([self.of_class.expand(len(patches), 1, -1), tokens], dim=1))
        tokens = self.embed_again(tokens)
        whole = self.of_hidden.to(tokens).expand(len(patches), self.count, -1).clone()
        whole[rows, kept] = tokens[:, 1:]
        return self.decoder(torch.cat([tokens[:, :1], whole + self.places_again], dim=1))[:, 1:]

    def hides(self) -> Tensor:
        """Which patches each draw at evaluation hides, (draws, L) bool, on the CPU."""
        order = torch.rand(self.params.draws, self.count, generator=test_generator()).argsort(1)
        return torch.ones_like(order, dtype=torch.bool).scatter_(1, order[:, : self.kept], False)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> each patch as it is drawn where it is hidden, not clamped."""
        patches, hides = self.patches(images), self.hides().to(images.device)
        total = torch.zeros_like(patches)
        for hidden in hides:
            kept = (~hidden).nonzero()[:, 0].expand(len(images), -1)
            total += self.drawn(patches, kept).float() * hidden[:, None]
        mean = total / hides.sum(0)[:, None]
        return F.fold(mean.transpose(1, 2), images.shape[2:], self.params.patch, stride=self.params.patch)


def waves(grid: tuple[int, int], width: int) -> Tensor:
    """Positions of a grid in the order of rows, (rows x columns, width): a half says the column, one the row.

    Each is sines, then cosines, of the place times 10,000^(-k / K), K a quarter of the width.
    """
    quarter = width // 4
    frequencies = LONGEST ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in grid), indexing="ij")
    angles = [place.flatten()[:, None] * frequencies for place in (columns, rows)]
    return torch.cat([wave for each in angles for wave in (each.sin(), each.cos())], dim=1).float()
