"""Denoise a subject's sliced image, strip it and scale it to [0, 1]."""

from pathlib import Path

from latent_anatomy.imaging import normalisation, pictures, volume
from latent_anatomy.jobs.imaging.made import made
from latent_anatomy.jobs.imaging.step import Place, finish
from latent_anatomy.jobs.job import read_with_makers
from latent_anatomy.pipeline.volume_files import volume_name
from latent_anatomy.provenance.passport import passport
from latent_anatomy.provenance.verify import made_of


def run(params: Path, place: Place) -> None:
    """Write the sliced image, in atlas space, on the scale on which models see it."""
    (job, makers), out = read_with_makers(params, "normalise"), place.step("normalise")
    inputs = {"image": place.volume("register", job["sliced"]), "brain": place.volume("strip", "brain")}
    registered = made(place, "register", [inputs["image"]], makers)
    stripped = made(place, "strip", [inputs["brain"]], makers)
    guide = volume_name(job["guide"])
    made_of(place.step("strip"), stripped, {"image": registered["outputs"][guide]})
    proof = passport(inputs=inputs, job=job)
    settings = normalisation.Params.model_validate(job["params"])
    head, brain = volume.read(inputs["image"]), volume.read_mask(inputs["brain"])
    normalised, numbers = normalisation.normalise(head, brain, settings)
    volume.write(out / volume_name(job["sliced"]), normalised)
    picture = pictures.before_after(head, normalised)
    finish(place, "normalise", proof, numbers, picture)
