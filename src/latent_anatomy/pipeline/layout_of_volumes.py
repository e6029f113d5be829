"""The way of volumes, from raw files to slices: what each step leaves for each subject, and of what.

What the jobs of `imaging` write, in the words of `layout`. A step's volumes, transforms, picture and numbers
are the outputs of the passport beside them, under their own names.
"""

from collections.abc import Collection

from latent_anatomy.data.dataset import Subject, Volumes
from latent_anatomy.pipeline import imaging_steps, layout
from latent_anatomy.pipeline.layout import PASSPORT, Artefact
from latent_anatomy.pipeline.volume_files import (
    NUMBERS,
    PICTURE,
    TO_ATLAS,
    masks_of,
    transform_name,
    volume_name,
)

QC = "qc"  # role of the gate's table


def slices(source: Volumes, judged: Artefact) -> Artefact:
    """The slices of those who passed. Its inputs are those of all subjects: see `cohorts.passed`."""
    inputs = {QC: judged.outputs[QC]}
    for subject in source.subjects:
        folder = _folder(source, subject)
        inputs[f"{subject.name}/image"] = f"{folder}/normalise/{volume_name(source.sliced)}"
        inputs[f"{subject.name}/brain"] = f"{folder}/strip/{volume_name('brain')}"
        for mask in sorted(subject.masks.keys() - {"brain"}):
            inputs[f"{subject.name}/{mask}"] = f"{folder}/register/{volume_name(mask)}"
    whole = layout.slices(source.name)
    return Artefact(whole.path, whole.job, whole.says, inputs, {}, (judged,))


def gate(source: Volumes, excluded: Collection[str]) -> Artefact:
    """The table of who passed, judged by the numbers of all subjects but those `excluded` by hand.

    Its inputs are None where the folder that would tell the subjects is not here.
    """
    below, masks, steps = layout.raw(source.name), masks_of(source), imaging_steps.steps(source.name)
    chains = {
        subject.name: _steps(source, subject, steps, masks, below)
        for subject in source.subjects
        if subject.name not in excluded
    }
    numbers = {
        f"{subject}/{step}": each.outputs[NUMBERS]
        for subject, chain in chains.items()
        for step, each in chain.items()
    }
    return Artefact(
        f"results/imaging/{source.name}/{PASSPORT}",
        f"imaging/{source.name}/gate",
        {"job": "gate", "dataset": source.name},
        numbers if source.subjects else None,
        {QC: f"results/imaging/{source.name}/qc.csv"},
        tuple(chain["normalise"] for chain in chains.values()) or (below,),
    )


def _steps(
    source: Volumes, subject: Subject, steps: Collection[str], masks: list[str], below: Artefact
) -> dict[str, Artefact]:
    """Step -> its artefact, of one subject. `masks` are those that any subject has, `below` the raw files."""
    folder, names = _folder(source, subject), list(subject.images)
    found: dict[str, Artefact] = {}

    def add(step: str, inputs: dict[str, str], files: list[str], made_of: list[Artefact]) -> Artefact:
        outputs = {name: f"{folder}/{step}/{name}" for name in [*files, PICTURE, NUMBERS]}
        job, says = f"imaging/{source.name}/{step}", {"job": step, "dataset": source.name}
        found[step] = Artefact(f"{folder}/{step}/{PASSPORT}", job, says, inputs, outputs, tuple(made_of))
        return found[step]

    def of(step: str, name: str) -> str:
        return found[step].outputs[volume_name(name)]

    images = {name: f"{below.path}/{file}" for name, file in subject.images.items()}
    drawn = {name: f"{below.path}/{file}" for name, file in subject.masks.items()}
    transforms = {}
    if "bias" in steps:
        corrected = add("bias", images, [volume_name(name) for name in names], [below])
        images = {name: of("bias", name) for name in names}
        if "coregister" in steps:
            files = [transform_name(name) for name in names if name != source.sliced]
            moved = add("coregister", images, files, [corrected])
            transforms = {name: moved.outputs[name] for name in files}
    files = [TO_ATLAS, *map(volume_name, [*names, *masks])]
    registered = add("register", images | drawn | transforms, files, [*reversed(found.values()), below])
    brain = {"brain": of("register", "brain")} if "brain" in subject.masks else {}
    head = {"image": of("register", source.guide)}
    stripped = add("strip", head | brain, [volume_name("brain")], [registered])
    pair = {"image": of("register", source.sliced), "brain": of("strip", "brain")}
    add("normalise", pair, [volume_name(source.sliced)], [stripped, registered])
    return found


def _folder(source: Volumes, subject: Subject) -> str:
    return f"data/interim/{source.name}/{subject.name}"
