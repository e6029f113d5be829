"""The brain of a subject in atlas space."""

from pathlib import Path

import numpy as np

from latent_anatomy.imaging import atlas, pictures, stripping, volume
from latent_anatomy.imaging.volume import Volume
from latent_anatomy.jobs.imaging.made import made
from latent_anatomy.jobs.imaging.step import Place, finish
from latent_anatomy.jobs.job import read_with_makers
from latent_anatomy.pipeline.volume_files import FIELD, volume_name
from latent_anatomy.provenance.passport import passport


def run(params: Path, place: Place) -> None:
    """Write the mask `brain`, found in the guide image, where the subject's images show something.

    The publisher's mask is the brain where the parameters say so, else a reference to compare with. Of an
    image that its publisher has stripped, without a mask, everything above 0 is brain.
    """
    (job, makers), out = read_with_makers(params, "strip"), place.step("strip")
    inputs = {"image": place.volume("register", job["guide"]), "field": place.volume("register", FIELD)}
    if "brain" in place.subject.masks:
        inputs["brain"] = place.volume("register", "brain")
    made(place, "register", inputs.values(), makers)
    proof = passport(inputs=inputs, job=job)
    settings = stripping.Params.model_validate(job["params"])
    head = volume.read(inputs["image"])
    given = volume.read_mask(inputs["brain"]) if "brain" in inputs else None
    if job["prepared"] and given is None:
        given = Volume((head.values > 0).astype(np.float32), head.affine)
    brain, numbers = stripping.strip(head, atlas.load(**job["atlas"]), settings, given)
    field = volume.read_mask(inputs["field"])
    brain = Volume(brain.values * field.values, brain.affine)  # zeros beyond it are no healthy brain
    volume.write(out / volume_name("brain"), brain, "uint8")
    finish(place, "strip", proof, numbers, pictures.outline(head, brain, given))
