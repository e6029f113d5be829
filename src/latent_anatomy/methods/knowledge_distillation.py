"""MKD: a small network learns to see healthy images as a large one does, and does not see lesions so.

Salehi, Sadjadi, Baselizadeh, Rohban, Rabiee: Multiresolution knowledge distillation for anomaly detection.
CVPR 2021 (arXiv 2011.11108), as a baseline of Bercea 2024. Of the maps t_l of a frozen teacher and s_l of a
student, at four depths l,

    L = sum over l of [ mean over images of 1 - cos(s_l, t_l) + lambda_mse mean (s_l - t_l)^2 ]

The score of an image is that of the last three depths. The anomaly map is its gradient by the image, guided
backpropagation in the student, as it is in the teacher: |g| summed over channels, from the least to the
99th percentile stretched to [0, 1], stretched again, smoothed. So a map has no scale: each image has its most
abnormal pixel. There is no reconstruction. Bercea 2024 gives no setting at all; the defaults are those of
Salehi's released code:

    teacher      "vgg16-torchvision", the ImageNet weights; "vgg16-random" is released as the alternative;
                 ours: SqueezeNet 1.1 with a publisher's weights, and a narrow SqueezeNet as student, compared
                 before each pool and after the last fire
    lambda_mse   0.01; released for industrial images: 0.5
    width        64; ours, less: both networks of "vgg16-random" narrower

Images are given as they are, grey ones as three equal channels; to SqueezeNet scaled as its weights want it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy.data.download import Download
from latent_anatomy.networks import vgg
from latent_anatomy.networks.squeezenet import SqueezeNet
from latent_anatomy.training import perceptual
from latent_anatomy.training.healthy import AT_ONCE, parts, smooth
from latent_anatomy.training.method import Batch, Data, MethodParams, Schedules, Shape, Stack, Update, frozen
from latent_anatomy.training.optimisers import Adam

SMALLEST, SEED, PERCENTILE = 32, 2011, 0.99
DEPTHS = (1, 3, 5, 9)  # of SqueezeNet
NARROW = {2: (4, 16), 3: (4, 64), 4: (4, 16), 5: (4, 128), 6: (4, 16), 7: (4, 16), 8: (4, 16), 9: (4, 256)}

Teacher = Literal["vgg16-torchvision", "vgg16-random", "squeezenet-keras", "squeezenet-torchvision"]


class Params(MethodParams):
    """Parameters of MKD; the defaults are the released ones for small grey images."""

    epochs: int = Field(201, ge=1, description="Passes over the healthy images.")
    batch_size: int = Field(64, ge=1, description="Images per step.")
    steps_per_epoch: int | None = Field(None, ge=1, description="Of training; None: every image once.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's, of the student.")
    teacher: Teacher = Field("vgg16-torchvision", description="See above.")
    lambda_mse: float = Field(0.01, ge=0, description="Weight of the squared error.")
    width: int = Field(vgg.FULL, ge=4, description="Of the first level of VGG16.")
    smoothing: float = Field(4.0, ge=0, description="Standard deviation in pixels, of the map.")

    @model_validator(mode="after")
    def _only_random_teachers_have_a_width(self) -> "Params":
        if self.width != vgg.FULL and self.teacher != "vgg16-random":
            raise ValueError(f"width: expected {vgg.FULL} of the teacher {self.teacher}, found {self.width}")
        return self


def weights(params: Params) -> tuple[Download, ...]:
    """What the teacher needs."""
    if params.teacher == "vgg16-torchvision":
        return (perceptual.VGG16,)
    return perceptual.of_squeezenet(params.teacher) if params.teacher != "vgg16-random" else ()


class Method(nn.Module):
    """Capability `anomaly_map`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        if shape.channels not in (1, 3) or min(shape.height, shape.width) < SMALLEST:
            raise ValueError(
                f"expected images of 1 or 3 channels and {SMALLEST} pixels and more on a side, found "
                f"{shape.channels} of {shape.height}x{shape.width}: resize the slices"
            )
        self.params = params
        if params.teacher.startswith("vgg16"):
            self.student, teacher = vgg.Vgg(narrow=True, width=params.width), vgg.drawn(SEED, params.width)
            for layer in self.student.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.xavier_uniform_(layer.weight)
        else:
            self.student, teacher = SqueezeNet(NARROW), SqueezeNet()
        self.teacher = frozen(teacher)

    def load_weights(self, files: Mapping[str, Path]) -> None:
        """Give the teacher its weights, which are then in the checkpoint, and the student its scaling."""
        if self.params.teacher == "vgg16-torchvision":
            self.teacher.load_torchvision(perceptual.path_of(perceptual.VGG16, files))
        elif self.params.teacher != "vgg16-random":
            perceptual.load_squeezenet(self.teacher, self.params.teacher, files)
            self.student.load({name: getattr(self.teacher, name) for name in ("shift", "scale", "ceil")})

    def optimisers(self) -> dict[str, Optimizer]:
        return {"student": Adam(self.student.parameters(), lr=self.params.learning_rate, fused=True)}

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        return Schedules()

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step on images (N, C, H, W) float32 in [0, 1]."""
        loss = self.distances(batches["train"].images).sum(1).mean()
        update("student", loss)
        return {"loss": loss}

    def distances(self, images: Tensor, relu: vgg.Relu = torch.relu) -> Tensor:
        """How far student and teacher are apart on images (N, C, H, W), at each depth: (N, 4)."""
        given = images.expand(-1, 3, -1, -1)
        pairs = zip(self.maps(self.student(given, relu)), self.maps(self.teacher(given)), strict=True)
        return torch.stack([self.distance(*(each.float().flatten(1) for each in pair)) for pair in pairs], 1)

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Of maps (N, D): (N,)."""
        squared = (student - teacher).square().mean(1)
        return 1 - F.cosine_similarity(student, teacher) + self.params.lambda_mse * squared

    def maps(self, given: list[Tensor] | dict[int, Tensor]) -> list[Tensor]:
        """The maps that are compared, of all that a network gives."""
        return given if isinstance(given, list) else [given[depth] for depth in DEPTHS]

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, Tensor]:
        """The loss on validation images; not used for any selection."""
        sums = [self.distances(part).sum() for part in parts(data, self.params.batch_size)]
        return {"loss": sum(sums) / len(data)}

    def anomaly_map(self, stack: Stack) -> Tensor:
        """How abnormal each pixel of a patient is, (S, 1, H, W) float32, not below 0."""
        gradients = torch.cat([self.gradient(part) for part in stack.images.split(AT_ONCE)])
        maps = stretched(stretched(gradients.abs().sum(1, keepdim=True), PERCENTILE), 1.0)
        return smooth(maps, self.params.smoothing)

    def gradient(self, images: Tensor) -> Tensor:
        """Of the score of each image (N, C, H, W) by its three channels, also where gradients are off."""
        with torch.inference_mode(False), torch.enable_grad():
            given = images.detach().clone().expand(-1, 3, -1, -1).contiguous().requires_grad_()
            score = self.distances(given, vgg.GuidedRelu.apply)[:, 1:].sum()
            return torch.autograd.grad(score, given)[0]


def stretched(maps: Tensor, quantile: float) -> Tensor:
    """Maps (N, 1, H, W), each from its least value to a quantile stretched to [0, 1]; of one value: 0."""
    flat = maps.flatten(1)
    least, most = flat.amin(1, keepdim=True), flat.quantile(quantile, dim=1, keepdim=True)
    span = (most - least).where(most > least, torch.inf)
    return ((flat - least) / span).clamp(0, 1).view_as(maps)
