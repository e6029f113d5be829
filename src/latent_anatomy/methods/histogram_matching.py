"""Histogram matching of the images, by setting, before they are encoded: the usual rival for MR.

After Nyul, Udupa: On standardizing the MR image intensity scale. Magnetic Resonance in Medicine 42, 1999: the
quantiles of each setting's training pixels are mapped, linearly between, on their means over settings.

    quantiles   how many; printed: deciles
    level       pixels at or below it are background, which stays and counts for nothing

Deviation: a map for each setting, not for each image, whose own quantiles also say what it shows. What is
encoded then is standardised as it is for every other method.
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.data.slices import defect
from latent_anatomy.training.harmonisers import MOST, HarmoniserParams, Settings
from latent_anatomy.training.latents import Standard, encoded, width_of
from latent_anatomy.training.method import Data, Shape

PIXELS = 1_000_000  # of a setting, at most: so many that torch.quantile takes


class Params(HarmoniserParams):
    """Parameters of the matching."""

    quantiles: int = Field(101, ge=2, description="Landmarks.")
    level: float = Field(0.0, ge=0, lt=1, description="Background.")


class Method(nn.Module):
    """Capability `represent`."""

    ON = ("encode",)
    Params = Params
    DETERMINISTIC = True

    def __init__(self, params: Params, shape: Shape, on: nn.Module):
        super().__init__()
        self.params, self.on, self.settings = params, on, Settings()
        self.standard = Standard(width_of(on, shape, params.embedding))
        self.register_buffer("landmarks", torch.zeros(MOST, params.quantiles))
        self.register_buffer("scale", torch.zeros(params.quantiles))

    def fit(self, train: Data) -> None:
        """Landmarks (S, quantiles) of each setting, the standard scale, and moments of what is encoded."""
        setting, images = self.settings.fit(train, 1, self.params.setting), train.images
        steps = torch.linspace(0, 1, self.params.quantiles, device=train.device)
        landmarks = []
        for index in range(len(self.settings.names)):
            pixels = images[setting == index].flatten()
            pixels = pixels[pixels > self.params.level]
            if not len(pixels):
                name = self.settings.names[index]
                raise defect(f"setting {name}", "pixels above the level", "none", "set a lower level")
            landmarks.append(pixels[:: -(-len(pixels) // PIXELS) or 1].quantile(steps))
        self.landmarks[: len(landmarks)] = torch.stack(landmarks)
        self.scale.copy_(torch.stack(landmarks).mean(0))
        self.standard.fit(encoded(self.on, self.matched(images, setting), self.params.embedding))

    def matched(self, images: Tensor, setting: Tensor) -> Tensor:
        """Images (N, C, H, W) of settings (N,) on the standard scale."""
        result = images.clone()
        for index, landmarks in enumerate(self.landmarks):
            own = images[setting == index]
            matched = _piecewise(own, landmarks, self.scale)
            result[setting == index] = torch.where(own > self.params.level, matched, own)
        return result

    def represent(self, data: Data) -> Tensor:
        """Rows of any split -> the standardised embedding (N, d) float32 of what is matched."""
        images = self.matched(data.images, self.settings.of(data))
        return self.standard(encoded(self.on, images, self.params.embedding)).float()


def _piecewise(values: Tensor, landmarks: Tensor, standard: Tensor) -> Tensor:
    """Linear between landmarks (Q,), which may repeat, and standard (Q,); beyond them by the end's shift."""
    upper = torch.searchsorted(landmarks, values.contiguous()).clamp(1, len(landmarks) - 1)
    low, high = landmarks[upper - 1], landmarks[upper]
    part = ((values - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
    inside = standard[upper - 1] + part * (standard[upper] - standard[upper - 1])
    beyond = (values - landmarks[-1]).clamp(min=0) + (values - landmarks[0]).clamp(max=0)
    return (inside + beyond).clamp(0, 1)
