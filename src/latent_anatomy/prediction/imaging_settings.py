"""By which steps, with which settings, a data set's volumes became the slices of a training."""

import json
from pathlib import Path

import numpy as np

from latent_anatomy.data.dataset import Dataset, Volumes
from latent_anatomy.data.slices import Slices, defect
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets.acdc import Acdc
from latent_anatomy.datasets.acdc_patients import MODALITY
from latent_anatomy.datasets.pool import Pool
from latent_anatomy.pipeline import imaging_steps, params
from latent_anatomy.pipeline.volume_files import PASSPORT
from latent_anatomy.prediction.training_images import coarseness
from latent_anatomy.provenance import formats

AGAIN = "bring params.yaml back to what the slices were made with, or make them again"
OWN = ("modules", "source")  # of a job, beside what params.yaml says


def settings(source: Dataset | Volumes, slices: Path, root: Path) -> dict | None:
    """{"modality": ..., "steps": step -> job} of brains, {"modality": ..., "hearts": ...} of ACDC; else None.

    Steps are as params.yaml below `root` has them, after they were found to be those of the file `slices`
    and, where they are here, of data/interim. ValueError where they are others, and for a pool of volumes.
    """
    if isinstance(source, Pool):
        if any(map(datasets.of_volumes, source.members)):
            found = f"the pool {source.name}"
            raise defect("export", "one data set of volumes, or images", found, "train on one of its members")
        return None
    if isinstance(source, Acdc):
        hearts = {"spacing_mm": source.spacing_mm, "size": source.size}
        return {"modality": MODALITY, "hearts": hearts}
    if not datasets.of_volumes(source):
        return None
    if not source.subjects:
        raise defect(source.name, "its files, which say what its images are", "none", source.how_to_get)
    steps = imaging_steps.jobs(params.load(root / "params.yaml").imaging, source.name)
    steps = json.loads(json.dumps(steps))  # lists for tuples, as in a passport
    made = formats.read_passport(slices)["job"]
    _same(slices, "slab", steps["slab"], made)
    for subject in source.subjects:
        for step in imaging_steps.of_subject(source.name):
            passport = root / "data/interim" / source.name / subject.name / step / PASSPORT
            if passport.is_file():
                _same(passport, step, steps[step], formats.read_passport(passport)["job"])
    for job in steps.values():
        job.pop("excluded", None)  # who was left out of training is nobody's business here
    return {"modality": source.modality, "steps": steps}


def native_mm(source: Volumes, train: Slices, root: Path) -> dict | None:
    """`training_images.coarseness` of the raw sliced images of training, as far as they are here."""
    import nibabel

    known, spacings = set(train.subject.tolist()), []
    for subject in source.subjects:
        path = root / "data/raw" / source.name / subject.images[source.sliced]
        if subject.name in known and path.is_file():
            spacings.append(np.array(nibabel.load(path).header.get_zooms()[:3], np.float64))
    return coarseness(spacings)


def _same(path: Path, step: str, asked: dict, made: dict) -> None:
    found = {key: value for key, value in made.items() if key not in OWN}
    if found != asked:
        differing = next(
            key for key in sorted(asked.keys() | found.keys()) if asked.get(key) != found.get(key)
        )
        expected = f"the settings of the step {step} that params.yaml has"
        raise defect(path, expected, f"another {differing}", AGAIN)
