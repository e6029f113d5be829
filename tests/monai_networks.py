"""What networks of MONAI compute, as tests/oracle/record_monai_networks.py recorded it."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

RECORD = Path(__file__).parent / "oracle" / "monai_networks_1_6_1.npz"


def recorded(family: str) -> dict[str, Tensor]:
    """Everything recorded of one network but its weights."""
    return {name: value for name, value in _all(family).items() if not name.startswith("weights/")}


def given_weights(family: str, network: nn.Module) -> nn.Module:
    """The network with MONAI's weights, every one of which has a place in it, in evaluation mode."""
    weights = {
        name.removeprefix("weights/"): value
        for name, value in _all(family).items()
        if name.startswith("weights/")
    }
    missing, unexpected = network.load_state_dict(weights, strict=False)
    assert not unexpected and all(name.startswith("on.") for name in missing)
    return network.eval()


def _all(family: str) -> dict[str, Tensor]:
    with np.load(RECORD) as file:
        names = [name for name in file.files if name.startswith(f"{family}/")]
        return {name.removeprefix(f"{family}/"): torch.from_numpy(file[name]) for name in names}
