"""The way of volumes, from raw files to slices: what each step leaves for each subject, and of what.

What the jobs of `imaging` read and write, for the rules and the audit, in the words of `layout`. A step's
volumes, transforms, picture and numbers are the outputs of the passport beside them, under their own names.
"""

from collections.abc import Collection

from latent_anatomy.data.dataset import Subject, Volumes
from latent_anatomy.pipeline import imaging_steps, layout
from latent_anatomy.pipeline.layout import PASSPORT, Artefact
from latent_anatomy.pipeline.volume_files import (
    FIELD,
    NUMBERS,
    PICTURE,
    files_of,
    volume_name,
)

QC = "qc"  # role of the gate's table


def slices(source: Volumes, excluded: Collection[str]) -> Artefact:
    """The slices of those who passed. Its inputs are of all whom the gate judges: see `subjects.passed`."""
    judged = gate(source, excluded)
    inputs = {QC: judged.outputs[QC]}
    for subject in _taken(source, excluded):
        folder = _folder(source, subject)
        inputs[f"{subject.name}/image"] = f"{folder}/normalise/{volume_name(source.sliced)}"
        inputs[f"{subject.name}/{FIELD}"] = f"{folder}/register/{volume_name(FIELD)}"
        inputs[f"{subject.name}/brain"] = f"{folder}/strip/{volume_name('brain')}"
        for mask in sorted(subject.masks.keys() - {"brain"}):
            inputs[f"{subject.name}/{mask}"] = f"{folder}/register/{volume_name(mask)}"
    whole = layout.slices(source.name)
    return Artefact(whole.path, whole.job, whole.says, inputs, {}, (judged,))


def gate(source: Volumes, excluded: Collection[str]) -> Artefact:
    """The table of who passed, judged by the numbers of all subjects but those `excluded` by hand.

    Its inputs are None where the folder that would tell the subjects is not here.
    """
    of_subjects = steps(source, excluded)
    numbers = {
        f"{subject}/{step}": each.outputs[NUMBERS]
        for subject, chain in of_subjects.items()
        for step, each in chain.items()
    }
    return Artefact(
        f"results/imaging/{source.name}/{PASSPORT}",
        f"imaging/{source.name}/gate",
        {"job": "gate", "dataset": source.name},
        numbers if source.subjects else None,
        {QC: f"results/imaging/{source.name}/qc.csv"},
        tuple(chain["normalise"] for chain in of_subjects.values()) or (layout.raw(source.name),),
    )


def steps(source: Volumes, excluded: Collection[str]) -> dict[str, dict[str, Artefact]]:
    """Subject -> step -> its artefact, of all subjects but those `excluded` by hand."""
    below, names = layout.raw(source.name), imaging_steps.of_subject(source.name)
    files = {step: files_of(source, step) for step in names if source.subjects}
    return {subject.name: _chain(source, subject, files, below) for subject in _taken(source, excluded)}


def _taken(source: Volumes, excluded: Collection[str]) -> list[Subject]:
    return [subject for subject in source.subjects if subject.name not in excluded]


def _chain(
    source: Volumes, subject: Subject, files: dict[str, list[str]], below: Artefact
) -> dict[str, Artefact]:
    """Step -> its artefact, of one subject. `files` are those of each step, `below` are the raw files."""
    folder = _folder(source, subject)
    chain: dict[str, Artefact] = {}

    def add(step: str, inputs: dict[str, str], made_of: list[Artefact]) -> Artefact:
        outputs = {name: f"{folder}/{step}/{name}" for name in [*files[step], PICTURE, NUMBERS]}
        job, says = f"imaging/{source.name}/{step}", {"job": step, "dataset": source.name}
        chain[step] = Artefact(f"{folder}/{step}/{PASSPORT}", job, says, inputs, outputs, tuple(made_of))
        return chain[step]

    def of(step: str, name: str) -> str:
        return chain[step].outputs[volume_name(name)]

    images = {name: f"{below.path}/{file}" for name, file in subject.images.items()}
    masks = {name: f"{below.path}/{file}" for name, file in subject.masks.items()}
    transforms = {}
    if "bias" in files:
        corrected = add("bias", images, [below])
        images = {name: of("bias", name) for name in images}
        if "coregister" in files:
            moved = add("coregister", images, [corrected])
            transforms = {name: moved.outputs[name] for name in files["coregister"]}
    registered = add("register", images | masks | transforms, [*reversed(chain.values()), below])
    brain = {"brain": of("register", "brain")} if "brain" in subject.masks else {}
    shown = {"image": of("register", source.guide), "field": of("register", FIELD)}
    stripped = add("strip", shown | brain, [registered])
    pair = {"image": of("register", source.sliced), "brain": of("strip", "brain")}
    add("normalise", pair, [stripped, registered])
    return chain


def _folder(source: Volumes, subject: Subject) -> str:
    return f"data/interim/{source.name}/{subject.name}"
