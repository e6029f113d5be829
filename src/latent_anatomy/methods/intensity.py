"""The image itself as its anomaly map: in FLAIR, lesions are bright. What a model has to beat.

Nothing is learnt. Intensities are counted in medians of the patient's brain, one factor for all slices, so
that one threshold can serve patients whose scans differ in scale; nothing is clipped, so that no voxels
tie at the bright end, where lesions are.
"""

import torch
from torch import Tensor, nn

from latent_anatomy.training.method import Data, FittedParams, Shape, Stack


class Method(nn.Module):
    """Capability `anomaly_map`."""

    Params = FittedParams  # nothing to choose
    DETERMINISTIC = True

    def __init__(self, params: FittedParams, shape: Shape):
        super().__init__()
        self.params = params

    def fit(self, train: Data) -> None:
        """Nothing to fit."""

    def anomaly_map(self, stack: Stack) -> Tensor:
        """Mean over channels in units of the median inside the region: (S, 1, H, W) float32 >= 0."""
        images = stack.images.mean(1, keepdim=True)
        inside = images[:, 0][stack.region]
        scale = torch.median(inside) if len(inside) else inside.sum()
        if not scale > 0:
            raise ValueError(
                f"expected a brain whose median intensity is above 0, found {float(scale)} over "
                f"{len(inside)} voxels: check the brain mask"
            )
        return images / scale
