"""What tests say of where an artefact comes from, as its job would."""

import json
from pathlib import Path

from latent_anatomy.provenance.files import sha256_file, write_json
from latent_anatomy.provenance.passport import sealed


def sliced(dataset: str) -> dict:
    """A passport of slices of a data set, not yet sealed."""
    return {"inputs": {}, "job": {"job": "slice", "dataset": dataset}}


def named(path: Path) -> Path:
    """A file, after the passport of its job, beside it, was written anew so that it names the file too."""
    beside = path.with_name("passport.json")
    proof = json.loads(beside.read_text(encoding="utf-8"))
    outputs = proof.get("outputs", {}) | {path.stem: sha256_file(path)}
    write_json(beside, sealed({key: proof[key] for key in ("inputs", "job")}, outputs=outputs))
    return path
