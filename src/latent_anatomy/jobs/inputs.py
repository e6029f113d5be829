"""A job's inputs on the device: its slices and its network."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from latent_anatomy.data import slices_file
from latent_anatomy.data.cohorts import dataset_of
from latent_anatomy.data.slices import Slices
from latent_anatomy.methods import registry as methods
from latent_anatomy.provenance import verify
from latent_anatomy.training.method import Data, Shape, frozen


def choose_device(name: str) -> torch.device:
    """ "auto" is the GPU where there is one; a named device that is missing raises ValueError.

    Asks torch for deterministic algorithms, on a GPU as far as it has them.
    """
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", name) is None:
        raise ValueError(f"--device: expected auto, cpu, cuda or cuda:<n>, found {name!r}: name one of these")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"expected a GPU for --device {name}, found none: use --device cpu")
    if name.startswith("cuda:") and int(name[5:]) >= torch.cuda.device_count():
        there = f"a GPU below {torch.cuda.device_count()}, as they are counted here"
        raise ValueError(f"--device: expected {there}, found {name!r}: name one of these")
    # As use_deterministic_algorithms, which imports torch's compiler too: two seconds of every evaluation.
    torch.set_deterministic_debug_mode("warn" if name.startswith("cuda") else "error")
    return torch.device(name)


def read_slices(path: Path, name: str, cohort: dict | None = None, maker: str | None = None) -> Slices:
    """The slices of the data set `name`, or of those whom a `cohort` of it names, split as it says.

    `maker`: digest of the job that makes them, see `provenance.verify`. ValueError when the file is of
    another data set, was changed, was made by another job, or a subject of the cohort is not in it.
    """
    content = slices_file.read(path)
    if content.dataset != dataset_of(name):
        raise ValueError(
            f"{path}: expected slices of {dataset_of(name)}, found {content.dataset}: "
            "run the slice rule again"
        )
    says = {"job": "slice", "dataset": content.dataset}
    verify.made_by(path, verify.whole(path), says, maker)
    if cohort is None:
        return content
    split = {subject: split for split in ("train", "val", "test") for subject in cohort[split]}
    missing = sorted(set(split) - set(content.subject.tolist()))
    if missing:
        raise ValueError(
            f"{path}: expected the subjects of {name}, found none called {', '.join(missing[:3])}: "
            "run the slice rule again"
        )
    return content.resplit(split)


def splits_on(
    device: torch.device, content: Slices, labelled: Sequence[str] | None = None
) -> dict[str, Data]:
    """The splits by name, on the device; in training, only the subjects `labelled` are (None: all)."""
    splits = {}
    for name in dict.fromkeys(content.split.tolist()):
        part = content.select(name)
        known = np.isin(part.subject, labelled) if labelled is not None and name == "train" else None
        columns = {key: _held(values, device) for key, values in part.columns().items() if key != "split"}
        splits[name] = Data(
            stored=columns.pop("images"),
            position=columns.pop("slice").long(),
            labelled=None if known is None else _held(known, device),
            mask_names=part.mask_names,
            box_names=part.box_names,
            covariate_names=part.covariate_names,
            **columns,
        )
    return splits


def _held(values: np.ndarray, device: torch.device) -> torch.Tensor | tuple[str, ...]:
    """A column of slices as a method sees it: numbers on the device, text as it is."""
    if values.dtype.kind == "U":
        return tuple(values.tolist())
    return torch.from_numpy(values).to(device)


def shape_of(content: Slices) -> Shape:
    """The shape of an image, the number of classes and that of slice positions, and the mask planes."""
    positions = int(content.slice.max()) + 1
    return Shape(*content.images.shape[1:], content.classes, positions, content.mask_names)


def build(job: dict, shape: Shape, device: torch.device) -> nn.Module:
    """The job's method with its initial weights, which depend on the job's seed alone.

    A method that stands on another run has that run's, frozen, as `on`, with initial weights too.
    """
    method = methods.load(job["method"]).Method
    on = {"on": frozen(build(job["on"], shape, torch.device("cpu")))} if "on" in job else {}
    torch.manual_seed(job["seed"])
    built = method(method.Params.model_validate(job["params"]), shape, **on).to(device)
    if on and getattr(built, "on", None) is not on["on"]:
        raise ValueError(f"methods/{job['method']}.py: expected it to keep `on` as self.on, found another")
    return built
