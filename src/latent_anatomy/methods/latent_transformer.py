"""LTM: a transformer learns which codes follow which in healthy images, and replaces those that surprise it.

Pinaya, Tudosiu, Gray, Rees, Nachev, Ourselin, Cardoso: Unsupervised brain imaging 3D anomaly detection and
segmentation with transformers. Medical Image Analysis 79, 2022 (arXiv 2102.11650), as a baseline of Bercea
2024 (see `training.healthy`). It stands on a trained VQ-VAE (`on`, see `vq_vae`), whose codes t_1 ... t_T of
an image, row by row after a token that begins all, are its words:

    L = - mean over i of log p(t_i | t_1 ... t_(i-1))

The codes of an image whose log p, given the image's own codes, is below the `quantile` of that image are
replaced in their order, each by the likeliest after what is healed already. What the codes then give is the
reconstruction.

    orders     one, of rows. Pinaya 2022: an ensemble of eight
    codebook   that of the VQ-VAE as it was trained. The released trainer lets it go on changing here, and
               evaluates with the one from before
"""

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy.networks.transformer import Block
from latent_anatomy.training.healthy import Redraws, SelectedParams, parts
from latent_anatomy.training.method import Batch, Data, Schedules, Shape, Update
from latent_anatomy.training.optimisers import Adam


class Params(SelectedParams):
    """Parameters of the LTM; the defaults are the released ones for brains."""

    batch_size: int = Field(16, ge=1, description="Images per step.")
    learning_rate: float = Field(5e-4, gt=0, description="Adam's.")
    width: int = Field(128, ge=1, description="Of the transformer.")
    depth: int = Field(16, ge=1, description="Blocks.")
    heads: int = Field(16, ge=1, description="A divisor of the width.")
    quantile: float = Field(0.03, ge=0, le=1, description="Codes less likely than it are replaced.")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "Params":
        if self.width % self.heads:
            raise ValueError(f"heads: expected a divisor of width ({self.width}), found {self.heads}")
        return self


class Method(Redraws, nn.Module):
    """Capabilities `reconstruct`, `anomaly_map`."""

    ON = ("tokens", "of_tokens")
    Params = Params

    def __init__(self, params: Params, shape: Shape, on: nn.Module):
        super().__init__()
        self.params, self.selection, self.on = params, params.selection("entropy"), on
        length = on.grid[0] * on.grid[1]
        self.codes = on.params.codes  # the token that begins is this number
        self.words = nn.Embedding(self.codes + 1, params.width)
        self.places = nn.Embedding(length, params.width)
        self.blocks = nn.Sequential(
            *(Block(params.width, params.heads, bias=False, causal=True) for _ in range(params.depth))
        )
        self.exit = nn.Linear(params.width, self.codes + 1)

    def optimisers(self) -> dict[str, Optimizer]:
        own = [each for each in self.parameters() if each.requires_grad]
        return {"transformer": Adam(own, lr=self.params.learning_rate, fused=True)}

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        return Schedules()

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step on images (N, C, H, W) float32 in [0, 1]."""
        with torch.no_grad():
            tokens = self.on.tokens(self.params.shown(batches["train"].images))
        loss = self.entropy(tokens)
        update("transformer", loss)
        return {"loss": loss}

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, Tensor]:
        """The loss on validation images."""
        images = parts(data, self.params.batch_size)
        losses = [self.entropy(self.on.tokens(part)) * len(part) for part in images]
        return {"entropy": sum(losses) / len(data)}

    def entropy(self, tokens: Tensor) -> Tensor:
        """L of tokens (N, T): a scalar."""
        return F.cross_entropy(self.expected(tokens).float().flatten(0, 1), tokens.flatten())

    def expected(self, tokens: Tensor) -> Tensor:
        """Logits of each of tokens (N, T) int64, given those before it: (N, T, codes + 1)."""
        before = torch.cat([tokens.new_full((len(tokens), 1), self.codes), tokens[:, :-1]], dim=1)
        return self.exit(self.blocks(self.words(before) + self.places.weight))

    def healed(self, tokens: Tensor) -> Tensor:
        """Tokens (N, T) with those replaced that are less likely than the quantile of their own image."""
        likely = self.expected(tokens).float().log_softmax(2).gather(2, tokens[..., None])[..., 0]
        low = likely < likely.quantile(self.params.quantile, dim=1, keepdim=True)
        tokens = tokens.clone()
        rank = low.cumsum(1) * low  # 1 for the first of an image that is to be replaced, 2 for the next
        for turn in range(1, int(rank.max()) + 1):
            rows, places = (rank == turn).nonzero(as_tuple=True)
            logits = self.expected(tokens[rows])[torch.arange(len(rows), device=rows.device), places]
            tokens[rows, places] = logits[:, : self.codes].argmax(1)
        return tokens

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> what their healed codes give, not clamped."""
        return self.on.of_tokens(self.healed(self.on.tokens(images)))
