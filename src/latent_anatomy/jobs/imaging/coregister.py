"""Register a subject's other images to the one that is sliced."""

from pathlib import Path

import numpy as np

from latent_anatomy.imaging import pictures, registration, volume
from latent_anatomy.imaging.transform import Transform, resample
from latent_anatomy.imaging.volume import Volume
from latent_anatomy.jobs.imaging.made import made
from latent_anatomy.jobs.imaging.step import Place, finish
from latent_anatomy.jobs.job import read_with_makers
from latent_anatomy.pipeline.volume_files import transform_name
from latent_anatomy.provenance.passport import passport


def run(params: Path, place: Place) -> None:
    """Write a transform (ITK text) for every other image: from the world of the sliced one to its own."""
    (job, makers), out = read_with_makers(params, "coregister"), place.step("coregister")
    images = {name: place.volume("bias", name) for name in place.subject.images}
    made(place, "bias", images.values(), makers)
    proof = passport(inputs=images, job=job)
    settings = registration.Params.model_validate(job["params"])
    fixed = volume.read(images.pop(job["sliced"]))
    head = Volume((fixed.values > fixed.values.mean()).astype(np.float32), fixed.affine)
    numbers, pictured = {}, []
    for name, path in images.items():
        moving = volume.read(path)
        transform = registration.register(fixed, moving, settings, head)
        transform.write(out / transform_name(name))
        before, after = (
            resample(moving, fixed, each, "linear") for each in (Transform.identity(), transform)
        )
        numbers[f"{name}/similarity_before"] = registration.similarity(fixed, before, head)
        numbers[f"{name}/similarity_after"] = registration.similarity(fixed, after, head)
        pictured.append(pictures.checkerboard(after, fixed, head))
    finish(place, "coregister", proof, numbers, pictured[0])
