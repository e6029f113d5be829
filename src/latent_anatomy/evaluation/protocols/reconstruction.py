"""How well are clean test images reconstructed? (unORANIC, Table 2 and Figure 3)

For each branch that a method has, PSNR and SSIM: "reconstruction/..." of `reconstruct` (for unORANIC
the joint decoder, which Table 2 is about) and "reconstruction/anatomy_..." of `anatomy`.

Released scripts average PSNR in two ways, per image for unORANIC and over batches of 512 images for
the auto-encoder, which is the lower by Jensen's inequality. Both are computed for every method:

    psnr          mean of the PSNR of each image
    psnr_batch    mean over batches of 512 images of the PSNR of a batch's mean squared error
    ssim          mean of the SSIM of each image
"""

from collections.abc import Mapping

from numpy.typing import NDArray
from torch import nn

from latent_anatomy.evaluation.common import Settings, examples, infer, pictures
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.metrics import image
from latent_anatomy.training.method import Data

NEEDS = (("reconstruct",),)

PSNR_BATCH = 512  # of the released configuration of the auto-encoder


class Params(Settings):
    """Nothing to choose."""


def possible(splits: dict[str, Data]) -> bool:
    """Needs test images, whatever they are of."""
    return len(splits["test"]) > 0


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics as above; arrays "reconstruction/psnr" and alike (N,) float64, and the pictures."""
    method.eval()
    images = splits["test"].images
    metrics, arrays = {}, {"figure/clean/original": pictures(examples(images))}
    for branch, prefix in (("reconstruct", ""), ("anatomy", "anatomy_")):
        if not hasattr(method, branch):
            continue
        output = infer(getattr(method, branch), images)
        batches = image.mse(output, images).split(PSNR_BATCH)
        name = f"reconstruction/{prefix}"
        arrays[f"{name}psnr"] = image.psnr(output, images).cpu().numpy()
        arrays[f"{name}ssim"] = image.ssim(output, images).cpu().numpy()
        metrics[f"{name}psnr"] = float(arrays[f"{name}psnr"].mean())
        metrics[f"{name}ssim"] = float(arrays[f"{name}ssim"].mean())
        metrics[f"{name}psnr_batch"] = sum(float(image.psnr_of_mse(batch.mean())) for batch in batches) / len(
            batches
        )
        picture = "reconstruction" if branch == "reconstruct" else branch
        arrays[f"figure/clean/{picture}"] = pictures(examples(output))
    return Results(metrics, arrays)


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Means over the test images."""
    return {name: Paired((name,)) for name in arrays if name.startswith("reconstruction/")}
