"""Atlases: a T1 template of the brain, its mask and its white matter, on a grid of the wanted spacing.

`mni152`  ICBM152 2009a nonlinear symmetric (Fonov et al. 2011), 1 mm, from nilearn's wheel: no download
`sri24`   SRI24 (Rohlfing et al. 2010), 1 mm, 240 x 240 x 155, a checksummed fetch (see `weights`)

Both show a brain without skull and scalp, and their brain is where that template is above 0. The world of
mni152 is MNI space; that of sri24 has its origin in a corner, as its files say.
"""

import tempfile
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import ndimage

from latent_anatomy.data.download import DATA
from latent_anatomy.data.slices import defect
from latent_anatomy.imaging import volume
from latent_anatomy.imaging.registration import isotropic
from latent_anatomy.imaging.volume import Volume
from latent_anatomy.imaging.weights import SRI24
from latent_anatomy.provenance import unpacking

RIM_MM = 3.0
NILEARN = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"


@dataclass(frozen=True, eq=False)
class Atlas:
    """Volumes on one grid.

    t1             brain-only T1 template, 0 outside
    brain          mask: where the template is
    around         mask: the brain and 3 mm around it, where a head is compared with the template; with a
                   wide rim, its emptiness would rather match the air around a head than the skull
    white_matter   probability of white matter, 0 to 1; None where the atlas comes without
    grey_matter    likewise
    """

    name: str
    t1: Volume
    brain: Volume
    around: Volume
    white_matter: Volume | None = None
    grey_matter: Volume | None = None


def load(name: Literal["mni152", "sri24"], spacing_mm: float = 1.0, data: Path = DATA) -> Atlas:
    """The atlas at `spacing_mm` (1 mm: as published). `data` is where fetched files lie, in a folder sri24.

    Raises ValueError for an unknown name, a wrong checksum or unexpected files, OSError if sri24 is neither
    there nor can be fetched.
    """
    if name == "mni152":
        t1, white_matter, grey_matter = (_from_nilearn(kind) for kind in ("t1", "wm", "gm"))
        white_matter, grey_matter = (_scaled(one, 1 / 255) for one in (white_matter, grey_matter))
    elif name == "sri24":
        (archive,) = SRI24.bring(data)
        t1, white_matter, grey_matter = _from_archive(archive, "spgr.nii"), None, None
    else:
        raise defect("atlas", "mni152 or sri24", f"{name!r}", "choose one of them")
    brain = Volume((t1.values > 0).astype(np.float32), t1.affine)
    if spacing_mm != 1:
        t1, brain, white_matter, grey_matter = (
            None if one is None else isotropic(one, spacing_mm)
            for one in (t1, brain, white_matter, grey_matter)
        )
        brain = Volume((brain.values >= 0.5).astype(np.float32), brain.affine)
    distance = ndimage.distance_transform_edt(brain.values == 0, sampling=t1.spacing_mm)
    around = Volume((distance <= RIM_MM).astype(np.float32), t1.affine)
    return Atlas(name, t1, brain, around, white_matter, grey_matter)


def _from_nilearn(kind: str) -> Volume:
    """A template in nilearn's package, found without importing it, which takes seconds."""
    package = find_spec("nilearn")
    if package is None:
        raise defect("atlas mni152", "the package nilearn, which carries it", "none", "install nilearn")
    path = Path(package.origin).parent / "datasets" / "data" / NILEARN.format(kind)
    if not path.is_file():
        raise defect(path, "the ICBM152 template", "no such file", "install nilearn 0.8 or newer")
    return volume.read(path)


def _from_archive(archive: Path, name: str) -> Volume:
    with zipfile.ZipFile(archive) as files:
        entries = [entry for entry in files.namelist() if entry.rsplit("/", 1)[-1] == name]
        if len(entries) != 1:
            raise defect(archive, f"one file {name}", f"{entries}", "fetch the archive again")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            path.write_bytes(unpacking.zip_entry(files, entries[0], archive))
            return volume.read(path)


def _scaled(one: Volume, factor: float) -> Volume:
    return Volume(one.values * np.float32(factor), one.affine)
