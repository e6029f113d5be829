"""Vector quantisation whose codebook follows the vectors that it is given (van den Oord, arXiv 1711.00937).

Of vectors z and their nearest codes e(z): N_i <- decay N_i + (1 - decay) (vectors of code i),
m_i <- decay m_i + (1 - decay) (sum of the vectors of code i), e_i = m_i / N_i, with N_i smoothed so that a
code that nobody uses does not divide by 0 (appendix A.1).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-5


class Quantiser(nn.Module):
    """Maps (N, D, H, W) -> the same of codes, straight-through; loss of commitment; codes (N, H, W) int64.

    `moving`: whether the codebook follows in training; without, it stays as it was drawn.
    """

    def __init__(self, codes: int, size: int, decay: float, moving: bool):
        super().__init__()
        self.decay, self.moving = decay, moving
        book = torch.randn(codes, size)
        self.register_buffer("book", book)
        self.register_buffer("sums", book.clone())
        self.register_buffer("counts", torch.zeros(codes))

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        codes = self.nearest(maps)
        chosen = self.maps(codes)  # of the codebook as it was when they were the nearest
        if self.training and self.moving:
            self.follow(maps.detach(), codes)
        commitment = F.mse_loss(maps.float(), chosen)
        return maps + (chosen - maps).detach(), commitment, codes

    def nearest(self, maps: Tensor) -> Tensor:
        """The code of each place of maps (N, D, H, W): (N, H, W)."""
        vectors = maps.float().movedim(1, -1)
        distances = vectors.square().sum(-1, keepdim=True) - 2 * vectors @ self.book.T
        return (distances + self.book.square().sum(1)).argmin(-1)

    def maps(self, codes: Tensor) -> Tensor:
        """Codes (N, H, W) -> maps (N, D, H, W)."""
        return F.embedding(codes, self.book).movedim(-1, 1)

    @torch.no_grad()
    def follow(self, maps: Tensor, codes: Tensor) -> None:
        """Move the codebook to the vectors of maps (N, D, H, W)."""
        vectors = maps.float().movedim(1, -1).flatten(0, 2)
        used = F.one_hot(codes.flatten(), len(self.book)).to(vectors)
        self.counts.mul_(self.decay).add_(used.sum(0), alpha=1 - self.decay)
        self.sums.mul_(self.decay).add_(used.T @ vectors, alpha=1 - self.decay)
        total = self.counts.sum()
        smoothed = (self.counts + EPSILON) / (total + len(self.book) * EPSILON) * total
        self.book.copy_(self.sums / smoothed[:, None])
