"""Small made files in the layouts of the publishers of perceptual weights."""

from pathlib import Path

import h5py
import numpy as np
import torch

from latent_anatomy.networks.lpips import PLACES
from latent_anatomy.networks.squeezenet import FIRES, TORCHVISION
from latent_anatomy.training import perceptual


def heads(folder: Path) -> dict[str, Path]:
    """Learnt weights of LPIPS, version 0.1."""
    random, path = torch.Generator().manual_seed(3), folder / "squeeze.pth"
    given = {
        f"lin{number}.model.1.weight": torch.rand(1, channels, 1, 1, generator=random)
        for number, channels in enumerate(PLACES.values())
    }
    torch.save(given, path)
    return {f"lpips-squeeze/{perceptual.HEADS.files[0].name}": path}


def convolution(random: np.random.Generator, inputs: int, outputs: int, side: int) -> tuple:
    """A kernel (outputs, inputs, side, side) and a bias, float32."""
    kernel = random.normal(0, (2 / (inputs * side**2)) ** 0.5, (outputs, inputs, side, side))
    return kernel.astype(np.float32), random.normal(0, 0.1, outputs).astype(np.float32)


def layers() -> dict[str, tuple]:
    """conv1 and, of each fire, its three convolutions: "2.squeeze" -> kernel and bias."""
    random, inputs = np.random.default_rng(2), 64
    made = {"conv1": convolution(random, 3, 64, 3)}
    for place, (squeeze, expand) in FIRES.items():
        made[f"{place}.squeeze"] = convolution(random, inputs, squeeze, 1)
        made[f"{place}.expand1x1"] = convolution(random, squeeze, expand, 1)
        made[f"{place}.expand3x3"] = convolution(random, squeeze, expand, 3)
        inputs = 2 * expand
    return made


def torchvision(folder: Path) -> dict[str, Path]:
    """SqueezeNet 1.1 as torchvision publishes it."""
    given = {}
    for name, (kernel, bias) in layers().items():
        place, _, layer = name.partition(".")
        ours = "features.0" if name == "conv1" else f"features.{TORCHVISION[int(place)]}.{layer}"
        given |= {f"{ours}.weight": torch.from_numpy(kernel), f"{ours}.bias": torch.from_numpy(bias)}
    given |= {"classifier.1.weight": torch.zeros(1000, 512, 1, 1), "classifier.1.bias": torch.zeros(1000)}
    path = folder / "squeezenet.pth"
    torch.save(given, path)
    return {f"squeezenet-torchvision/{perceptual.TORCHVISION.files[0].name}": path}


def keras(folder: Path) -> dict[str, Path]:
    """The same network as keras-squeezenet publishes it: kernels (side, side, inputs, outputs)."""
    path = folder / "squeezenet.h5"
    with h5py.File(path, "w") as file:
        for name, (kernel, bias) in layers().items():
            place, _, layer = name.partition(".")
            theirs = "squeeze1x1" if layer == "squeeze" else layer
            group = "conv1/conv1_3" if name == "conv1" else f"fire{place}/{theirs}/fire{place}/{theirs}_3"
            file[f"{group}/kernel:0"] = kernel.transpose(2, 3, 1, 0)
            file[f"{group}/bias:0"] = bias
    return {f"squeezenet-keras/{perceptual.KERAS.files[0].name}": path}
