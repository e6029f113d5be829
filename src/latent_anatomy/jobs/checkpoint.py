"""Checkpoints read back: a method's own, that of the run that it stands on, and the weights of others."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from latent_anatomy.data.download import registered
from latent_anatomy.provenance.formats import content_of, read_passport


def load_base(method: nn.Module, job: dict, path: Path | None) -> None:
    """Load into `method.on` the checkpoint of the run that the training `job` stands on, if it stands on one.

    ValueError when a checkpoint is missing or of no use, is damaged, or is not the one that the job names.
    """
    if (path is None) != ("on" not in job):
        raise ValueError(f"{job['run']}: expected --on exactly for a run that stands on another's checkpoint")
    if path is None:
        return
    made, expected = read_passport(path)["job"], job["on"]
    if made != expected:
        key = next(key for key in sorted(made.keys() | expected.keys()) if made.get(key) != expected.get(key))
        raise ValueError(
            f"{path}: expected {expected['run']} as {job['run']} stands on it, found another "
            f"{key}: train {expected['run']} again"
        )
    load_checkpoint(method.on, path)


def given_weights(job: dict, raw: Path) -> dict[str, Path]:
    """<download>/<file> -> path of what a training `job` is given of others, with the registered checksums.

    FileNotFoundError for a file that is not below `raw`, ValueError for other bytes.
    """
    paths = {}
    for file in registered(job.get("weights", {})):
        paths[file.name] = path = raw / file.name
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: expected weights that {job['run']} is given, found none: fetch them"
            )
        file.verify(path)
    return paths


def load_checkpoint(method: nn.Module, path: Path) -> None:
    """Load weights in place; ValueError when the file is damaged, edited or of another architecture."""
    if read_passport(path).get("content") not in (None, content_of(path)):
        raise ValueError(
            f"{path}: expected the weights that its passport names, found others: it was damaged or edited: "
            "train again"
        )
    try:
        with safe_open(path, framework="pt") as stream:
            weights = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path}: expected a safetensors file, found a damaged one ({error}): train again"
        ) from error
    expected = {name: tuple(tensor.shape) for name, tensor in method.state_dict().items()}
    held = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if expected != held:
        differing = sorted(
            name for name in expected.keys() | held.keys() if expected.get(name) != held.get(name)
        )
        first = differing[0]
        raise ValueError(
            f"{path}: expected the weights of this architecture, found {len(differing)} tensors that differ, "
            f"such as {first} (expected {expected.get(first)}, found {held.get(first)}): train again"
        )
    with torch.no_grad():
        method.load_state_dict(weights)
