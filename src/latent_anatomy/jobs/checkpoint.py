"""Checkpoints read back: a method's own, that of the run that it stands on, and the weights of others."""

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from latent_anatomy.data.download import registered
from latent_anatomy.provenance import verify

OPTIONAL = ("fold", "cohort", "on", "weights")  # keys that not every training has
OF_EVALUATION = ("evaluation_weights", "test_subjects")  # that not every evaluation has


def load_base(method: nn.Module, job: dict, path: Path | None, slices: str) -> None:
    """Load into `method.on` the checkpoint of the run that the training `job` stands on, if it stands on one.

    ValueError when a checkpoint is missing or of no use, is damaged, is not the one that the job names, or
    was trained on other slices than those with the SHA-256 `slices`.
    """
    if (path is None) != ("on" not in job):
        found, remedy = ("none", "give it") if path is None else (path, "leave it out")
        expected = "--on exactly for a run that stands on another's checkpoint"
        raise ValueError(f"{job['run']}: expected {expected}, found {found}: {remedy}")
    if path is None:
        return
    passport, expected = verify.whole(path), job["on"]
    made = passport["job"]
    if made != expected:
        key = next(key for key in sorted(made.keys() | expected.keys()) if made.get(key) != expected.get(key))
        raise ValueError(
            f"{path}: expected {expected['run']} as {job['run']} stands on it, found another "
            f"{key}: train {expected['run']} again"
        )
    verify.made_of(path, passport, {"slices": slices})
    load_checkpoint(method.on, path)


def verify_trained(path: Path, job: dict, maker: str | None, slices: str) -> None:
    """Raise ValueError unless `path` is the checkpoint that the evaluation `job` is about.

    Trained by the job with the digest `maker`, for just this run, data set, seed, fold and parameters, on the
    slices with the SHA-256 `slices`; neither damaged nor edited since.
    """
    own = ("job", "dataset", "trained_on", "evaluation", *OF_EVALUATION, "modules", "source")
    says = {key: value for key, value in job.items() if key not in own}
    says |= {"job": "train", "dataset": job.get("trained_on", job["dataset"])}
    says |= {key: None for key in OPTIONAL if key not in says}
    passport = verify.whole(path)
    verify.made_by(path, passport, says, maker)
    verify.made_of(path, passport, {"slices": slices})


def given_weights(job: dict, raw: Path, key: str = "weights") -> dict[str, Path]:
    """<download>/<file> -> path of what a job is given of others, of which it has the checksums under `key`.

    FileNotFoundError for a file that is not below `raw`, ValueError for other bytes.
    """
    paths = {}
    for file in registered(job.get(key, {})):
        paths[file.name] = path = raw / file.name
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: expected weights that {job['run']} is given, found none: fetch them"
            )
        file.verify(path)
    return paths


def load_checkpoint(method: nn.Module, path: Path) -> None:
    """Load verified weights in place; ValueError for damaged ones, NaN, or another architecture."""
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
    verify.finite(path, all_finite(weights))
    with torch.no_grad():
        method.load_state_dict(weights)


def all_finite(weights: dict[str, Tensor]) -> Iterator[tuple[str, bool]]:
    """Name of each tensor, and whether it has neither NaN nor infinities."""
    return ((name, bool(tensor.isfinite().all())) for name, tensor in weights.items())
