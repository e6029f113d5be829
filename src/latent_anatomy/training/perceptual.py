"""Networks of features that were trained on ImageNet by others, or on nothing: where their weights come from.

    random                   drawn with a fixed seed: no files, the same in every run
    squeezenet-keras         keras-squeezenet's SqueezeNet 1.1
    squeezenet-torchvision   torchvision's, with which LPIPS' weights were learnt
    vgg16-torchvision        torchvision's VGG16

The full checksums of torchvision's files are those that public catalogues of them have; they begin with what
stands in the files' names, which is torchvision's own check.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch

from latent_anatomy.data.dataset import RawFile
from latent_anatomy.data.download import Download
from latent_anatomy.networks.lpips import Lpips
from latent_anatomy.networks.squeezenet import SqueezeNet
from latent_anatomy.training.method import frozen

Perceptual = Literal["random", "squeezenet-keras", "squeezenet-torchvision"]

KERAS = Download(
    name="squeezenet-keras",
    files=(
        RawFile(
            "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "https://github.com/rcmalli/keras-squeezenet/releases/download/v1.0/"
            "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "sha256",
            "2d935d8c102ad1232484a77da8e6fbdf3ff4ab608974a0d8b6283115ffff204f",
        ),
    ),
    licence="MIT",
    how_to_get="https://github.com/rcmalli/keras-squeezenet: release v1.0, into the mirror folder",
)
TORCHVISION = Download(
    name="squeezenet-torchvision",
    files=(
        RawFile(
            "squeezenet1_1-b8a52dc0.pth",
            "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
            "sha256",
            "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        ),
    ),
    licence="BSD-3-Clause",
    how_to_get="https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth, into the mirror folder",
)
HEADS = Download(
    name="lpips-squeeze",
    files=(
        RawFile(
            "v0.1/squeeze.pth",
            "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/"
            "v0.1/squeeze.pth",
            "sha256",
            "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
        ),
    ),
    licence="BSD-2-Clause",
    how_to_get="https://github.com/richzhang/PerceptualSimilarity: lpips/weights/v0.1, into <mirror>/lpips",
    family="lpips",
)
VGG16 = Download(
    name="vgg16-torchvision",
    files=(
        RawFile(
            "vgg16-397923af.pth",
            "https://download.pytorch.org/models/vgg16-397923af.pth",
            "sha256",
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        ),
    ),
    licence="BSD-3-Clause",
    how_to_get="https://download.pytorch.org/models/vgg16-397923af.pth, into the mirror folder",
)


def of_lpips(perceptual: Perceptual) -> tuple[Download, ...]:
    """What LPIPS on a network needs."""
    heads = (HEADS,) if perceptual == "squeezenet-torchvision" else ()
    return of_squeezenet(perceptual) + heads


def of_squeezenet(perceptual: Perceptual) -> tuple[Download, ...]:
    """What SqueezeNet needs."""
    return {"random": (), "squeezenet-keras": (KERAS,), "squeezenet-torchvision": (TORCHVISION,)}[perceptual]


def lpips_of(perceptual: Perceptual, files: Mapping[str, Path], device: torch.device) -> Lpips:
    """LPIPS on a network, frozen, on the device; `files` as of `load_lpips`."""
    network = frozen(Lpips())
    load_lpips(network, perceptual, files)
    return network.to(device)


def load_lpips(network: Lpips, perceptual: Perceptual, files: Mapping[str, Path]) -> None:
    """Give LPIPS its weights; `files` are of `of_lpips`, "<download>/<file>" -> path."""
    load_squeezenet(network.network, perceptual, files)
    if perceptual == "squeezenet-torchvision":
        network.load_heads(path_of(HEADS, files))


def load_squeezenet(network: SqueezeNet, perceptual: Perceptual, files: Mapping[str, Path]) -> None:
    """Give SqueezeNet its weights; "random" are those that it has."""
    if perceptual == "squeezenet-keras":
        network.load_keras(path_of(KERAS, files))
    if perceptual == "squeezenet-torchvision":
        network.load_torchvision(path_of(TORCHVISION, files))


def path_of(download: Download, files: Mapping[str, Path]) -> Path:
    """Where the only file of a download lies."""
    return files[f"{download.name}/{download.files[0].name}"]
