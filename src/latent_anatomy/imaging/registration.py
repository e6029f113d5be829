"""Rigid and affine registration of whole heads, to an atlas or to another image of the same person.

Heads lie anywhere in their field of view, with neck and scalp, while the atlas is a brain; so it starts with
a search and ends with ANTs. First all angles and shifts of a grid are judged on coarse copies, by normalised
mutual information inside of the region; the best few are refined by Powell's method. From there ANTs
(antspyx; Avants et al. 2011) maximises Mattes mutual information inside of the region, coarse to fine.

Both images are brought to one isotropic spacing before, so that the time and the result hardly depend on
the voxels that they came with. Deterministic: no random sampling in the search, one ITK thread and a fixed
seed in ANTs.
"""

import itertools
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from latent_anatomy.data.slices import defect
from latent_anatomy.imaging.transform import LPS, Transform, resample
from latent_anatomy.imaging.volume import Volume

BINS = 32  # of the joint histogram, along each axis
COARSE_MM, FINE_MM = 8.0, 4.0  # resolutions of the search
POINTS = 8000  # that it looks at


class Params(BaseModel):
    """How two images are registered. Unknown keys and wrong types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    transform: Literal["rigid", "affine"] = Field("rigid", description="6 or 12 degrees of freedom.")
    spacing_mm: float = Field(2.0, ge=1, le=4, description="Of the copies that are registered.")
    angles_deg: tuple[float, ...] = Field((-20, 0, 20), description="Start angles about each axis.")
    shifts_mm: tuple[float, ...] = Field((-40, -20, 0, 20, 40), description="Start shifts along each axis.")
    starts: int = Field(6, ge=1, description="The best starts, which are refined.")
    sampling: float = Field(0.25, gt=0, le=1, description="Part of the voxels that ANTs looks at.")
    iterations: tuple[int, ...] = Field((200, 100, 50), description="Of ANTs at most, coarse to fine.")
    seed: int = Field(1, ge=1, description="Of ANTs' jitter of the sampled points.")


def register(fixed: Volume, moving: Volume, params: Params, region: Volume | None = None) -> Transform:
    """The transform from the world of `fixed` to that of `moving` (see `Transform` and `resample`).

    `region`, a mask on the grid of `fixed`, is where both are compared: for an atlas that is only a brain,
    that brain and a rim around it; None: everywhere. Raises ValueError for an empty region or one on another
    grid, and RuntimeError if ANTs fails.
    """
    everywhere = Volume(np.ones_like(fixed.values), fixed.affine)
    region = everywhere if region is None else region
    _check_region(fixed, region)
    start = _search(fixed, moving, region, params)
    return _optimised(*(isotropic(one, params.spacing_mm) for one in (fixed, moving, region)), start, params)


def similarity(one: Volume, other: Volume, region: Volume) -> float:
    """Normalised mutual information of two volumes on one grid inside of a mask: 1 (nothing) to 2 (all).

    (H(one) + H(other)) / H(one, other) of Studholme et al. 1999, of 32 x 32 bins.
    """
    _check_region(one, region)
    _check_region(other, region)
    inside = region.values > 0.5
    return _information(_levels(one.values[inside]), _levels(other.values[inside]))


def isotropic(volume: Volume, spacing_mm: float) -> Volume:
    """A copy with cubic voxels over the same field of view, smoothed where it gets coarser."""
    ratio = spacing_mm / volume.spacing_mm
    # With the blur of the voxels themselves, as wide as a new voxel (full width at half maximum).
    sigma = np.sqrt(np.maximum(ratio**2 - 1, 0)) / np.sqrt(8 * np.log(2))
    shape = np.maximum(np.round(volume.values.shape / ratio), 1).astype(int)
    # The centre of the field of view stays where it is.
    scaling = np.diag([*ratio, 1.0])
    scaling[:3, 3] = (np.array(volume.values.shape) - 1) / 2 - ratio * (shape - 1) / 2
    grid = Volume(np.zeros(shape, np.float32), volume.affine @ scaling)
    smooth = Volume(ndimage.gaussian_filter(volume.values, sigma, truncate=3), volume.affine)
    return resample(smooth, grid, Transform.identity(), "linear")


def _levels(values: NDArray) -> NDArray[np.float64]:
    """Intensities as histogram positions from 0 to BINS - 1, cut at the 0.5th and 99.5th percentile."""
    low, high = np.percentile(values, (0.5, 99.5))
    return np.clip((values - low) / max(high - low, 1e-12), 0, 1) * (BINS - 1)


def _information(one: NDArray, other: NDArray) -> float:
    """Normalised mutual information of histogram positions (N,); the second is shared by its two bins."""
    row = np.round(one).astype(np.intp) * (BINS + 1)
    column = other.astype(np.intp)
    share = other - column
    joint = np.bincount(row + column, 1 - share, BINS * (BINS + 1))
    joint += np.bincount(row + column + 1, share, BINS * (BINS + 1))
    joint = joint.reshape(BINS, BINS + 1) / len(one)
    both = _entropy(joint)
    return float((_entropy(joint.sum(0)) + _entropy(joint.sum(1))) / both) if both > 0 else 1.0


def _entropy(probabilities: NDArray) -> float:
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())


class _Comparison:
    """How well a moving image fits a fixed one, for many transforms, at one resolution."""

    def __init__(self, fixed: Volume, moving: Volume, region: Volume, spacing_mm: float) -> None:
        fixed, region = isotropic(fixed, spacing_mm), isotropic(region, spacing_mm)
        inside = region.values > 0.5
        some = np.argwhere(inside)[:: max(1, np.count_nonzero(inside) // POINTS)]
        self.points = some @ fixed.affine[:3, :3].T + fixed.affine[:3, 3]
        self.fixed = _levels(fixed.values[tuple(some.T)])
        moving = isotropic(moving, spacing_mm)
        self.moving = _levels(moving.values.ravel()).reshape(moving.values.shape)
        self.voxels = np.linalg.inv(moving.affine)

    def __call__(self, matrix: NDArray) -> float:
        voxels = self.voxels @ matrix
        coordinates = voxels[:3, :3] @ self.points.T + voxels[:3, 3:]
        return _information(self.fixed, ndimage.map_coordinates(self.moving, coordinates, order=1))


def _about(centre: NDArray, numbers: NDArray) -> NDArray[np.float64]:
    """(4, 4) matrix of 6 or 7 numbers: shift in cm, rotation vector in 10 degrees, log scale in 10 %."""
    matrix = np.eye(4)
    scale = np.exp(0.1 * numbers[6]) if len(numbers) > 6 else 1.0
    matrix[:3, :3] = scale * Rotation.from_rotvec(10 * numbers[3:6], degrees=True).as_matrix()
    matrix[:3, 3] = centre + 10 * numbers[:3] - matrix[:3, :3] @ centre
    return matrix


def _search(fixed: Volume, moving: Volume, region: Volume, params: Params) -> Transform:
    """A start near the best transform: a grid at 8 mm, the best of it refined there, and those at 4 mm.

    The scale is free even where the result is rigid: heads that are smaller than the atlas would lie askew
    in it otherwise.
    """
    coarse, fine = (_Comparison(fixed, moving, region, spacing_mm) for spacing_mm in (COARSE_MM, FINE_MM))
    centre = coarse.points.mean(0)
    bright = ndimage.center_of_mass(moving.values > moving.values.mean())
    to_bright = (moving.affine[:3, :3] @ bright + moving.affine[:3, 3] - centre) / 10
    triples = [
        list(itertools.product(np.array(steps) / 10, repeat=3))
        for steps in (params.shifts_mm, params.angles_deg)
    ]
    grid = [
        np.array([*to_bright + shift, *angle, scale])
        for scale in (0.0, -1.5)
        for shift, angle in itertools.product(*triples)
    ]
    grid.append(np.zeros(7))  # the headers may agree already

    def best(comparison: _Comparison, candidates: list, count: int) -> list:
        ranked = sorted(candidates, key=lambda numbers: -comparison(_about(centre, numbers)))
        return ranked[:count]

    starts = [*best(coarse, grid, params.starts), grid[-1]]
    refined = [_refined(coarse, centre, start) for start in starts]
    finals = [_refined(fine, centre, start) for start in best(fine, refined, 3)]
    (final,) = best(fine, finals, 1)
    if params.transform == "rigid":
        final[6] = 0
    return Transform(_about(centre, final))


def _refined(comparison: _Comparison, centre: NDArray, numbers: NDArray) -> NDArray[np.float64]:
    result = optimize.minimize(
        lambda numbers: -comparison(_about(centre, numbers)),
        numbers,
        method="Powell",
        options={"xtol": 0.02, "ftol": 1e-4, "maxiter": 5},
    )
    return result.x


def _optimised(fixed: Volume, moving: Volume, region: Volume, start: Transform, params: Params) -> Transform:
    """The transform to which ANTs brings `start`."""
    import ants

    ants.config.set_ants_deterministic(True, params.seed)
    levels = len(params.iterations)
    with tempfile.TemporaryDirectory() as folder:
        start.write(Path(folder, "start.txt"))
        result = ants.registration(
            ants_image(fixed),
            ants_image(moving),
            type_of_transform={"rigid": "Rigid", "affine": "Affine"}[params.transform],
            initial_transform=str(Path(folder, "start.txt")),
            outprefix=f"{folder}/",
            mask=ants_image(region),
            aff_metric="mattes",
            aff_sampling=BINS,
            aff_random_sampling_rate=params.sampling,
            aff_iterations=params.iterations,
            aff_shrink_factors=tuple(2**level for level in reversed(range(levels))),
            aff_smoothing_sigmas=tuple(reversed(range(levels))),
            singleprecision=False,
        )
        (path,) = result["fwdtransforms"]
        itk = ants.read_transform(path)
    linear, shift = itk.parameters[:9].reshape(3, 3), itk.parameters[9:]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, shift + itk.fixed_parameters - linear @ itk.fixed_parameters
    return Transform(LPS @ matrix @ LPS)


def ants_image(volume: Volume):
    """The volume as an image of ANTs."""
    import ants

    affine = LPS @ volume.affine
    return ants.from_numpy(
        volume.values,
        origin=affine[:3, 3].tolist(),
        spacing=volume.spacing_mm.tolist(),
        direction=affine[:3, :3] / volume.spacing_mm,
    )


def _check_region(volume: Volume, region: Volume) -> None:
    if region.values.shape != volume.values.shape or not np.allclose(region.affine, volume.affine, atol=1e-4):
        found = f"{region.values.shape} at {region.affine[:3, 3].round(2).tolist()}"
        expected = f"the grid of the image, {volume.values.shape} at {volume.affine[:3, 3].round(2).tolist()}"
        raise defect("region", expected, found, "resample the mask onto the image")
    if not (region.values > 0.5).any():
        raise defect("region", "a mask with voxels inside", "an empty one", "check the mask")
