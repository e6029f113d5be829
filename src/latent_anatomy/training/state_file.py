"""The file that a killed training goes on from: it proves its own bytes, and says where it may be used.

First a line of JSON, with the environment that the state was made in and the SHA-256 of this environment and
of all bytes after the line, then what torch saves. A flipped bit would otherwise become another model, in
perfect order; and the other half of a training on another device, or with other sums, would give a model that
neither of the two can make again.
"""

import hashlib
import io
import json
import pickle
from pathlib import Path

import torch

from latent_anatomy.provenance.files import atomic_write, canonical_json
from latent_anatomy.training.environment import environment

ANEW = "delete it, and training starts anew"


def write(path: Path, content: dict, device: torch.device) -> None:
    """Write the state atomically. `content`: anything that torch loads with `weights_only`."""
    stream = io.BytesIO()
    torch.save(content, stream)
    state, made_in = stream.getbuffer(), environment(device)
    head = json.dumps({"environment": made_in, "sha256": _sha256(made_in, state)}).encode() + b"\n"
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(head)
        file.write(state)


def read(path: Path, device: torch.device) -> dict:
    """The state, on the device. ValueError when it is damaged or was made in another environment."""
    head, _, state = path.read_bytes().partition(b"\n")
    try:
        said = json.loads(head)
        made_in, expected = said["environment"], said["sha256"]
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{path}: expected the state of a training, found a damaged file ({error}): {ANEW}"
        ) from error
    if (found := _sha256(made_in, state)) != expected:
        raise ValueError(
            f"{path}: expected sha256 {expected}, which it says of itself, found {found}: damaged: {ANEW}"
        )
    here = environment(device)
    if other := [name for name in here if made_in.get(name) != here[name]]:
        there = ", ".join(f"{name} {made_in.get(name)}" for name in other)
        raise ValueError(
            f"{path}: expected to go on with {there}, as it was begun, found "
            f"{', '.join(f'{name} {here[name]}' for name in other)}: go on there, or {ANEW}"
        )
    try:
        return torch.load(io.BytesIO(state), map_location=device, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path}: expected what torch saves, found a damaged file: {ANEW}") from error


def _sha256(made_in: dict, state: bytes | memoryview) -> str:
    summary = hashlib.sha256(canonical_json(made_in).encode())
    summary.update(state)
    return summary.hexdigest()
