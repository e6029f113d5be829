"""From a registered image and its brain mask to intensities in [0, 1].

Denoising by curvature flow, masking, scaling, clipping. Baur et al. 2018 (section 3.1) denoise "with
CurvatureFlow" and normalise, they do not say how. The later comparison of the same group (Baur et al.,
"Autoencoders for unsupervised anomaly segmentation in brain MR images: a comparative study", Medical Image
Analysis 69, 2021) denoises, masks, clips to the 0th and 99.8th percentile of the whole volume, background
included, and divides by the largest value: `scaled_by="percentiles"`. Where tissue then lies depends on the
field of view and on the brightest voxels. Here it is "tissue" by default, the scale of `imaging.intensity`,
which all data sets of slices share, so that a model of one can be asked about another.

Curvature flow: Sethian, "Level Set Methods", 1996, as in ITK: dI/dt = curvature of the level set x |grad I|.
Distances are in millimetres, so that a step smooths the same anatomy whatever the grid.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat

from latent_anatomy.data.slices import defect
from latent_anatomy.imaging import intensity, itk
from latent_anatomy.imaging.volume import Volume

SAME_PLACE_MM = 1e-3  # two affines that differ by less are one grid
MOST_NEGATIVE = 0.1  # share of the brain; resampling undershoots a little, a z-score does by half


class Params(BaseModel):
    """Denoising and scaling; see the module for the source of the defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time_step: PositiveFloat = 0.125
    iterations: NonNegativeInt = 3  # 0: no denoising
    scaled_by: Literal["tissue", "percentiles"] = "tissue"  # the percentiles below are of the second alone
    lower_percentile: float = Field(0, ge=0, lt=100)
    upper_percentile: float = Field(99.8, gt=0, le=100)
    percentiles_of: Literal["volume", "brain"] = "volume"  # "volume": with the zeros around the brain


def normalise(volume: Volume, brain: Volume, params: Params) -> tuple[Volume, dict[str, float]]:
    """The denoised brain, divided by the upper limit and clipped: float32 in [0, 1], 0 outside the brain.

    What is below 0, where only resampling's undershoot belongs, becomes 0. Numbers: `scale`, the intensity
    that became 1; of the brain `clipped_percent` and, exactly 0 before, `zero_percent`; `brain_ml`. Raises
    ValueError for a mask on another grid, an empty one, an image that is constant or largely negative within
    it, and limits that coincide.
    """
    import SimpleITK

    if volume.values.shape != brain.values.shape or not np.allclose(
        volume.affine, brain.affine, rtol=0, atol=SAME_PLACE_MM
    ):
        found = f"{brain.values.shape} beside {volume.values.shape}, or another affine"
        raise defect("brain mask", "the grid of its image", found, "resample both onto the atlas")
    inside = brain.values > 0.5
    if not inside.any():
        raise defect("brain mask", "a brain", "an empty mask", "look at the picture of the stripping")
    within = volume.values[inside]
    if within.min() == within.max():
        raise defect("brain", "an image", f"the constant {within[0]:g}", "look at the registered image")
    negative = (within < 0).mean()
    if negative > MOST_NEGATIVE:
        remedy = "give raw magnitudes, not z-scores"
        raise defect("brain", "intensities from 0", f"{100 * negative:.0f} % negative ones", remedy)

    smooth = SimpleITK.CurvatureFlow(itk.image(volume), params.time_step, params.iterations)
    masked = np.where(inside, itk.values(smooth), np.float32(0))
    lower, upper = _limits(masked, inside, params)
    scaled = np.where(inside, masked.clip(lower, upper) / upper, 0).astype(np.float32)
    numbers = {
        "scale": float(upper),
        "clipped_percent": float(100 * ((masked[inside] < lower) | (masked[inside] > upper)).mean()),
        "zero_percent": float(100 * (within == 0).mean()),
        "brain_ml": float(inside.sum() * volume.spacing_mm.prod() / 1000),
    }
    return Volume(scaled, volume.affine), numbers


def _limits(masked: NDArray, inside: NDArray, params: Params) -> tuple[float, float]:
    """What becomes 0 and 1; ValueError where they coincide."""
    if params.scaled_by == "tissue":
        return 0.0, intensity.reference(masked[inside])
    counted = masked if params.percentiles_of == "volume" else masked[inside]
    lower, upper = np.percentile(counted, (params.lower_percentile, params.upper_percentile))
    lower = max(lower, 0)
    if not upper > lower:
        found = f"{params.lower_percentile} % at {lower:g} and {params.upper_percentile} % at {upper:g}"
        remedy = "take the percentiles of the brain, or look at its mask"
        raise defect("brain", "limits of the intensity that differ", found, remedy)
    return float(lower), float(upper)
