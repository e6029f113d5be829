"""The brain of a head that already lies in atlas space.

`atlas`       the atlas' mask, carried over by a deformable registration at low resolution (SyN, Avants et al.
              2008, antspyx): no weights, deterministic, seconds
`synthstrip`  SynthStrip (Hoopes et al. 2022) by the installed command `mri_synthstrip` of FreeSurfer, or
              `nipreps-synthstrip` with weights that are fetched with their checksum
`hdbet`       HD-BET 2 (Isensee et al. 2019) by the installed command `hd-bet`, which fetches its own weights
`given`       the mask that the publisher supplies

The networks are not part of this project: their commands are installed by whoever wants them, and masks made
elsewhere can be `given`.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

from latent_anatomy.data.download import DATA
from latent_anatomy.data.slices import defect
from latent_anatomy.imaging import volume
from latent_anatomy.imaging.atlas import Atlas
from latent_anatomy.imaging.registration import BINS, ants_image, isotropic
from latent_anatomy.imaging.volume import Volume
from latent_anatomy.imaging.weights import SYNTHSTRIP

MARGIN_MM = 10.0  # around the atlas' brain, in which the deformation is sought


class Params(BaseModel):
    """How the brain is found. Unknown keys and wrong types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["atlas", "synthstrip", "hdbet", "given"] = Field("atlas", description="See the module.")
    spacing_mm: float = Field(3.0, ge=1, le=6, description="atlas: of the copies that are registered.")
    iterations: tuple[int, ...] = Field((20, 10), description="atlas: of SyN at most, coarse to fine.")
    seed: int = Field(1, ge=1, description="atlas: of ANTs.")


def strip(
    head: Volume, atlas: Atlas, params: Params, given: Volume | None = None, data: Path = DATA
) -> tuple[Volume, dict[str, float]]:
    """The brain mask of a head on the grid of `atlas`, and numbers that judge it.

    `given`, a mask on that grid, is the result if `params.kind` is "given", else a reference to compare
    with. `data` is where fetched files lie. Numbers: `brain_ml`, and `dice` with the reference. Raises
    ValueError for another grid, a mask that is missing or empty, a command that is not installed or fails.
    """
    for name, one in (("head", head), ("given mask", given)):
        if one is not None and one.values.shape != atlas.t1.values.shape:
            expected, found = atlas.t1.values.shape, one.values.shape
            raise defect(name, f"the grid of the atlas, {expected}", found, "resample it to the atlas first")
    match params.kind:
        case "given":
            if given is None:
                remedy = "choose another way of stripping, such as atlas, or supply the masks"
                raise defect("stripping", "a given mask", "none", remedy)
            inside = given.values > 0.5
        case "atlas":
            inside = _propagated(head, atlas, params)
        case "synthstrip":
            inside = _by_command(head, lambda image, mask: _synthstrip(image, mask, data))
        case "hdbet":
            inside = _by_command(head, _hdbet)
    if not inside.any():
        raise defect("stripping", "a brain", "an empty mask", "look at the registration of this subject")
    numbers = {"brain_ml": float(inside.sum() * np.prod(atlas.t1.spacing_mm) / 1000)}
    if given is not None and params.kind != "given":
        numbers["dice"] = dice(inside, given.values > 0.5)
    return Volume(inside.astype(np.float32), atlas.t1.affine), numbers


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """2 |A and B| / (|A| + |B|) of two masks, of which at least one is not empty."""
    return float(2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other)))


def _propagated(head: Volume, atlas: Atlas, params: Params) -> NDArray[np.bool_]:
    """The atlas' brain where a deformation of its template to the head takes it."""
    import ants

    ants.config.set_ants_deterministic(True, params.seed)
    distance = ndimage.distance_transform_edt(atlas.brain.values == 0, sampling=atlas.t1.spacing_mm)
    near = Volume((distance <= MARGIN_MM).astype(np.float32), atlas.t1.affine)
    fixed, template, near = (isotropic(one, params.spacing_mm) for one in (head, atlas.t1, near))
    with tempfile.TemporaryDirectory() as folder:
        result = ants.registration(
            ants_image(fixed),
            ants_image(template),
            type_of_transform="SyNOnly",
            initial_transform="Identity",
            outprefix=f"{folder}/",
            mask=ants_image(Volume((near.values > 0.5).astype(np.float32), near.affine)),
            syn_metric="mattes",
            syn_sampling=BINS,
            reg_iterations=params.iterations,
            singleprecision=False,
        )
        carried = ants.apply_transforms(ants_image(head), ants_image(atlas.brain), result["fwdtransforms"])
    return ndimage.binary_fill_holes(carried.numpy() >= 0.5)


def _by_command(head: Volume, command: Callable[[Path, Path], list[str]]) -> NDArray[np.bool_]:
    """The mask that a command writes for the head; `command` gives its words for an input and an output."""
    with tempfile.TemporaryDirectory() as folder:
        image, mask = Path(folder, "head.nii.gz"), Path(folder, "brain_bet.nii.gz")
        volume.write(image, head)
        words = command(image, mask)
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode or not mask.is_file():
            said = (done.stderr or done.stdout).strip()[-500:]
            raise defect(words[0], "a brain mask", f"exit code {done.returncode}: {said}", "run it by hand")
        brain = volume.read_mask(mask)
    if brain.values.shape != head.values.shape or not np.allclose(brain.affine, head.affine, atol=1e-3):
        raise defect(
            words[0], f"a mask on the grid of the head, {head.values.shape}", brain.values.shape, "check it"
        )
    return brain.values > 0.5


def _synthstrip(image: Path, mask: Path, data: Path) -> list[str]:
    if shutil.which("mri_synthstrip"):
        return ["mri_synthstrip", "-i", str(image), "-m", str(mask)]
    if shutil.which("nipreps-synthstrip"):
        (weights,) = SYNTHSTRIP.bring(data)
        brain = image.with_name("brain.nii.gz")
        words = ["nipreps-synthstrip", "-i", str(image), "-o", str(brain), "-m", str(mask)]
        return [*words, "--model", str(weights)]
    raise _not_installed("mri_synthstrip (FreeSurfer 7.3 or newer) or nipreps-synthstrip")


def _hdbet(image: Path, mask: Path) -> list[str]:
    if not shutil.which("hd-bet"):
        raise _not_installed("hd-bet (package hd-bet, version 2)")
    brain = mask.with_name(mask.name.replace("_bet", ""))  # it writes the mask beside it as <name>_bet
    words = ["hd-bet", "-i", str(image), "-o", str(brain), "-device", "cpu", "--disable_tta"]
    return [*words, "--save_bet_mask", "--no_bet_image"]


def _not_installed(commands: str) -> ValueError:
    remedy = "install it, or make the masks elsewhere and give them (kind: given), or choose kind: atlas"
    return defect("stripping", f"the command {commands} on PATH", "none", remedy)
