"""A U-Net with what supervised segmentation has long had beside Dice: what the labelled slices allow.

No paper's baseline: the reader's, so that what few labels cost can be told from how a network was trained.
The network, optimiser, rotation and end of training are those of `unet`; what is added is that of nnU-Net
(Isensee, Jaeger, Kohl, Petersen, Maier-Hein, Nature Methods 18, 2021), in its simplest form:

    loss         Dice + lambda_cross_entropy x the cross-entropy of all classes, background included
    intensity    of each training image x in [0, 1], with the strength a: contrast and brightness
                 (x - mean) (1 + a u1) + mean + a u2 / 2, clamped, then gamma, x^(2^(2 a u3)), then noise of
                 the standard deviation a |u4| / 5, clamped; u, of each image, are uniform in [-1, 1]
    component    of each structure, in each slice, only the largest connected part of its likeliest pixels
                 (neighbours share a side) is kept: elsewhere its probability is 0. Part of `segment`, also
                 in validation, and of no training step
"""

import torch
import torch.nn.functional as F
from pydantic import Field
from scipy import ndimage
from torch import Tensor

from latent_anatomy.methods import unet
from latent_anatomy.metrics import dice
from latent_anatomy.training.method import Batch, Update


class Params(unet.Params):
    """Parameters of the U-Net, and what is added."""

    doubled_smooth: bool = Field(False, description="Dice loss of -1, not 0, on what is and stays empty.")
    lambda_cross_entropy: float = Field(1.0, ge=0, description="Weight of the cross-entropy.")
    intensity: float = Field(0.3, ge=0, le=1, description="Strength a of the changes of intensity; 0: none.")
    largest_component: bool = Field(True, description="Whether each structure is one connected part.")


class Method(unet.Method):
    """Capability `segment`."""

    Params = Params

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step on images (N, C, H, W) float32 in [0, 1] with masks (N, L, H, W) of 0 and 1."""
        params, given = self.params, batches["labelled"]
        batch = params.shown(Batch(changed_intensities(given.images, params.intensity), masks=given.masks))
        logits = self.network(batch.images).float()
        dice_loss = params.dice_loss(logits.softmax(dim=1)[:, :-1], batch.masks)
        classes = torch.cat([batch.masks, 1 - batch.masks.sum(1, keepdim=True)], dim=1)
        cross_entropy = F.cross_entropy(logits, classes)
        loss = dice_loss + params.lambda_cross_entropy * cross_entropy
        update("supervised", loss)
        return {"loss": loss, "dice": dice_loss, "cross_entropy": cross_entropy}

    def segment(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] -> probabilities (N, L, H, W) float32; the rest is background."""
        probabilities = self.probabilities(2 * images - 1)
        return largest_components(probabilities) if self.params.largest_component else probabilities


def changed_intensities(images: Tensor, strength: float) -> Tensor:
    """Images (N, C, H, W) in [0, 1] with other contrast, brightness, gamma and noise, each its own; as above.

    >>> changed_intensities(torch.rand(3, 1, 8, 8), strength=0.5).shape
    torch.Size([3, 1, 8, 8])
    """
    draws = torch.rand(4, len(images), 1, 1, 1, device=images.device) * 2 - 1
    contrast, brightness, gamma, noise = strength * draws
    mean = images.mean((1, 2, 3), keepdim=True)
    changed = ((images - mean) * (1 + contrast) + mean + brightness / 2).clamp(0, 1)
    return (changed ** (2 ** (2 * gamma)) + noise.abs() / 5 * torch.randn_like(images)).clamp(0, 1)


def largest_components(probabilities: Tensor) -> Tensor:
    """Probabilities (N, L, H, W) with 0 where a structure is likeliest, but outside its largest part."""
    likeliest = dice.hard(probabilities).bool()
    dropped = torch.zeros_like(likeliest, device="cpu")
    for row, planes in enumerate(likeliest.cpu().numpy()):
        for structure, plane in enumerate(planes):
            parts, count = ndimage.label(plane)
            if count > 1:
                sizes = ndimage.sum_labels(plane, parts, range(1, count + 1))
                dropped[row, structure] = torch.from_numpy(plane & (parts != 1 + sizes.argmax()))
    return probabilities.masked_fill(dropped.to(probabilities.device), 0.0)
