"""Turn a data set's raw files into the one HDF5 schema."""

from pathlib import Path

from latent_anatomy.data import slices_file
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.jobs.job import read_job
from latent_anatomy.provenance.lock import making
from latent_anatomy.provenance.passport import passport


@making("out")
def run(dataset: str, raw: Path, params: Path, out: Path) -> None:
    """Write `out`; its passport holds the hash of every raw file. Raises ValueError for bad input."""
    job = read_job(params, "slice")
    source = datasets.find(dataset)
    if job["dataset"] != dataset:
        raise ValueError(
            f"{params}: expected the job of {dataset}, found that of {job['dataset']}: "
            "give its own, of .params"
        )
    if datasets.of_volumes(source):
        raise ValueError(f"{dataset}: expected a data set of images, found volumes: run the steps of `image`")
    proof = passport(inputs={file.name: raw / file.name for file in source.files}, job=job)
    slices_file.write(out, source.to_slices(raw), proof)
