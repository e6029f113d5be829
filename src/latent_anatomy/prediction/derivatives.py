"""The files that a prediction leaves of a subject, named as derivatives of BIDS.

    sub-<x>/[ses-<y>/]anat/sub-<x>[_ses-<y>]_desc-anomaly_map.nii.gz             on the grid of the image
    .../..._desc-reconstruction_map.nii.gz, ..._desc-<threshold>_mask.nii.gz
    .../..._label-<structure>_mask.nii.gz                                        of methods that segment
    .../..._space-<atlas>_desc-anomaly_map.nii.gz, ...                           the same on that of the atlas
    .../..._from-orig_to-<atlas>_mode-image_xfm.txt                              the registration, for ITK
    .../figures/sub-<x>[_ses-<y>]_desc-overview.png                              one picture

Of a PNG, maps are float32 arrays (C, H, W) as .npy, and masks are PNG.
"""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latent_anatomy.imaging.transform import Transform
from latent_anatomy.prediction import nifti
from latent_anatomy.prediction.chain import Prepared
from latent_anatomy.prediction.maps import Answer
from latent_anatomy.prediction.space import Grid
from latent_anatomy.provenance.files import atomic_write, write_json

DESCRIPTION = "dataset_description.json"
BIDS = "1.10.0"
Volumes = dict[str, NDArray]


def describe(out: Path, version: str, licence: str) -> None:
    """Write dataset_description.json."""
    content = {
        "Name": "Maps of anomalies",
        "BIDSVersion": BIDS,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "latent-anatomy", "Version": version}],
        "Acknowledgements": f"The model was {licence}.",
    }
    write_json(out / DESCRIPTION, content)


def folder(out: Path, name: str) -> Path:
    """Where the files of a subject or session lie."""
    return out.joinpath(*name.split("_"))


def files(answer: Answer) -> dict[str, NDArray]:
    """End of a file's name, without suffix -> what is in it, of all slices."""
    own: dict[str, NDArray] = {f"desc-{name}_map": values for name, values in answer.maps.items()}
    own |= {f"desc-{name}_mask": values for name, values in answer.masks.items()}
    return own | {f"label-{name}_mask": values for name, values in answer.structures.items()}


def write_volumes(out: Path, name: str, answer: Answer, prepared: Prepared, atlas: str | None) -> Volumes:
    """Write all maps and masks, in both spaces where there is an atlas; returns those on the native grid.

    Maps are NaN, and masks 0, where nothing was modelled.
    """
    spaces: list[tuple[str, Grid, Transform]] = [("", prepared.native, prepared.to_atlas)]
    if atlas is not None:
        spaces.append((f"space-{atlas}_", prepared.slab.atlas, Transform.identity()))
        xfm = f"{name}_from-orig_to-{atlas}_mode-image_xfm.txt"
        prepared.to_atlas.inverse().write(folder(out, name) / "anat" / xfm)  # points go against images
    native: Volumes = {}
    for end, planes in files(answer).items():
        how = "nearest" if planes.dtype == bool else "linear"
        flat = planes[:, 0] if planes.ndim == 4 else planes  # volumes have one channel
        for space, grid, to_atlas in spaces:
            values = prepared.slab.on(grid, to_atlas, flat, how)
            values = np.nan_to_num(values) > 0.5 if planes.dtype == bool else values
            nifti.write(folder(out, name) / "anat" / f"{name}_{space}{end}.nii.gz", values, grid)
            if not space:
                native[end] = values
    return native


def write_images(out: Path, name: str, answer: Answer) -> None:
    """Write all maps and masks of one picture."""
    for end, values in files(answer).items():
        path, stream = folder(out, name) / f"{name}_{end}", io.BytesIO()
        if values.dtype == bool:
            Image.fromarray(np.where(values[0], np.uint8(255), np.uint8(0))).save(stream, "PNG")
        else:
            np.save(stream, values[0] if values.ndim == 4 else values)
        _write(path.with_suffix(".png" if values.dtype == bool else ".npy"), stream.getvalue())


def write_picture(out: Path, name: str, picture: bytes) -> None:
    """Write the overview of a subject."""
    _write(folder(out, name) / "figures" / f"{name}_desc-overview.png", picture)


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
