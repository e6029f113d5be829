"""What JPEG loses: baseline JPEG with 4:2:0 chroma, encoded and decoded in one go, batched on the device.

Entropy coding is lossless and left out; the rest is ITU-T T.81 (tables K.1 and K.2, quality scaled as in the
IJG's library) and JFIF 1.02 (colours). Every rounding is that of libjpeg's default ("islow", "fancy
upsampling") integer arithmetic, which Pillow uses: the result is theirs, bit by bit. Integers are kept in
float64, where all are exact.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# left half of sqrt(8) times the orthonormal 8-point cosine transform in units of 2 ** -13; the right half
# mirrors it, even rows with the same sign. libjpeg adds up rounded factors (Loeffler, Ligtenberg & Moschytz,
# ICASSP 1989), so entries can be 1 off the rounded cosine, and that 1 can decide which way a coefficient is
# quantised.
COSINE = (
    (8192, 8192, 8192, 8192),
    (11363, 9633, 6437, 2260),
    (10703, 4433, -4433, -10703),
    (9633, -2259, -11362, -6436),
    (8192, -8192, -8192, 8192),
    (6437, -11362, 2261, 9633),
    (4433, -10704, 10704, -4433),
    (2260, -6436, 9633, -11363),
)
TO_YCC = ((0.299, 0.587, 0.114), (-0.16874, -0.33126, 0.5), (0.5, -0.41869, -0.08131))
TO_RGB = ((0, 1.402), (-0.34414, -0.71414), (1.772, 0))  # of Cb and Cr, to be added to Y


def jpeg_compression(levels: Tensor, quality: int) -> Tensor:
    """Encodes and decodes levels (N, 3, H, W) in 0..255 at `quality` 1..100; H and W multiples of 16."""
    mixed = torch.einsum("dc,nchw->ndhw", _fixed(TO_YCC, levels), levels)
    luma = _through_blocks(_shift(mixed[:, :1], 16), LUMINANCE, quality)
    centred = torch.floor((mixed[:, 1:] + 128 * 2**16 + 2**15 - 1) / 2**16)  # chroma rounds halves down
    chroma = _enlarge(_through_blocks(_halve(centred), CHROMINANCE, quality)) - 128
    return (luma + _shift(torch.einsum("cd,ndhw->nchw", _fixed(TO_RGB, levels), chroma), 16)).clamp(0, 255)


def _through_blocks(planes: Tensor, table: tuple, quality: int) -> Tensor:
    """Cosine transform of 8 x 8 blocks, quantisation, and back: (N, D, H, W) levels."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    quantum = torch.floor((planes.new_tensor(table) * scale + 50) / 100).clamp(1, 255)
    cosine = planes.new_tensor(COSINE)
    signs = torch.ones_like(cosine)
    signs[1::2] = -1
    cosine = torch.cat([cosine, cosine.flip(1) * signs], dim=1)

    count, depth, height, width = planes.shape
    blocks = (planes - 128).reshape(count, depth, height // 8, 8, width // 8, 8).transpose(3, 4)
    coefficients = _shift(
        cosine @ _shift(blocks @ cosine.T, 11), 15
    )  # rows with two spare bits; 8 times too large
    kept = coefficients.sign() * torch.floor((coefficients.abs() + 4 * quantum) / (8 * quantum)) * quantum
    decoded = _shift(_shift(cosine.T @ kept, 11) @ cosine, 18)
    return (decoded + 128).clamp(0, 255).transpose(3, 4).reshape(planes.shape)


def _halve(planes: Tensor) -> Tensor:
    """Mean of 2 x 2; halves are rounded down in even columns and up in odd ones."""
    count, depth, height, width = planes.shape
    total = planes.reshape(count, depth, height // 2, 2, width // 2, 2).sum(dim=(3, 5))
    return torch.floor((total + 1 + torch.arange(width // 2, device=planes.device) % 2) / 4)


def _enlarge(planes: Tensor) -> Tensor:
    """Twice the size: along each side 3/4 of the nearer and 1/4 of the farther neighbour."""
    count, depth, height, width = planes.shape
    padded = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    near, above, below = 3 * padded[:, :, 1:-1], padded[:, :, :-2], padded[:, :, 2:]
    rows = torch.stack([near + above, near + below], dim=3).reshape(count, depth, 2 * height, width + 2)
    near, before, after = 3 * rows[..., 1:-1], rows[..., :-2], rows[..., 2:]
    pairs = torch.stack([near + before + 8, near + after + 7], dim=4)
    return torch.floor(pairs / 16).reshape(count, depth, 2 * height, 2 * width)


def _shift(values: Tensor, bits: int) -> Tensor:
    """Division by 2 ** bits, rounded to the nearest integer, halves up."""
    return torch.floor((values + 2 ** (bits - 1)) / 2**bits)


def _fixed(matrix: tuple, like: Tensor) -> Tensor:
    """Coefficients in units of 2 ** -16, halves away from zero."""
    scaled = like.new_tensor(matrix) * 2**16
    return scaled.sign() * torch.floor(scaled.abs() + 0.5)
