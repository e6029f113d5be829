"""What a killed training goes on from: whole, of this environment, or refused."""

import re

import numpy as np
import pytest
import torch

from latent_anatomy.training import state_file

CPU = torch.device("cpu")
ANEW = "delete it, and training starts anew"


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "state.pt"
    state_file.write(path, {"weight": torch.arange(64.0), "step": 3}, CPU)
    return path


def test_what_is_written_is_read(saved):
    content = state_file.read(saved, CPU)
    assert content["step"] == 3 and torch.equal(content["weight"], torch.arange(64.0))
    again = saved.with_name("again.pt")
    state_file.write(again, content, CPU)
    assert again.read_bytes() == saved.read_bytes()


def test_no_flipped_bit_and_no_missing_byte_is_taken(saved):
    whole = saved.read_bytes()
    line = whole.index(b"\n")
    for place in [*range(0, line + 1, 7), *np.random.default_rng(0).integers(line, len(whole), 200).tolist()]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        saved.write_bytes(damaged)
        with pytest.raises(ValueError, match=ANEW):
            state_file.read(saved, CPU)
    for keep in (0, 1, line, line + 1, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:keep])
        with pytest.raises(ValueError, match=ANEW):
            state_file.read(saved, CPU)


@pytest.mark.parametrize(
    ("name", "value"), [("torch", "1.0"), ("device", "A GPU"), ("threads", 7), ("processor", "another")]
)
def test_another_environment_is_refused_with_what_to_do(saved, monkeypatch, name, value):
    here = state_file.environment(CPU)
    monkeypatch.setattr(state_file, "environment", lambda device: here | {name: value})
    with pytest.raises(
        ValueError, match=re.escape(f"with {name} {here[name]}, as it was begun, found {name} {value}: go on")
    ):
        state_file.read(saved, CPU)


def test_the_environment_in_the_file_cannot_be_edited(saved):
    here = state_file.environment(CPU)
    saved.write_bytes(
        saved.read_bytes().replace(f'"threads": {here["threads"]}'.encode(), b'"threads": 7', 1)
    )
    with pytest.raises(ValueError, match="damaged"):
        state_file.read(saved, CPU)
