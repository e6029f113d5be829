"""Is a corruption undone? (unORANIC, Figure 4)

The 12 corruptions of training, one at a time. Each is drawn once and applied to all test images with
the same parameters, noise included ("uniformly applied"), and each PSNR is that of the mean squared
error of the whole test set. With I the clean image, S the corrupted one, R and A what `reconstruct`
and `anatomy` make of S (A only where a method has it):

    revision/<corruption>/input_psnr                      S against I
    revision/<corruption>/reconstruction_psnr             R against I
    revision/<corruption>/reconstruction_vs_input_psnr    R against S
    revision/<corruption>/anatomy_psnr                    A against I
    revision/<corruption>/anatomy_vs_input_psnr           A against S

and, for the uncorrupted image, revision/clean/reconstruction_psnr and revision/clean/anatomy_psnr.
Table psnr: corruption and the PSNR of A (or R) against I.

The released script seeds Python's generator with 1333 before each image. The strengths are what that
draws with albumentations 1.3.1. Deviation: what is no single number (the dropped pixels, the noise
field, the line of motion) is drawn here, from a fixed seed.
"""

from collections.abc import Mapping

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from latent_anatomy.corruptions import augment
from latent_anatomy.evaluation.common import FROZEN_SEED, Settings, examples, generator, infer, pictures
from latent_anatomy.evaluation.protocol import Paired, Results, Table
from latent_anatomy.metrics import image
from latent_anatomy.training.method import Data

NEEDS = (("reconstruct",),)
PLOTS = {"psnr": {"template": "bar_horizontal", "x": "psnr", "y": "corruption"}}

STRENGTHS = {  # in grey levels where they have a unit
    "GaussianBlur": {"size": 7},
    "ColorJitter": {
        "brightness": 1.0954,
        "contrast": 1.1710,
        "saturation": 0.9052,
        "hue": 0.1913,
        "order": (1, 3, 2, 0),  # contrast, hue, saturation, brightness
    },
    "Downscale": {"scale": 0.7954},
    "MultiplicativeNoise": {"multiplier": 1.0307},
    "RandomBrightnessContrast": {"alpha": 1.0954, "beta": 0.1710 * 255},
    "RandomGamma": {"gamma": 1.0954},
    "Sharpen": {"alpha": 0.4215, "lightness": 0.964},  # the kernel's centre is 4.357
}
NOISE_DEVIATION = 6.32  # of GaussNoise, in grey levels
UNPAIRED = {"revision/*": "the PSNR of Figure 4 is of the error of all images, and no mean over images"}


class Params(Settings):
    """Nothing to choose."""


def corrupt_uniformly(name: str, images: Tensor) -> Tensor:
    """All images (N, C, H, W) with one corruption, with the same parameters for all of them."""
    drawn = augment.sample(name, (1, *images.shape[1:]), generator(FROZEN_SEED, "revision", name))
    for key, strength in STRENGTHS.get(name, {}).items():
        drawn[key] = torch.tensor([strength], dtype=drawn[key].dtype)
    if name == "GaussNoise":
        drawn["noise"] *= NOISE_DEVIATION / drawn["noise"].std()
    shared = {
        key: value.to(images.device).expand(len(images), *value.shape[1:]) for key, value in drawn.items()
    }
    return augment.apply(name, images, shared)


def possible(splits: dict[str, Data]) -> bool:
    """Needs test images, whatever they are of."""
    return len(splits["test"]) > 0


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics as above; arrays "revision/<corruption>/<...>_psnr" (N,) float64 per image, and pictures."""
    method.eval()
    clean = splits["test"].images
    metrics, arrays = {}, {}

    def compare(name: str, images: Tensor, reference: Tensor) -> None:
        error = image.mse(images, reference)
        metrics[name] = float(image.psnr_of_mse(error.mean()))
        arrays[name] = image.psnr_of_mse(error).cpu().numpy()

    for condition in ("clean", *augment.NAMES):
        corrupted = clean if condition == "clean" else corrupt_uniformly(condition, clean)
        if condition != "clean":
            compare(f"revision/{condition}/input_psnr", corrupted, clean)
            arrays[f"figure/{condition}/input"] = pictures(examples(corrupted))
        for branch, capability in (("reconstruction", "reconstruct"), ("anatomy", "anatomy")):
            if not hasattr(method, capability):
                continue
            output = infer(getattr(method, capability), corrupted)
            compare(f"revision/{condition}/{branch}_psnr", output, clean)
            if condition != "clean":
                compare(f"revision/{condition}/{branch}_vs_input_psnr", output, corrupted)
                arrays[f"figure/{condition}/{branch}"] = pictures(examples(output))
    return Results(metrics, arrays, {"psnr": by_corruption(metrics)})


def by_corruption(metrics: Mapping[str, float]) -> Table:
    """PSNR (dB) of the answer to each corruption against the clean image: A where a method has it, else R."""
    rows = {}
    for branch in ("reconstruction", "anatomy"):
        for name, value in metrics.items():
            _, condition, kind = name.split("/")
            if kind == f"{branch}_psnr":
                rows[condition] = value
    return Table(("corruption", "psnr"), list(rows.items()))


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Nothing: see UNPAIRED."""
    return {}
