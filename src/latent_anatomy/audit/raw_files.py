"""Are raw files those that were published, registered or, for a phantom, drawn?"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from latent_anatomy.audit.expected import Jobs
from latent_anatomy.audit.links import Files, Link, State, several
from latent_anatomy.data.dataset import Dataset, unregistered
from latent_anatomy.data.download import Download, registered
from latent_anatomy.data.supplied import SUMS
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline.layout import Artefact
from latent_anatomy.provenance.files import sha256_file

SHORT = 12  # digits of a hash in a message
# Who says what a raw file is: publishers give MD5 sums; SHA-256 sums are taken from files that were had once.
LISTS = {"md5": "its publisher", "sha256": "this project's list"}
USERS = f"the user's {SUMS}"


def check(files: Files, jobs: Jobs, artefact: Artefact) -> list[Link]:
    """Whether the raw files have the checksums that were registered or, for a phantom, are what this
    project draws."""
    dataset = _source(artefact)
    if not dataset.files:  # where only the folder could tell them
        said = f"expected the folder of {dataset.name}, found none"
        return [Link(artefact.path, "file", State.BROKEN, said, dataset.how_to_get)]
    absent = [path for path in artefact.outputs.values() if not files.here(path)]
    if absent:
        bring = jobs.bring(artefact)
        return [Link(path, "file", State.BROKEN, "expected this file, found none", bring) for path in absent]
    if dataset.phantom:
        return list(_drawn(files, jobs, artefact))
    users = any(file.name == SUMS for file in dataset.files)
    broken, lists = [], set()
    for file in dataset.files:
        path = artefact.outputs[file.name]
        try:
            if untrusted := unregistered(dataset, file):
                raise untrusted
            if file.algorithm != "sha256" or files.sha256(path) != file.checksum:
                file.verify(files.root / path)
            lists.add(f"{file.algorithm} of {USERS if users else LISTS[file.algorithm]}")
        except ValueError as error:
            broken.append(Link(path, "checksum", State.BROKEN, str(error)))
    said = f"{several(artefact.outputs)}: {', '.join(sorted(lists))}"
    return broken or [Link(artefact.path, "checksum", State.HOLDS, said)]


def _drawn(files: Files, jobs: Jobs, artefact: Artefact) -> Iterator[Link]:
    dataset = datasets.find(artefact.job.removeprefix("raw/"))
    with tempfile.TemporaryDirectory() as folder:
        dataset.generate(Path(folder))
        drawn = {file.name: sha256_file(Path(folder, file.name)) for file in dataset.files}
    changed = [name for name, path in artefact.outputs.items() if files.sha256(path) != drawn[name]]
    for name in changed:
        path = artefact.outputs[name]
        said = (
            f"expected the phantom that this checkout draws, sha256 {drawn[name][:SHORT]}, found "
            f"{files.sha256(path)[:SHORT]}: it was changed, or the drawing was"
        )
        yield Link(path, "drawing", State.BROKEN, said, jobs.make(artefact))
    if not changed:
        said = f"{several(artefact.outputs)}: a phantom, drawn by this project: drawn again, the same bytes"
        yield Link(artefact.path, "drawing", State.HOLDS, said)


def _source(artefact: Artefact) -> Dataset | Download:
    """The data set of raw files; or weights, as the training names them that was given them."""
    name, weights = artefact.job.removeprefix("raw/"), artefact.says.get("checksums")
    return datasets.find(name) if weights is None else Download(name, tuple(registered(weights)), "", "")
