"""Axial slices in atlas space of the subjects that passed the gate, in the one HDF5 schema."""

import sys
from pathlib import Path

import numpy as np

from latent_anatomy.data import slices_file
from latent_anatomy.data.dataset import Volumes
from latent_anatomy.data.outline import absent
from latent_anatomy.data.slices import NOT_DELINEATED, Slices
from latent_anatomy.imaging import atlas, field_of_view, gate, slab, volume
from latent_anatomy.jobs.imaging.made import made
from latent_anatomy.jobs.imaging.step import Place
from latent_anatomy.jobs.job import read_with_makers
from latent_anatomy.pipeline.volume_files import FIELD, PASSPORT, masks_of, subject_of, volume_name
from latent_anatomy.provenance import verify
from latent_anatomy.provenance.lock import making
from latent_anatomy.provenance.passport import passport


@making("out")
def run(dataset: Volumes, params: Path, qc: Path, interim: Path, out: Path) -> None:
    """Write `out`; `slice` counts the chosen positions from 0, bottom to top.

    Slices of which a subject's images show too little are left out, as stderr says. Raises ValueError when
    nobody passed the gate, a subject of the gate's table is not of this data set or has no slice left, or a
    file is not what the job that is expected made of this subject.
    """
    job, makers = read_with_makers(params, "slice")
    if job["dataset"] != dataset.name:
        raise ValueError(
            f"{params}: expected the job of {dataset.name}, found that of {job['dataset']}: "
            "give its own, of .params"
        )
    judged = qc.with_name(PASSPORT)
    says = {"job": "gate", "dataset": dataset.name}
    verify.made_by(judged, verify.beside(judged, {"qc": qc}), says, makers.get("gate"))
    subjects = [subject_of(dataset, name) for name in gate.passing(qc)]
    places = [Place(dataset, subject, Path(), interim) for subject in subjects]
    if not places:
        raise ValueError(f"{qc}: expected subjects that passed the gate, found none: look at the table")
    nobodys = absent(dataset)
    masks = ("brain", *sorted({*masks_of(dataset), *nobodys} - {"brain"}))
    files = {place.subject.name: _files(place, masks) for place in places}
    for place in places:
        _verify(place, files[place.subject.name], makers)
    inputs = {f"{name}/{role}": path for name, own in files.items() for role, path in own.items()}
    proof = passport(inputs={"qc": qc} | inputs, job=job)
    settings, target = slab.Params.model_validate(job["params"]), atlas.load(**job["atlas"])
    chosen = slab.positions(target.brain, settings)
    images, planes, kept = [], [], []
    for who, own in files.items():
        shares = field_of_view.by_slice(volume.read_mask(own[FIELD]), target.brain)[chosen]
        kept.append(np.flatnonzero(shares >= settings.coverage_percent))
        _say_left_out(who, len(chosen), len(kept[-1]), settings.coverage_percent)
        levels = chosen[kept[-1]]
        images.append(slab.slab(volume.read(own["image"]), levels, settings))
        delineated = {
            name: slab.slab(volume.read_mask(own[name]), levels, settings) for name in masks if name in own
        }
        missing = {name: np.full_like(images[-1], 0 if name in nobodys else NOT_DELINEATED) for name in masks}
        planes.append(np.stack([delineated.get(name, missing[name]) for name in masks], axis=1))
    counts, sites = [len(one) for one in kept], [subject.site for subject in subjects]
    spacing = np.float32(target.t1.spacing_mm[[1, 0, 2]])
    content = Slices(
        images=np.concatenate(images)[:, None],
        masks=np.concatenate(planes).astype(np.uint8),
        mask_names=masks,
        subject=np.repeat(list(files), counts),
        slice=np.concatenate(kept).astype(np.int32),
        split=np.repeat([subject.split for subject in subjects], counts),
        modality=np.full(sum(counts), dataset.modality),
        site=np.repeat(sites, counts) if any(sites) else None,
        spacing_mm=np.tile(spacing, (sum(counts), 1)),
        dataset=dataset.name,
        task="lesions",
        classes=0,
    )
    slices_file.write(out, content, proof)


def _say_left_out(who: str, count: int, kept: int, least: float) -> None:
    if not kept:
        raise ValueError(
            f"{who}: expected slices with {least:g} % of the atlas' brain in the field of view, found none: "
            "exclude the subject in params.yaml, or lower `coverage_percent` of the slab"
        )
    if kept < count:
        reason = f"its images show less than {least:g} % of the atlas' brain there"
        print(f"{who}: {count - kept} of {count} slices left out: {reason}", file=sys.stderr)


def _files(place: Place, masks: tuple[str, ...]) -> dict[str, Path]:
    """The image, the brain, the field of view, and those other masks that this subject has."""
    others = {name: place.volume("register", name) for name in masks[1:] if name in place.subject.masks}
    image = place.volume("normalise", place.dataset.sliced)
    shown = {FIELD: place.volume("register", FIELD), "brain": place.volume("strip", "brain")}
    return {"image": image} | shown | others


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
    verify.made_of(place.step("strip"), stripped, {"field": registered["outputs"][volume_name(FIELD)]})
