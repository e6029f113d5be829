"""Are the files of an earlier step what that step made, of this subject, with what is asked of it now?"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from latent_anatomy.jobs.imaging.step import Place
from latent_anatomy.pipeline.volume_files import PASSPORT
from latent_anatomy.provenance import verify


def made(place: Place, step: str, files: Iterable[Path], makers: Mapping[str, str]) -> dict:
    """The passport of a `step` of the subject, after these `files` of it were verified; see `made_in`."""
    return made_in(place.step(step), place.dataset.name, place.subject.name, step, files, makers)


def made_in(
    folder: Path, dataset: str, subject: str, step: str, files: Iterable[Path], makers: Mapping[str, str]
) -> dict:
    """The passport in the `folder` of a step, after it was found to be this subject's, and to prove the
    `files`.

    `makers`: step -> digest of its job. ValueError as in `provenance.verify`, and for another subject's
    files.
    """
    path = folder / PASSPORT
    passport = verify.beside(path, {file.name: file for file in files})
    verify.made_by(path, passport, {"job": step, "dataset": dataset}, makers.get(step))
    if passport.get("subject") != subject:
        raise ValueError(
            f"{path}: expected the files of {subject}, found those of {passport.get('subject')}: "
            f"{verify.AGAIN}"
        )
    return passport
