"""A job's inputs on the device: its slices and its network."""

from pathlib import Path

import torch
from torch import nn

from latent_anatomy import methods, slices
from latent_anatomy.methods.contract import Data, Shape
from latent_anatomy.slices import Slices


def choose_device(name: str) -> torch.device:
    """ "auto" is the GPU where there is one; a named device that is missing raises ValueError.

    Asks torch for deterministic algorithms, on a GPU as far as it has them.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"expected a GPU for --device {name}, found none: use --device cpu")
    torch.use_deterministic_algorithms(True, warn_only=name.startswith("cuda"))
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """The kind of device, for the passport: "cpu", or the GPU's model and libraries."""
    if device.type != "cuda":
        return device.type
    model = torch.cuda.get_device_name(device)
    return f"{model}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"


def read_slices(path: Path, dataset: str) -> Slices:
    """The slices of `dataset`; ValueError when the file is of another data set."""
    content = slices.read(path)
    if content.dataset != dataset:
        raise ValueError(
            f"{path}: expected slices of {dataset}, found {content.dataset}: run the slice rule again"
        )
    return content


def splits_on(device: torch.device, content: Slices) -> dict[str, Data]:
    """The splits by name, on the device."""
    splits = {}
    for name in dict.fromkeys(content.split.tolist()):
        columns = content.select(name)
        on_device = (
            None if values is None else torch.from_numpy(values).to(device)
            for values in (columns.images, columns.labels, columns.masks)
        )
        position = torch.from_numpy(columns.slice).to(device, torch.int64)
        splits[name] = Data(*on_device, columns.mask_names, tuple(columns.subject.tolist()), position)
    return splits


def shape_of(content: Slices) -> Shape:
    """The shape of an image, the number of classes and that of slice positions."""
    return Shape(*content.images.shape[1:], content.classes, int(content.slice.max()) + 1)


def build(job: dict, shape: Shape, device: torch.device) -> nn.Module:
    """The job's method with its initial weights, which depend on the job's seed alone."""
    method = methods.load(job["method"]).Method
    torch.manual_seed(job["seed"])
    return method(method.Params.model_validate(job["params"]), shape).to(device)
