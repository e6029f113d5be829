"""U-Net, the supervised baseline of SDNet, as in SDNet's released code.

Chartsias, Joyce, Papanastasiou, Semple, Williams, Newby, Dharmakumar, Tsaftaris: Disentangled representation
learning in cardiac image analysis. Medical Image Analysis 58, 2019 (arXiv 1903.09467), section 4.3a;
network and losses: `networks.unet`, `networks.segmentation_losses`. It sees labelled slices alone. The
softmax has one channel more than there are structures, the background, which is last and is left out of
Dice and of `segment`. Images are shown to the network in [-1, 1], rotated by up to 90 degrees each way.

Where paper and released code differ, or the code has what the paper does not mention:

    decay_per        printed: epoch; released: update, so lr / (1 + 1e-4 t) with t counting updates
    beta1            released: 0.9, Keras' default, but 0.5 for SDNet ("trained alike", the paper says)
    minimum_change   released: 0.001, but 0.01 for SDNet; patience 100; the last epoch's weights are tested
                     (`restore=False`), not the best one's
    doubled_smooth   printed and released: Dice loss of -1 where nothing is delineated and nothing predicted
    soft_masks       released: True, masks stay as bilinear rotation leaves them; here by default binary

Choices made here: an epoch shows every labelled slice once (SDNet's is longer, see there). A last batch of
one slice is shown twice. `momentum` is Keras' 0.99, which takes hundreds of updates to follow: lower it for
short runs. `width` and `depth` make the network smaller than the printed one, of 64 and 4.
"""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy.networks.unet import UNet
from latent_anatomy.training import labelled_rows
from latent_anatomy.training.method import Batch, Data, Schedules, Shape, Stream, Update
from latent_anatomy.training.segmentation import SegmentationParams, validation_loss


class Params(SegmentationParams):
    """Parameters of the U-Net; the defaults are the released ones, but for `soft_masks`."""


class Method(nn.Module):
    """Capability `segment`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.params, self.selection = params, params.selection
        size, classes = (shape.height, shape.width), labelled_rows.structures(shape) + 1
        self.network = UNet(shape.channels, classes, size, **params.network)
        self.to(memory_format=torch.channels_last)  # faster, and the same up to the last bits

    def optimisers(self) -> dict[str, Optimizer]:
        return {"supervised": self.params.adam(self.network)}

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        return self.params.schedules(optimisers, steps_per_epoch)

    def streams(self, train: Data) -> dict[str, Stream]:
        """Labelled slices, and nothing else."""
        return {"labelled": Stream(labelled_rows.labelled(train), self.params.batch_size)}

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step on images (N, C, H, W) float32 in [0, 1] with masks (N, L, H, W) of 0 and 1."""
        batch = self.params.shown(batches["labelled"])
        loss = self.params.dice_loss(self.probabilities(batch.images), batch.masks)
        update("supervised", loss)
        return {"loss": loss}

    def pass_statistics(self, batches: dict[str, Batch]) -> None:
        """One pass over labelled slices, as they are shown in training."""
        self.network(self.params.shown_images(batches["labelled"]))

    def probabilities(self, images: Tensor) -> Tensor:
        """Images in [-1, 1] -> probabilities (N, L, H, W) float32 of the structures."""
        return self.network(images).float().softmax(dim=1)[:, :-1]

    def segment(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] -> probabilities (N, L, H, W) float32; the rest is background."""
        return self.probabilities(2 * images - 1)

    validate = validation_loss
