"""Records what MONAI 1.6.1 measures between surfaces, for tests/test_surfaces.py. Beside torch and scipy:

pip install --no-deps monai==1.6.1
python tests/oracle/record_monai.py tests/oracle/monai_1_6_1.npz

one, other (n, 6, 20, 24)      pairs of masks, none empty; the first slice of each is a pair of its own
spacing (3,)                   mm between positions, rows and columns
volume/hd95, volume/asd (n,)   of the volumes, in mm
slice/hd95, slice/asd (n,)     of the first slices, in pixels
"""

import sys

import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy import ndimage

COUNT, SHAPE, SPACING = 12, (6, 20, 24), (8.0, 1.4, 1.25)


def masks(random: np.random.Generator) -> np.ndarray:
    """Blobs, some of several parts and some at the border."""
    smooth = ndimage.gaussian_filter(random.normal(size=SHAPE), (1, 2.5, 2.5))
    return smooth > np.quantile(smooth, random.uniform(0.6, 0.95))


def measured(one: np.ndarray, other: np.ndarray, spacing: tuple[float, ...] | None) -> tuple[float, float]:
    pair = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (one, other)]
    settings = {"include_background": True, "spacing": spacing}
    hd95 = compute_hausdorff_distance(*pair, percentile=95, directed=False, **settings)
    asd = compute_average_surface_distance(*pair, symmetric=True, **settings)
    return float(hd95), float(asd)


random, pairs = np.random.default_rng(0), []
while len(pairs) < COUNT:
    pair = masks(random), masks(random)
    if all(mask[0].any() for mask in pair):
        pairs.append(pair)
one, other = (np.array(each) for each in zip(*pairs, strict=True))
content = {"one": one, "other": other, "spacing": np.array(SPACING)}
for name, of in (("volume", (one, other, SPACING)), ("slice", (one[:, 0], other[:, 0], None))):
    values = [measured(a, b, of[2]) for a, b in zip(of[0], of[1], strict=True)]
    for measure, column in zip(("hd95", "asd"), np.array(values).T, strict=True):
        content[f"{name}/{measure}"] = column
np.savez_compressed(sys.argv[1], **content)
