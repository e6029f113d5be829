"""Judge the subjects of a data set by the numbers of their steps."""

from pathlib import Path

from latent_anatomy.imaging import gate
from latent_anatomy.jobs.imaging.made import made_in
from latent_anatomy.jobs.job import read_with_makers
from latent_anatomy.pipeline.volume_files import NUMBERS
from latent_anatomy.provenance.files import hashes, write_json
from latent_anatomy.provenance.lock import making
from latent_anatomy.provenance.passport import passport as proof_of
from latent_anatomy.provenance.passport import sealed


@making("passport", "out")
def run(
    params: Path, interim: Path, subjects: list[str], steps: list[str], out: Path, passport: Path
) -> None:
    """Write the table `out` (CSV): who passed, who did not, and why; and its passport."""
    job, makers = read_with_makers(params, "gate")
    files = {
        f"{subject}/{step}": interim / subject / step / NUMBERS for subject in subjects for step in steps
    }
    for subject in subjects:
        for step in steps:
            folder = interim / subject / step
            made_in(folder, job["dataset"], subject, step, [folder / NUMBERS], makers)
    proof = proof_of(inputs=files, job=job)
    rows = gate.collect(files.values())
    gate.write(out, gate.judge(rows, gate.Params.model_validate(job["params"]), job["excluded"]), rows)
    write_json(passport, sealed(proof, outputs=hashes({"qc": out})))
