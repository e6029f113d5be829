"""Correct the bias field of a subject's images."""

from pathlib import Path

from latent_anatomy.imaging import bias, pictures, volume
from latent_anatomy.jobs.imaging.step import Place, finish
from latent_anatomy.jobs.job import read_job
from latent_anatomy.pipeline.volume_files import volume_name
from latent_anatomy.provenance.passport import passport


def run(params: Path, place: Place) -> None:
    """Write every image, on its own grid. Raises ValueError, with the reason, for what is no head."""
    job, out = read_job(params, "bias"), place.step("bias")
    images = place.raw_images()
    proof = passport(inputs=images, job=job)
    settings = bias.Params.model_validate(job["params"])
    numbers, pairs = {}, []
    for name, path in images.items():
        raw = volume.read(path)
        corrected, measured = bias.correct(raw, settings)
        volume.write(out / volume_name(name), corrected)
        numbers |= {f"{name}/{key}": value for key, value in measured.items()}
        numbers[f"{name}/replaced"] = raw.replaced
        pairs.append((raw, corrected))
    picture = pictures.before_after(*pairs[list(images).index(job["sliced"])])
    finish(place, "bias", proof, numbers, picture)
