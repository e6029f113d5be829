"""SqueezeNet 1.1 without its classifier, a network of features (Iandola et al. 2016, arXiv 1602.07360).

    conv1 3x3/2 to 64, ReLU | pool, fire2, fire3 | pool, fire4, fire5 | pool, fire6 to fire9

fire(s, e): 1x1 to s, ReLU, then 1x1 and 3x3 to e each, ReLU, side by side. Pools are maxima of 3x3, stride 2.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128)}
FIRES |= {6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
POOLED = (2, 4, 6)  # fires before which there is a pool
TORCHVISION = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10, 8: 11, 9: 12}  # places in torchvision's `features`
KERAS_MEAN = (123.68, 116.779, 103.939)  # red, green, blue, of 0 to 255
SCALING = ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))  # LPIPS' shift and scale, of [-1, 1]

Relu = Callable[[Tensor], Tensor]


class Fire(nn.Module):
    """Maps (N, inputs, H, W) -> (N, 2 expand, H, W)."""

    def __init__(self, inputs: int, squeeze: int, expand: int):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, features: Tensor, relu: Relu) -> Tensor:
        squeezed = relu(self.squeeze(features))
        return torch.cat([relu(self.expand1x1(squeezed)), relu(self.expand3x3(squeezed))], dim=1)


class SqueezeNet(nn.Module):
    """Images (N, 1 or 3, H, W) in [0, 1] -> the maps after conv1 and all fires, or some of them.

    Each publisher's weights want an input of their own, (x - shift) / scale here, and pools that keep a last
    half window (`ceil`) or not. Without weights: He's. `fires`: channels of each, squeezed and expanded.
    """

    def __init__(self, fires: Mapping[int, tuple[int, int]] = FIRES):
        super().__init__()
        self.conv1, inputs = nn.Conv2d(3, 64, 3, stride=2), 64
        self.fires = nn.ModuleDict()
        for place, (squeeze, expand) in fires.items():
            self.fires[str(place)], inputs = Fire(inputs, squeeze, expand), 2 * expand
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        shift, scale = (torch.tensor(each).view(3, 1, 1) for each in SCALING)
        self.register_buffer("shift", (1 + shift) / 2)
        self.register_buffer("scale", scale / 2)
        self.register_buffer("ceil", torch.tensor(True))

    def forward(self, images: Tensor, relu: Relu = torch.relu) -> dict[int, Tensor]:
        """Maps by place: 1 is conv1, 2 to 9 are the fires."""
        pool = nn.MaxPool2d(3, stride=2, ceil_mode=bool(self.ceil))
        features = relu(self.conv1((images - self.shift) / self.scale))
        maps = {1: features}
        for name, fire in self.fires.items():
            features = fire(pool(features) if int(name) in POOLED else features, relu)
            maps[int(name)] = features
        return maps

    def load_torchvision(self, path: Path) -> None:
        """torchvision's weights for ImageNet, squeezenet1_1-b8a52dc0.pth."""
        given = torch.load(path, map_location="cpu", weights_only=True)
        self.load(
            {f"conv1.{kind}": given[f"features.0.{kind}"] for kind in ("weight", "bias")}
            | {
                f"fires.{place}.{layer}.{kind}": given[f"features.{number}.{layer}.{kind}"]
                for place, number in TORCHVISION.items()
                for layer in ("squeeze", "expand1x1", "expand3x3")
                for kind in ("weight", "bias")
            }
        )

    def load_keras(self, path: Path) -> None:
        """keras-squeezenet's weights for ImageNet: of blue, green, red less a mean, 0 to 255."""
        import h5py

        names = {"squeeze": "squeeze1x1", "expand1x1": "expand1x1", "expand3x3": "expand3x3"}
        given = {}
        with h5py.File(path) as file:
            layers = {"conv1": "conv1"} | {
                f"fires.{place}.{ours}": f"fire{place}/{theirs}"
                for place in FIRES
                for ours, theirs in names.items()
            }
            for ours, theirs in layers.items():
                group = file[theirs]
                while "bias:0" not in group:
                    group = next(iter(group.values()))
                given[f"{ours}.bias"] = torch.from_numpy(group["bias:0"][()])
                given[f"{ours}.weight"] = torch.from_numpy(group["kernel:0"][()]).permute(3, 2, 0, 1)
        given["conv1.weight"] = given["conv1.weight"].flip(1)  # to red, green, blue
        self.load(given)
        self.shift.copy_(torch.tensor(KERAS_MEAN).view(3, 1, 1) / 255)
        self.scale.fill_(1 / 255)
        self.ceil.fill_(False)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Weights by our names; the rest stays."""
        self.load_state_dict(dict(self.state_dict()) | dict(weights))
