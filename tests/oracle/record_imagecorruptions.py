"""Records what imagecorruptions 1.1.2 does, for tests/test_imagenet_c.py. Needs an environment of its own:

    pip install numpy==1.26.4 setuptools==65.5.0 scikit-image==0.21.0 scipy==1.17.1 pillow==10.4.0
    pip install opencv-python==4.11.0.86 imagecorruptions==1.1.2
    python tests/oracle/record_imagecorruptions.py tests/oracle/imagecorruptions_1_1_2.npz

Random numbers come from numpy's frozen RandomState, so the tests draw them again instead of reading them.
Frost is recorded with a texture made here, and with the package's own photographs only as quantiles of PSNR.

    inputs (2, 28, 28, 3)          a grey image (equal channels) and a colour image
    control (2, 28, 28, 3)         the inputs enlarged to 32 x 32 and reduced again
    noise, noise_control           the same for uniform noise, where every rounding shows
    <corruption> (5, 32, 32, 2)    red and blue of the enlarged colour image, severities 1 to 5, seed SEED
    frost_crop (32, 32, 3)         the part of our own texture that was used
    psnr (14, 5, 2, 5)             quantiles (PROBABILITIES) of the PSNR of DRAWS inputs, the whole pipeline
"""

import functools
import sys
import warnings

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.stats import poisson

warnings.simplefilter("ignore")
from imagecorruptions import corrupt, get_corruption_names  # noqa: E402

SEED = 7
DRAWS = 1000
PROBABILITIES = (0.05, 0.25, 0.5, 0.75, 0.95)
STOCHASTIC = {
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "motion_blur",
    "snow",
    "frost",
    "fog",
    "elastic_transform",
}
NAMES = [name for name in get_corruption_names("common") if name != "glass_blur"]
seeded_rng = np.random.default_rng


def blobs(random, side, spread):
    """Smooth image that touches black and white."""
    field = gaussian_filter(random.normal(size=(side, side, 3)), (spread, spread, 0))
    return np.uint8(np.clip((field - field.min()) / (field.max() - field.min()) * 1.3 - 0.15, 0, 1) * 255)


def resize(image, side):
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def psnr(name, severity, image, grey):
    """PSNR on the [0, 1] scale of the pipeline of unORANIC's robustness test."""
    out = resize(corrupt(resize(image, 32), severity=severity, corruption_name=name), 28) / 255
    clean = image / 255
    if grey:
        out, clean = out.mean(2), clean[..., 0]
    return -10 * np.log10(np.mean((out - clean) ** 2))


def main(path):
    random = np.random.RandomState(SEED)
    inputs = np.stack([np.repeat(blobs(random, 28, 1.5)[..., :1], 3, axis=2), blobs(random, 28, 1.5)])
    noise = random.randint(0, 256, size=(2, 28, 28, 3)).astype(np.uint8)
    record = {
        "inputs": inputs,
        "control": np.stack([resize(resize(image, 32), 28) for image in inputs]),
        "noise": noise,
        "noise_control": np.stack([resize(resize(image, 32), 28) for image in noise]),
    }

    photographs = functools.lru_cache(cv2.imread)
    quantiles = np.zeros((len(NAMES), 5, 2, len(PROBABILITIES)), np.float32)
    cv2.imread = photographs
    np.random.seed(SEED)
    rng = seeded_rng(SEED)
    np.random.default_rng = lambda *_: rng  # scikit-image would seed its salt and pepper from the clock
    for i, name in enumerate(NAMES):
        for severity in range(1, 6):
            for j, image in enumerate(inputs):
                values = [
                    psnr(name, severity, image, j == 0) for _ in range(DRAWS if name in STOCHASTIC else 1)
                ]
                quantiles[i, severity - 1, j] = np.quantile(values, PROBABILITIES)
    record["psnr"] = quantiles

    enlarged, texture = resize(inputs[1], 32), blobs(random, 60, 3)
    cv2.imread = lambda _: texture[..., ::-1]
    uniform = np.random.RandomState(SEED).random_sample((32, 32, 3))
    np.random.poisson = lambda rate: poisson.ppf(
        uniform, rate
    )  # a draw that can be repeated from its quantiles
    np.random.default_rng = lambda *_: seeded_rng(SEED)
    for name in NAMES:
        outputs = []
        for severity in range(1, 6):
            np.random.seed(SEED)
            outputs.append(corrupt(enlarged, severity=severity, corruption_name=name)[..., ::2])
        record[name] = np.stack(outputs)
    random = np.random.RandomState(SEED)
    random.randint(5)
    grown = cv2.resize(texture, (66, 66), interpolation=cv2.INTER_CUBIC)
    top, left = random.randint(0, 34), random.randint(0, 34)
    record["frost_crop"] = grown[top : top + 32, left : left + 32]
    np.savez_compressed(path, **record)


if __name__ == "__main__":
    main(sys.argv[1])
