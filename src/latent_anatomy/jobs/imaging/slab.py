"""Axial slices in atlas space of the subjects that passed the gate, in the one HDF5 schema."""

from pathlib import Path

import numpy as np

from latent_anatomy.data import slices_file
from latent_anatomy.data.dataset import Volumes
from latent_anatomy.data.slices import NOT_DELINEATED, Slices
from latent_anatomy.imaging import atlas, gate, slab, volume
from latent_anatomy.jobs.imaging.made import made
from latent_anatomy.jobs.imaging.step import Place
from latent_anatomy.jobs.job import read_with_makers
from latent_anatomy.pipeline.volume_files import PASSPORT, masks_of, subject_of, volume_name
from latent_anatomy.provenance import verify
from latent_anatomy.provenance.lock import making
from latent_anatomy.provenance.passport import passport


@making("out")
def run(dataset: Volumes, params: Path, qc: Path, interim: Path, out: Path) -> None:
    """Write `out`; `slice` counts the chosen positions from 0, bottom to top.

    Raises ValueError when nobody passed the gate, a subject of the gate's table is not of this data set, or a
    file is not what the job that is expected made of this subject.
    """
    job, makers = read_with_makers(params, "slice")
    if job["dataset"] != dataset.name:
        raise ValueError(f"{params}: expected the job of {dataset.name}, found that of {job['dataset']}")
    judged = qc.with_name(PASSPORT)
    says = {"job": "gate", "dataset": dataset.name}
    verify.made_by(judged, verify.beside(judged, {"qc": qc}), says, makers.get("gate"))
    subjects = [subject_of(dataset, name) for name in gate.passing(qc)]
    places = [Place(dataset, subject, Path(), interim) for subject in subjects]
    if not places:
        raise ValueError(f"{qc}: expected subjects that passed the gate, found none: look at the table")
    masks = ("brain", *(name for name in masks_of(dataset) if name != "brain"))
    files = {place.subject.name: _files(place, masks) for place in places}
    for place in places:
        _verify(place, files[place.subject.name], makers)
    inputs = {f"{name}/{role}": path for name, own in files.items() for role, path in own.items()}
    proof = passport(inputs={"qc": qc} | inputs, job=job)
    settings, target = slab.Params.model_validate(job["params"]), atlas.load(**job["atlas"])
    chosen = slab.positions(target.brain, settings)
    images, planes = [], []
    for own in files.values():
        images.append(slab.slab(volume.read(own["image"]), chosen, settings))
        delineated = {
            name: slab.slab(volume.read_mask(own[name]), chosen, settings) for name in masks if name in own
        }
        missing = np.full_like(images[-1], NOT_DELINEATED)
        planes.append(np.stack([delineated.get(name, missing) for name in masks], axis=1))
    count, spacing, sites = len(chosen), target.t1.spacing_mm, [subject.site for subject in subjects]
    content = Slices(
        images=np.concatenate(images)[:, None],
        masks=np.concatenate(planes).astype(np.uint8),
        mask_names=masks,
        subject=np.repeat(list(files), count),
        slice=np.tile(np.arange(count, dtype=np.int32), len(files)),
        split=np.repeat([subject.split for subject in subjects], count),
        modality=np.full(count * len(files), dataset.modality),
        site=np.repeat(sites, count) if any(sites) else None,
        spacing_mm=np.tile(np.float32(spacing[[1, 0, 2]]), (count * len(files), 1)),
        dataset=dataset.name,
        task="lesions",
        classes=0,
    )
    slices_file.write(out, content, proof)


def _files(place: Place, masks: tuple[str, ...]) -> dict[str, Path]:
    """The image, the brain, and those other masks that this subject has."""
    others = {name: place.volume("register", name) for name in masks[1:] if name in place.subject.masks}
    image = place.volume("normalise", place.dataset.sliced)
    return {"image": image, "brain": place.volume("strip", "brain")} | others


def _verify(place: Place, files: dict[str, Path], makers: dict[str, str]) -> None:
    """Raise ValueError unless a subject's files were made by the steps that are expected, of one another."""
    others = [path for role, path in files.items() if role not in ("image", "brain")]
    normalised = made(place, "normalise", [files["image"]], makers)
    stripped = made(place, "strip", [files["brain"]], makers)
    registered = made(place, "register", others, makers)
    below = {
        "image": registered["outputs"][volume_name(place.dataset.sliced)],
        "brain": stripped["outputs"][volume_name("brain")],
    }
    verify.made_of(place.step("normalise"), normalised, below)
