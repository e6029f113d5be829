"""The imaging chain of a training on the images of one subject: the same jobs, on a data set of one."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data.dataset import RawFile, Subject
from latent_anatomy.imaging import atlas, field_of_view, gate, headers, slab, volume
from latent_anatomy.imaging.transform import Transform, resample
from latent_anatomy.imaging.volume import Volume
from latent_anatomy.jobs.imaging.step import Place
from latent_anatomy.pipeline.imaging_steps import OF_SUBJECT
from latent_anatomy.pipeline.volume_files import FIELD, NUMBERS, TO_ATLAS, volume_name
from latent_anatomy.prediction import dicom
from latent_anatomy.prediction.given import UNSTATED, Given
from latent_anatomy.prediction.nifti import write
from latent_anatomy.prediction.space import Grid, Slab
from latent_anatomy.provenance.files import sha256_file, write_json

DATASET = "given"


@dataclass(frozen=True)
class One:
    """A data set of volumes with one subject, as the steps ask for it."""

    files: tuple[RawFile, ...]
    subjects: tuple[Subject, ...]
    sliced: str
    guide: str
    prepared: bool
    modality: str
    name: str = DATASET
    phantom: bool = False
    may_have: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Prepared:
    """A subject as models see it, and the way back.

    images    (S, H, W) float32 in [0, 1]
    brain     (S, H, W) bool
    slab      where they lie
    to_atlas  from the world of the image that was given
    native    its grid
    inside    (X, Y, Z) bool, its brain there; of hearts, everything
    numbers   what the steps measured
    warnings  what was done otherwise than in training
    """

    images: NDArray[np.float32]
    brain: NDArray[np.bool_]
    slab: Slab
    to_atlas: Transform
    native: Grid
    inside: NDArray[np.bool_]
    numbers: dict[str, float]
    warnings: list[str]


def choose(given: Given, imaging: Mapping) -> tuple[dict[str, str], list[str]]:
    """Image of training -> which of the given ones it is, and what is other than in training.

    Without a guide the sliced image is its own. ValueError where that one is not among the given.
    """
    job = imaging["steps"]["register"]
    sliced, guide, warnings = job["sliced"], job["guide"], list(given.warnings)
    chosen = {sliced: sliced}
    if sliced not in given.images:
        if set(given.images) != {UNSTATED}:
            found = ", ".join(given.images)
            raise ValueError(f"expected {imaging['modality']} ({sliced}), found {found}: give such an image")
        chosen[sliced] = UNSTATED
        warnings.append(f"its modality is not stated: taken for {imaging['modality']}")
    if guide in given.images:
        chosen[guide] = guide
    elif guide != sliced:
        warnings.append(f"registered and stripped by {sliced}, as there is no {guide}: training had one")
    return chosen, warnings


def prepare(given: Given, imaging: Mapping, work: Path) -> Prepared:
    """Every step, below the empty folder `work`.

    ValueError, with the reason, for what is no head, has none of the slices, or is what the gate would have
    kept out of training.
    """
    chosen, warnings = choose(given, imaging)
    raw, interim, jobs = work / "raw", work / "interim", work / "jobs"
    images = {name: f"{given.name}/{volume_name(name)}" for name in chosen}
    for name, kind in chosen.items():
        bring(given, kind, raw / images[name])
    job = imaging["steps"]["register"]
    guide = job["guide"] if job["guide"] in images else job["sliced"]
    dataset = One(
        files=tuple(RawFile(file, None, "sha256", sha256_file(raw / file)) for file in images.values()),
        subjects=(Subject(given.name, images, {}, "test"),),
        sliced=job["sliced"],
        guide=guide,
        prepared=job["prepared"],
        modality=imaging["modality"],
    )
    place = Place(dataset, dataset.subjects[0], raw, interim)
    steps = [each for each in OF_SUBJECT if each in imaging["steps"]]
    if len(images) == 1 and "coregister" in steps:
        steps.remove("coregister")
    for step in steps:
        path = jobs / f"{step}.json"
        write_json(path, imaging["steps"][step] | {"dataset": DATASET, "guide": guide})
        import_module(f"latent_anatomy.jobs.imaging.{step}").run(path, place)
    numbers = gate.collect(place.step(step) / NUMBERS for step in steps)
    judge(numbers, imaging)
    return _cut(place, imaging, numbers[given.name], warnings)


def judge(numbers: gate.Rows, imaging: Mapping) -> None:
    """ValueError for a subject that would have failed in training whatever the others had."""
    [verdict] = gate.judge(numbers, gate.Params.model_validate(imaging["steps"]["gate"]["params"]))
    if not verdict.passed:
        raise ValueError(f"expected a head that passes the gate, found {verdict.reason}: look at the image")


def bring(given: Given, kind: str, path: Path) -> None:
    """The files of an image as one NIfTI file at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if given.kind == "dicom":
        values, affine = dicom.volume_of(given.images[kind])
        write(path, values, Grid(values.shape, affine))
    else:  # the content tells whether it is compressed, not the name
        path.write_bytes(given.images[kind][0].read_bytes())


def _cut(place: Place, imaging: Mapping, numbers: dict[str, float], warnings: list[str]) -> Prepared:
    """The slices, as `jobs.imaging.slab` takes them."""
    job = imaging["steps"]["slab"]
    settings, target = slab.Params.model_validate(job["params"]), atlas.load(**job["atlas"])
    levels = slab.positions(target.brain, settings)
    brain = volume.read_mask(place.volume("strip", "brain"))
    field = volume.read_mask(place.volume("register", FIELD))
    shares = field_of_view.by_slice(field, target.brain)[levels]
    kept = np.flatnonzero(shares >= settings.coverage_percent)
    if not len(kept):
        least = f"{settings.coverage_percent:g} % of the atlas' brain"
        raise ValueError(f"expected slices that show {least}, found none: its field of view is elsewhere")
    if len(kept) < len(levels):
        warnings.append(f"{len(levels) - len(kept)} of {len(levels)} slices are not shown and not modelled")
    image = volume.read(place.volume("normalise", place.dataset.sliced))
    raw = place.raw / place.subject.images[place.dataset.sliced]
    source = volume.parse(raw)
    native = Grid(source.shape[:3], headers.affine(raw, source))
    to_image = Transform.read(place.step("register") / TO_ATLAS)
    blank = Volume(np.zeros(native.shape, np.float32), native.affine)
    return Prepared(
        images=slab.slab(image, levels[kept], settings),
        brain=slab.slab(brain, levels[kept], settings) > 0.5,
        slab=Slab(Grid(target.t1.values.shape, target.t1.affine), levels, kept),
        to_atlas=to_image.inverse(),
        native=native,
        inside=resample(brain, blank, to_image.inverse(), "nearest").values > 0.5,
        numbers=numbers,
        warnings=warnings,
    )
