"""A block of a transformer, normalised before each of its halves (Vaswani 2017; Dosovitskiy 2021).

With tokens x (N, T, D): x <- x + attention(LayerNorm x), x <- x + MLP(LayerNorm x). The MLP has one hidden
layer of 4 D with GELU between; attention has `heads` heads, and sees only what came before where `causal`.
"""

import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN = 4  # width of the MLP, in widths of the block


class Block(nn.Module):
    """Tokens (N, T, width) -> the same. `bias`: of queries, keys and values; `epsilon`: of LayerNorm."""

    def __init__(self, width: int, heads: int, *, bias: bool, epsilon: float = 1e-5, causal: bool = False):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.first_norm, self.second_norm = (nn.LayerNorm(width, eps=epsilon) for _ in range(2))
        self.seen = nn.Linear(width, 3 * width, bias=bias)  # queries, keys, values
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, HIDDEN * width), nn.GELU(), nn.Linear(HIDDEN * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        parts = self.seen(self.first_norm(tokens)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(*parts, is_causal=self.causal)
        tokens = tokens + self.out(attended.transpose(1, 2).flatten(2))
        return tokens + self.mlp(self.second_norm(tokens))
