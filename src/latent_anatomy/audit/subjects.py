"""Are the subjects behind slices those that passed the gate, and does it still judge them so?"""

import tempfile
from pathlib import Path

import h5py

from latent_anatomy.audit.links import Files, Found, State, listed
from latent_anatomy.imaging import gate
from latent_anatomy.pipeline.layout import Artefact
from latent_anatomy.pipeline.layout_of_volumes import QC
from latent_anatomy.provenance import unpacking
from latent_anatomy.provenance.sources import source_digest


def named(roles: dict[str, str]) -> set[str]:
    """The subjects of the roles "<subject>/<image or mask>"."""
    return {role.partition("/")[0] for role in roles if "/" in role}


def passed(inputs: dict[str, str], passport: dict) -> dict[str, str]:
    """Of the inputs that slices may have, those of the subjects that their passport names."""
    subjects = named(passport["inputs"])
    return {role: path for role, path in inputs.items() if role == QC or role.partition("/")[0] in subjects}


def subjects(files: Files, artefact: Artefact, passport: dict, make: str) -> Found:
    """Whether the slices and their passport have the subjects that passed, all and no others."""
    table = artefact.inputs[QC]
    if not files.here(table):
        return State.NOT_HERE, f"{table} not in this checkout, which tells who passed", make
    try:
        expected = set(gate.passing(files.root / table))
        with h5py.File(files.root / artefact.path, "r") as file:
            unpacking.check_hdf5(file, artefact.path)
            inside = set(file["subject"].asstr()[()].tolist())
    except (ValueError, LookupError) as error:
        return State.BROKEN, str(error), make
    for where, named_there in (("in the slices", inside), ("in their passport", named(passport["inputs"]))):
        faults = [f"no {listed(sorted(expected - named_there))}"] if expected - named_there else []
        faults += [f"also {listed(sorted(named_there - expected))}"] if named_there - expected else []
        if faults:
            said = f"expected the subjects that passed in {table}, found {' and '.join(faults)} {where}"
            return State.BROKEN, said, make
    return State.HOLDS, f"{len(expected)} subjects, those that passed in {table}", ""


def verdicts(files: Files, artefact: Artefact, passport: dict, make: str) -> Found:
    """Whether the subjects' numbers, judged again, give the same table."""
    if not files.here(artefact.outputs[QC]):
        return State.NOT_HERE, "no table to compare with", make
    job, table = passport["job"], files.root / artefact.outputs[QC]
    try:
        rows = gate.collect(files.root / path for path in artefact.inputs.values())
        again = gate.judge(rows, gate.Params.model_validate(job["params"]), job["excluded"])
        with tempfile.TemporaryDirectory() as folder:
            gate.write(Path(folder, "qc.csv"), again, rows)
            expected = Path(folder, "qc.csv").read_text(encoding="utf-8")
    except (ValueError, LookupError) as error:
        return State.UNPROVEN, f"it could not be judged again: {error}", make
    written = table.read_text(encoding="utf-8", errors="replace")
    if written == expected:
        return State.HOLDS, f"{len(again)} subjects, judged again by their numbers, it is the same table", ""
    differing = {line.partition(",")[0] for line in {*written.splitlines()} ^ {*expected.splitlines()}}
    if job.get("source") != _digest(job["modules"]):
        return State.UNPROVEN, f"another gate than this checkout's judged {listed(sorted(differing))}", make
    said = f"expected the verdicts that the numbers here give, found others on {listed(sorted(differing))}"
    return State.BROKEN, f"{said}: it was edited", make


def _digest(modules: list[str]) -> str | None:
    """The digest of modules as they are in this checkout; None where one of them has another name now."""
    try:
        return source_digest(*modules)
    except ValueError:
        return None
