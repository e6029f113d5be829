"""The distance of each pixel to the mean healthy brain. What a model of normal anatomy has to beat.

    |x - mean| / (sd + floor),  averaged over channels

with mean and standard deviation (n - 1) of the training slices of the same position. It means something
where slices of one position show the same anatomy: in atlas space. Slices that are not registered have no
position that means anything: `by_position=False` compares them with all training slices.
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.training.method import Data, FittedParams, Shape, Stack

AT_ONCE = 64  # slices: 34 MB of float64 at 256x256


class Params(FittedParams):
    """What the mean is of."""

    by_position: bool = Field(True, description="A mean for each slice position; else one for all.")
    floor: float = Field(
        0.01, gt=0, description="Added to the deviation, of the intensity range: tames still voxels."
    )


class Method(nn.Module):
    """Capability `anomaly_map`."""

    Params = Params
    DETERMINISTIC = True

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.params = params
        positions = shape.positions if params.by_position else 1
        image = (shape.channels, shape.height, shape.width)
        self.register_buffer("count", torch.zeros(positions, dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(positions, *image))
        self.register_buffer("deviation", torch.zeros(positions, *image))

    def fit(self, train: Data) -> None:
        """Mean and deviation of the training slices, in float64 and two passes."""
        positions = self._positions(train.position)
        for position in positions.unique().tolist():
            rows = torch.nonzero(positions == position)[:, 0]
            parts = rows.split(AT_ONCE)
            mean = sum(train.batch(part).images.double().sum(0) for part in parts) / len(rows)
            squares = sum((train.batch(part).images.double() - mean).square().sum(0) for part in parts)
            self.count[position] = len(rows)
            self.mean[position] = mean.float()
            self.deviation[position] = (squares / max(len(rows) - 1, 1)).sqrt().float()

    def anomaly_map(self, stack: Stack) -> Tensor:
        """The distance above, (S, 1, H, W) float32; ValueError where fewer than two slices are known."""
        positions = self._positions(stack.position)
        enough = torch.nonzero(self.count >= 2)[:, 0]
        if rare := set(positions.tolist()) - set(enough.tolist()):
            raise ValueError(
                f"expected positions with two training slices or more, found fewer at {sorted(rare)}: "
                "train on the slices that are tested, or set by_position: false"
            )
        distance = (stack.images - self.mean[positions]).abs()
        return (distance / (self.deviation[positions] + self.params.floor)).mean(1, keepdim=True)

    def _positions(self, positions: Tensor) -> Tensor:
        """Rows of the buffers for slice positions (S,) int64."""
        return positions if self.params.by_position else torch.zeros_like(positions)
