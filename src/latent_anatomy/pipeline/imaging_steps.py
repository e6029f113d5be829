"""From the `imaging` of params.yaml to the jobs that turn the volumes of a data set into slices.

Each step is a job per subject, and its file below `.params/imaging/<dataset>/` is the same for all of them:
it names no subject, so that a new one is prepared without doing the others again.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.imaging import bias, gate, normalisation, registration, slab, stripping
from latent_anatomy.pipeline.params import Imaging, ParamsError, typed

# Step -> the typed parameters of its work; the last makes the slices.
STEPS = {
    "bias": bias.Params,
    "coregister": registration.Params,
    "register": registration.Params,
    "strip": stripping.Params,
    "normalise": normalisation.Params,
    "gate": gate.Params,
    "slab": slab.Params,
}
OF_SUBJECT = ("bias", "coregister", "register", "strip", "normalise")  # the others take all subjects at once
PREPARED = ("register", "strip", "normalise", "gate", "slab")


class Atlas(BaseModel):
    """The space that subjects are brought to; see `imaging.atlas.load`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["mni152", "sri24"] = "mni152"
    spacing_mm: float = Field(1.0, gt=0, description="Of the grid that images are resampled to.")


BLOCKS = {"atlas": Atlas, **STEPS}
IN_ATLAS_SPACE = ("register", "strip", "slab")


def steps(dataset: str) -> tuple[str, ...]:
    """The steps that a data set of volumes goes through, in their order."""
    source = datasets.find(dataset)
    if source.prepared:
        return PREPARED
    several = source.guide != source.sliced
    return tuple(step for step in STEPS if several or step != "coregister")


def of_subject(dataset: str) -> tuple[str, ...]:
    """Those of the steps that each subject goes through by itself."""
    return tuple(step for step in steps(dataset) if step in OF_SUBJECT)


def jobs(imaging: Imaging, dataset: str) -> dict[str, dict]:
    """Step -> its job for `dataset`; ParamsError names the key of a parameter that a step does not have."""
    own = imaging.datasets[dataset].steps if dataset in imaging.datasets else {}
    blocks = {}
    for name, model in BLOCKS.items():
        block = imaging.steps.get(name, {})
        blocks[name] = typed(model, block, f"imaging.steps.{name}")
        if name in own:
            blocks[name] = typed(model, block | own[name], f"imaging.datasets.{dataset}.steps.{name}")
    for where, chosen in (("imaging", imaging.steps), (f"imaging.datasets.{dataset}", own)):
        unknown = sorted(chosen.keys() - BLOCKS.keys())
        if unknown:
            raise ParamsError(
                f"params.yaml: {where}.steps: expected steps among {', '.join(BLOCKS)}, "
                f"found {unknown[0]!r}: correct it"
            )
    source = datasets.find(dataset)
    images = {"sliced": source.sliced, "guide": source.guide, "prepared": source.prepared}
    by_step = {}
    for step in steps(dataset):
        job = {"job": "slice" if step == "slab" else step, "dataset": dataset, "params": blocks[step]}
        if step in OF_SUBJECT:
            job |= images
        if step in IN_ATLAS_SPACE:
            job |= {"atlas": blocks["atlas"]}
        if step == "strip" and source.prepared:
            job["params"] = {**job["params"], "kind": "given"}
        if step == "gate":
            job |= {"excluded": excluded(imaging, dataset)}
        by_step[step] = job
    return by_step


def excluded(imaging: Imaging, dataset: str) -> dict[str, str]:
    """Subjects that params.yaml leaves out, with the reason; ParamsError for one that is not there."""
    reasons = imaging.datasets[dataset].excluded if dataset in imaging.datasets else {}
    names = {subject.name for subject in datasets.find(dataset).subjects}
    unknown = sorted(reasons.keys() - names)
    if names and unknown:  # a user's folder that is not here has no names to compare with
        raise ParamsError(
            f"params.yaml: imaging.datasets.{dataset}.excluded: expected subjects of {dataset}, "
            f"found {unknown[0]!r}: correct it"
        )
    return reasons
