"""ResNet-18, the supervised baseline of unORANIC's Tables 3 and 4 and of its Figure 5.

He, Zhang, Ren, Sun: Deep residual learning. CVPR 2016; trained as in Yang et al.: MedMNIST v2, 2023
(Adam 1e-3, batches of 128, 100 epochs, the rate divided by 10 at 50 and 75 % of them, cross-entropy),
on images in [0, 1] without further normalisation as in unORANIC's released code. The epoch with the
best validation AUC is kept.

`task="disease"` learns the data set's labels on clean images. `task="corruption"` learns whether an
image carries one of the 12 corruptions: half of the images do, drawn anew at every step (unORANIC,
section 3.4). As released, that network keeps one output per disease class; the outputs beyond the
first two are never a target. It is scored correctly here; the released script scores it against the
disease labels, which the evaluation reports as a row of its own.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import MultiStepLR

from latent_anatomy.corruptions.augment import corrupt_one
from latent_anatomy.metrics.classification import auc
from latent_anatomy.networks.resnet import ResNet18
from latent_anatomy.training.method import Batch, Data, MethodParams, Schedules, Selection, Shape, Update
from latent_anatomy.training.optimisers import Adam

VALIDATION_CORRUPTION_SEED = 1333  # one frozen set, so that epochs are compared on the same images


class Params(MethodParams):
    """Parameters of the baseline; the defaults are MedMNIST v2's."""

    epochs: int = Field(100, ge=1, description="Passes over the training images.")
    batch_size: int = Field(128, ge=2, description="Images per step.")
    task: Literal["disease", "corruption"] = Field(description="What is to be recognised.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate.")
    milestones: tuple[float, ...] = Field((0.5, 0.75), description="Parts of training; then rate / 10.")


class Method(nn.Module):
    """ResNet-18 on small images: capability `classify`."""

    Params = Params
    selection = Selection("auc", "max")

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.params = params
        self.task = params.task
        self.classes = shape.classes if params.task == "disease" else 2
        self.network = ResNet18(shape.channels, shape.classes)
        self.to(memory_format=torch.channels_last)  # faster, and the same up to the last bits

    def optimisers(self) -> dict[str, Optimizer]:
        return {"all": Adam(self.parameters(), lr=self.params.learning_rate, fused=True)}

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        milestones = [round(part * self.params.epochs) for part in self.params.milestones]
        return Schedules(per_epoch=[MultiStepLR(optimisers["all"], milestones, gamma=0.1)])

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step on images (N, C, H, W) float32 in [0, 1] and labels (N,) int64."""
        images, labels = batches["train"].images, batches["train"].labels
        if self.task == "corruption":
            images, labels = corrupt_one(images)
        loss = F.cross_entropy(self.network(images).float(), labels)
        update("all", loss)
        return {"loss": loss}

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, Tensor]:
        """AUC and cross-entropy on the validation images (a frozen corrupted set for that task)."""
        images, labels = data.images, data.labels
        if self.task == "corruption":
            generator = torch.Generator(data.device).manual_seed(VALIDATION_CORRUPTION_SEED)
            images, labels = corrupt_one(images, generator)
        logits = torch.cat([self.network(part).float() for part in images.split(512)])
        scores = logits[:, : self.classes].softmax(dim=1)
        return {
            "auc": torch.tensor(auc(labels.cpu().numpy(), scores.cpu().numpy())),
            "loss": F.cross_entropy(logits, labels),
        }

    def classify(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> class probabilities (N, shape.classes), whatever the task (see above)."""
        return self.network(images).float().softmax(dim=1)
