"""The slices of several data sets as those of one."""

from collections.abc import Sequence
from pathlib import Path

from latent_anatomy.data import slices_file
from latent_anatomy.data.pool import pooled
from latent_anatomy.jobs.job import read_job
from latent_anatomy.provenance.passport import passport


def run(params: Path, slices: Sequence[Path], out: Path) -> None:
    """Write `out` from the `slices` of all members; ValueError when they are others, or differ in kind."""
    job = read_job(params, "slice")
    members = {content.dataset: content for content in map(slices_file.read, slices)}
    if list(members) != job["members"]:
        expected, found = ", ".join(job["members"]), ", ".join(members)
        raise ValueError(f"{params}: expected the slices of {expected}, found those of {found}: give its own")
    proof = passport(inputs=dict(zip(members, slices, strict=True)), job=job)
    slices_file.write(out, pooled(job["dataset"], members), proof)
