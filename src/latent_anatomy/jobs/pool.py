"""The slices of several data sets as those of one."""

from collections.abc import Sequence
from pathlib import Path

from latent_anatomy.data import slices_file
from latent_anatomy.data.pool import pooled
from latent_anatomy.jobs.job import read_with_makers
from latent_anatomy.provenance.lock import making
from latent_anatomy.provenance.passport import passport
from latent_anatomy.provenance.verify import made_by, still, whole


@making("out")
def run(params: Path, slices: Sequence[Path], out: Path) -> None:
    """Write `out` from the `slices` of all members; ValueError when they are others, or differ in kind."""
    job, makers = read_with_makers(params, "slice")
    with still(slices):
        members = {content.dataset: content for content in map(slices_file.read, slices)}
        files = dict(zip(members, slices, strict=True))
        proof = passport(inputs=files, job=job)
        for name, path in files.items():
            made_by(path, whole(path), {"job": "slice", "dataset": name}, makers.get(name))
    if list(members) != job["members"]:
        expected, found = ", ".join(job["members"]), ", ".join(members)
        raise ValueError(f"{params}: expected the slices of {expected}, found those of {found}: give its own")
    slices_file.write(out, pooled(job["dataset"], members), proof)
