"""Record what albumentations does, for tests/test_augment.py, as albumentations_1_3_1.npz beside this file.

Made with Python 3.11, albumentations 1.3.1, opencv-python 4.11.0.86, numpy 1.26.4, in an environment of its
own (albumentations is archived and wants numpy < 2, so the project does not depend on it):

    python tests/oracle/record_albumentations.py

Keys: `<kind>/images` (N, H, W, C) uint8, kind rgb or grey; for each corruption `<kind>/<name>/output` uint8
and `<kind>/<name>/<parameter>`: the result for one set of parameters per image; `<kind>/<name>/psnr`: the
quantiles `quantiles` of PSNR(corrupted, clean) in dB over DRAWS random draws per image, all images pooled;
`lines/<k>`: every line that cv2.line draws in a k x k square, (x1, y1, x2, y2, row, column) as packed bits.
"""

import random
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
from albumentations.augmentations import functional as F
from albumentations.augmentations.blur import functional as blur

N, HEIGHT, WIDTH = 3, 16, 28  # not square, so that a mixed-up axis shows; see colour.py for widths from 32 on
DRAWS = 2500
HIGHEST = 60.0  # dB, where nothing changed
QUANTILES = np.linspace(0.01, 0.99, 50)
AREA = A.Downscale.Interpolation(downscale=cv2.INTER_AREA, upscale=cv2.INTER_AREA)
TRANSFORMS = {
    "PixelDropout": A.PixelDropout(p=1),
    "GaussianBlur": A.GaussianBlur(p=1),
    "ColorJitter": A.ColorJitter(p=1),
    "Downscale": A.Downscale(0.5, 0.9, interpolation=AREA, p=1),
    "GaussNoise": A.GaussNoise(p=1),
    "InvertImg": A.InvertImg(p=1),
    "MotionBlur": A.MotionBlur(p=1),
    "MultiplicativeNoise": A.MultiplicativeNoise(p=1),
    "RandomBrightnessContrast": A.RandomBrightnessContrast(p=1),
    "RandomGamma": A.RandomGamma(p=1),
    "Solarize": A.Solarize(threshold=128, p=1),
    "Sharpen": A.Sharpen(p=1),
}


def make_images(rng: np.random.Generator, n: int, channels: int) -> np.ndarray:
    """Smooth blobs with a little noise, some of it beyond 0 and 255, and a flat corner."""
    coarse = rng.uniform(-0.2, 1.2, (n, 5, 6, channels))
    smooth = np.stack([cv2.resize(c, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) for c in coarse])
    images = smooth.reshape(n, HEIGHT, WIDTH, channels) * 255 + rng.normal(0, 4, (n, HEIGHT, WIDTH, channels))
    images[:, :6, :6] = rng.uniform(0, 255, (n, 1, 1, channels))
    return images.clip(0, 255).astype(np.uint8)


def line(start, end, size: int) -> np.ndarray:
    square = np.zeros((size, size), np.uint8)
    cv2.line(square, tuple(map(int, start)), tuple(map(int, end)), 1, thickness=1)
    return square


def fixed(name: str, image: np.ndarray, rng: np.random.Generator) -> tuple[dict, np.ndarray]:
    """One draw of the parameters, under the names that the project gives them, and albumentations' result."""
    if name == "PixelDropout":
        mask = rng.random((*image.shape[:2], 1)) < 0.01
        return {"dropped": mask}, F.pixel_dropout(image, mask, 0)
    if name == "GaussianBlur":
        size = int(rng.choice([3, 5, 7]))
        return {"size": size}, blur.gaussian_blur(image, size, sigma=0)
    if name == "ColorJitter":
        brightness, contrast, saturation = rng.uniform(0.8, 1.2, 3)
        values = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        values |= {"hue": rng.uniform(-0.2, 0.2), "order": rng.permutation(4)}
        return values, TRANSFORMS[name].apply(image, **values)
    if name == "Downscale":
        scale = rng.uniform(0.5, 0.9)
        return {"scale": scale}, TRANSFORMS[name].apply(image, scale=scale)
    if name == "GaussNoise":
        noise = rng.normal(0, rng.uniform(10, 50) ** 0.5, image.shape).astype(np.float16)  # half the bytes
        return {"noise": noise}, F.gauss_noise(image, noise.astype(np.float64))
    if name == "InvertImg":
        return {}, F.invert(image)
    if name == "MotionBlur":
        size = int(rng.choice([3, 5, 7]))
        start, end = np.stack(np.divmod(rng.choice(size**2, 2, replace=False), size), 1)
        kernel = line(start, end, size)
        output = F.convolve(image, kernel=kernel.astype(np.float32) / np.sum(kernel))
        return {"start": start, "end": end, "size": size}, output
    if name == "MultiplicativeNoise":
        multiplier = rng.uniform(0.9, 1.1)
        return {"multiplier": multiplier}, F.multiply(image, np.array([multiplier]))
    if name == "RandomBrightnessContrast":
        alpha, beta = rng.uniform(0.8, 1.2), rng.uniform(-0.2, 0.2)
        return {"alpha": alpha, "beta": beta * 255}, F.brightness_contrast_adjust(image, alpha, beta, True)
    if name == "RandomGamma":
        gamma = rng.uniform(0.8, 1.2)
        return {"gamma": gamma}, F.gamma_transform(image, gamma)
    if name == "Solarize":
        return {}, F.solarize(image, 128)
    alpha, lightness = rng.uniform(0.2, 0.5), rng.uniform(0.5, 1.0)
    matrix = TRANSFORMS[name]._Sharpen__generate_sharpening_matrix(alpha, lightness)
    return {"alpha": alpha, "lightness": lightness}, F.convolve(image, matrix)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.mean((a.astype(np.float64) - b) ** 2) / 255**2
    return min(HIGHEST, -10 * np.log10(error)) if error else HIGHEST


def record(rng: np.random.Generator, n: int, draws: int) -> dict[str, np.ndarray]:
    arrays = {"quantiles": QUANTILES}
    for kind, channels in (("rgb", 3), ("grey", 1)):
        images = arrays[f"{kind}/images"] = make_images(rng, n, channels)
        for name, transform in TRANSFORMS.items():
            results = [fixed(name, image, rng) for image in images]
            for parameter in results[0][0]:
                arrays[f"{kind}/{name}/{parameter}"] = np.stack([values[parameter] for values, _ in results])
            arrays[f"{kind}/{name}/output"] = np.stack([output for _, output in results]).reshape(
                images.shape
            )
            if draws:
                values = [
                    psnr(transform(image=i)["image"].reshape(i.shape), i)
                    for i in images
                    for _ in range(draws)
                ]
                arrays[f"{kind}/{name}/psnr"] = np.quantile(values, QUANTILES).astype(np.float32)
    for size in (3, 5, 7):
        ends = np.stack(np.meshgrid(*[np.arange(size)] * 4, indexing="ij"), -1).reshape(-1, 4)
        arrays[f"lines/{size}"] = np.packbits([line(e[:2], e[2:], size) for e in ends])
    return arrays


if __name__ == "__main__":
    assert A.__version__ == "1.3.1", A.__version__
    random.seed(1)
    arrays = record(np.random.default_rng(1), N, DRAWS)
    np.savez_compressed(Path(__file__).with_name("albumentations_1_3_1.npz"), **arrays)
