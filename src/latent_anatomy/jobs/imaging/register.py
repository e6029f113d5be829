"""Register a subject to the atlas, and bring its images and masks there with one interpolation."""

from pathlib import Path

import numpy as np

from latent_anatomy.data.slices import NOT_DELINEATED
from latent_anatomy.imaging import atlas, field_of_view, masks, pictures, registration, volume
from latent_anatomy.imaging.transform import Transform, resample
from latent_anatomy.imaging.volume import Volume
from latent_anatomy.jobs.imaging.made import made
from latent_anatomy.jobs.imaging.step import Place, finish
from latent_anatomy.jobs.job import read_with_makers
from latent_anatomy.pipeline.volume_files import (
    COVERAGE,
    FIELD,
    TO_ATLAS,
    registered_masks,
    transform_name,
    volume_name,
)
from latent_anatomy.provenance.files import hashes
from latent_anatomy.provenance.passport import passport
from latent_anatomy.provenance.verify import made_of


def run(params: Path, place: Place) -> None:
    """Write `to_atlas.txt`, from the atlas to the sliced image; on the atlas grid all images and masks, and
    where both the sliced and the guiding image show something, `field`, with its coverage slice by slice.

    A mask that other subjects have and this one has not is 255 everywhere, not delineated. Images that
    their publisher has registered (`prepared`) are only brought to the atlas grid.
    """
    (job, makers), out = read_with_makers(params, "register"), place.step("register")
    sliced, guide = job["sliced"], job["guide"]
    names = list(place.subject.images)
    images = place.raw_images() if job["prepared"] else {name: place.volume("bias", name) for name in names}
    others = [] if job["prepared"] else [name for name in names if name != sliced]
    transforms = {transform_name(name): place.step("coregister") / transform_name(name) for name in others}
    if not job["prepared"]:
        made(place, "bias", images.values(), makers)
    if others:
        moved = made(place, "coregister", transforms.values(), makers)
        made_of(place.step("coregister"), moved, hashes({name: images[name] for name in names}))
    drawn = place.raw_masks()
    proof = passport(inputs=images | drawn | transforms, job=job)
    target = atlas.load(**job["atlas"])
    loaded = {name: volume.read(path) for name, path in images.items()}
    raw = place.raw_images()[sliced] if drawn else None  # as it was when the masks were drawn on it
    delineated = {name: masks.read(path, name, raw) for name, path in drawn.items()}
    # Where points of the sliced image's world lie in the world of each image.
    from_sliced = {name: Transform.identity() for name in names}
    from_sliced |= {name: Transform.read(transforms[transform_name(name)]) for name in others}
    to_guide = Transform.identity()
    if not job["prepared"]:
        settings = registration.Params.model_validate(job["params"])
        to_guide = registration.register(target.t1, loaded[guide], settings, target.around)
    to_sliced = to_guide.compose(from_sliced[guide].inverse())
    to_sliced.write(out / TO_ATLAS)
    there = {
        name: resample(image, target.t1, to_sliced.compose(from_sliced[name]), "linear")
        for name, image in loaded.items()
    }
    for name, image in there.items():
        volume.write(out / volume_name(name), image)
    nothing = Volume(np.full_like(target.t1.values, NOT_DELINEATED), target.t1.affine)
    known = {name: resample(mask, target.t1, to_sliced, "nearest") for name, mask in delineated.items()}
    for name in registered_masks(place.dataset):
        volume.write(out / volume_name(name), known.get(name, nothing), "uint8")
    # A brain alone, as some publishers prepare it, is surrounded by 0 that it does not lack.
    fields = [
        field_of_view.seen(loaded[name], target.t1, to_sliced.compose(from_sliced[name]), not job["prepared"])
        for name in {sliced: None, guide: None}
    ]
    field = Volume(np.minimum(fields[0].values, fields[-1].values), target.t1.affine)
    volume.write(out / volume_name(FIELD), field, "uint8")
    field_of_view.write(out / COVERAGE, field, target.brain)
    start = resample(loaded[guide], target.t1, Transform.identity(), "linear")
    in_subject = (to_guide.matrix @ target.brain.affine)[:3, :3]
    numbers = {
        "similarity_before": registration.similarity(target.t1, start, target.around),
        "similarity_after": registration.similarity(target.t1, there[guide], target.around),
        "coverage_percent": field_of_view.coverage(field, target.brain),
        "affine_scale": to_guide.scale,
        "affine_stretch": to_guide.stretch,
        # The atlas' brain at the size that it has in the subject.
        "native_brain_ml": float(target.brain.values.sum() * abs(np.linalg.det(in_subject)) / 1000),
    }
    ill = None
    if "lesion" in known:
        numbers |= masks.numbers(known["lesion"], target.brain)
        ill = (there[sliced], known["lesion"])
    picture = pictures.checkerboard(there[guide], target.t1, target.brain, ill)
    finish(place, "register", proof, numbers, picture)
