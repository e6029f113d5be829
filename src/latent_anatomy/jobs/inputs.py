"""A job's inputs on the device: its slices and its network."""

from pathlib import Path

import torch
from torch import nn

from latent_anatomy import methods, slices
from latent_anatomy.methods.contract import Data, Shape


def choose_device(name: str) -> torch.device:
    """ "auto" is the GPU where there is one; a named device that is missing raises ValueError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"expected a GPU for --device {name}, found none: use --device cpu")
    torch.use_deterministic_algorithms(True, warn_only=name.startswith("cuda"))
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """The kind of device, for the passport: "cpu", or the model of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def read_splits(path: Path, dataset: str, device: torch.device) -> tuple[dict[str, Data], Shape, str]:
    """Splits by name, the shape of an image and the task of the data set, from a slices file.

    Raises ValueError when the file is of another data set.
    """
    content = slices.read(path)
    if content.dataset != dataset:
        raise ValueError(
            f"{path}: expected slices of {dataset}, found {content.dataset}: run the slice rule again"
        )
    splits = {}
    for name in dict.fromkeys(content.split.tolist()):
        chosen = content.split == name
        splits[name] = Data(
            torch.from_numpy(content.images[chosen]).to(device),
            None if content.labels is None else torch.from_numpy(content.labels[chosen]).to(device),
            None if content.masks is None else torch.from_numpy(content.masks[chosen]).to(device),
        )
    channels, height, width = content.images.shape[1:]
    return splits, Shape(channels, height, width, content.classes), content.task


def build(job: dict, shape: Shape, device: torch.device) -> nn.Module:
    """The job's method with its initial weights, which depend on the job's seed alone."""
    method = methods.load(job["method"]).Method
    torch.manual_seed(job["seed"])
    return method(method.Params.model_validate(job["params"]), shape).to(device)
