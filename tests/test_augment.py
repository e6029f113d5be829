"""The 12 training corruptions: albumentations' results and distributions, replay, seeds, the grid k / 255."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latent_anatomy.corruptions import filters
from latent_anatomy.corruptions.augment import (
    NAMES,
    apply,
    augment,
    corrupt_one,
    replay,
    sample,
    sample_augment,
    sample_one,
)

ORACLE = Path(__file__).parent / "oracle" / "albumentations_1_3_1.npz"
KINDS = ("rgb", "grey")
DRAWS = 1000  # per image; the recording has 2500
HIGHEST = 60.0  # dB, as in the recording
FLOAT32 = {"noise", "multiplier", "alpha", "beta"}  # parameters that albumentations applies in float32


@pytest.fixture(scope="module")
def oracle():
    with np.load(ORACLE, allow_pickle=False) as arrays:
        return dict(arrays)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(
    n: int, channels: int = 3, height: int = 28, width: int = 28, seed: int = 0
) -> torch.Tensor:
    levels = torch.randint(256, (n, channels, height, width), generator=seeded(seed))
    return levels.float() / 255


def tensor(array: np.ndarray) -> torch.Tensor:
    """Arrays of images (N, H, W, C) become (N, C, H, W)."""
    values = torch.from_numpy(array)
    return values.permute(0, 3, 1, 2) if values.ndim == 4 else values


def recorded(oracle, kind: str, name: str) -> dict[str, torch.Tensor]:
    prefix = f"{kind}/{name}/"
    keys = [k.removeprefix(prefix) for k in oracle if k.startswith(prefix)]
    values = {k: tensor(oracle[prefix + k]) for k in keys if k not in ("output", "psnr")}
    float32 = FLOAT32 if name != "Sharpen" else set()
    return {k: v.float() if k in float32 else v for k, v in values.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_fixed_parameters_give_albumentations_result(oracle, kind, name):
    images = tensor(oracle[f"{kind}/images"]).float() / 255
    result = apply(name, images, recorded(oracle, kind, name)) * 255
    difference = (result.round() - tensor(oracle[f"{kind}/{name}/output"]).float()).abs()
    if (kind, name) == ("rgb", "ColorJitter"):
        # a tie in HSV -> RGB may fall on the other side, and a later step act on it
        assert difference.max() <= 2 and (difference > 0).float().mean() < 1e-3
    else:
        assert difference.max() == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_psnr_is_distributed_as_albumentations(oracle, kind, name):
    """Our distribution function is within 0.04 at each recorded quantile (KS, 3000 to 7500 draws: p .002)."""
    images = tensor(oracle[f"{kind}/images"]).float().div(255).repeat_interleave(DRAWS, 0)
    corrupted = apply(name, images, sample(name, images.shape, seeded(1)))
    error = (corrupted - images).double().square().mean((1, 2, 3))
    psnr = (-10 * error.log10()).clamp(max=HIGHEST)
    quantiles = torch.from_numpy(oracle[f"{kind}/{name}/psnr"]).unsqueeze(1)
    # Where only a few values are possible the distribution function jumps: any height of the jump will do.
    below = (psnr < quantiles - 0.01).double().mean(1)
    up_to = (psnr <= quantiles + 0.01).double().mean(1)
    probability = torch.from_numpy(oracle["quantiles"])
    assert (below <= probability + 0.04).all() and (up_to >= probability - 0.04).all()


@pytest.mark.parametrize("size", [3, 5, 7])
def test_lines_are_those_of_opencv(oracle, size):
    ends = torch.cartesian_prod(*[torch.arange(size)] * 4)
    drawn = np.unpackbits(oracle[f"lines/{size}"], count=len(ends) * size**2).reshape(-1, size, size)
    distinct = (ends[:, :2] != ends[:, 2:]).any(1)
    ends, drawn = ends[distinct], torch.from_numpy(drawn)[distinct]
    kernels = filters.line_kernels(ends[:, :2], ends[:, 2:], torch.full((len(ends),), size))
    margin = (7 - size) // 2
    expected = torch.nn.functional.pad(drawn, [margin] * 4)
    assert torch.equal((kernels > 0).to(torch.uint8), expected)
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(len(ends)))


def test_the_names_are_those_of_the_figure():
    assert len(NAMES) == 12
    assert NAMES[0] == "PixelDropout" and NAMES[-1] == "Sharpen"


def test_drawn_parameters_cover_their_ranges():
    shape = (20_000, 3, 5, 5)
    drawn = {name: sample(name, shape, seeded(2)) for name in NAMES}
    for name, key, low, high in [
        ("ColorJitter", "brightness", 0.8, 1.2),
        ("ColorJitter", "contrast", 0.8, 1.2),
        ("ColorJitter", "saturation", 0.8, 1.2),
        ("ColorJitter", "hue", -0.2, 0.2),
        ("Downscale", "scale", 0.5, 0.9),
        ("MultiplicativeNoise", "multiplier", 0.9, 1.1),
        ("RandomBrightnessContrast", "alpha", 0.8, 1.2),
        ("RandomBrightnessContrast", "beta", -51.0, 51.0),
        ("RandomGamma", "gamma", 0.8, 1.2),
        ("Sharpen", "alpha", 0.2, 0.5),
        ("Sharpen", "lightness", 0.5, 1.0),
    ]:
        scaled = (drawn[name][key].double() - low) / (high - low)
        assert -1e-6 <= scaled.min() < 0.001 and 0.999 < scaled.max() <= 1 + 1e-6, (name, key)
        assert abs(scaled.mean() - 0.5) < 0.01, (name, key)
    assert abs(drawn["PixelDropout"]["dropped"].float().mean() - 0.01) < 0.001
    variance = drawn["GaussNoise"]["noise"].square().mean((1, 2, 3))
    assert abs(variance.mean() - 30) < 0.5
    sizes = drawn["GaussianBlur"]["size"].bincount() / shape[0]
    torch.testing.assert_close(sizes[[3, 5, 7]], torch.tensor([0.2, 0.4, 0.4]), atol=0.02, rtol=0)
    orders = drawn["ColorJitter"]["order"] @ torch.tensor([64, 16, 4, 1])
    assert len(orders.unique()) == 24 and orders.bincount().max() < 1.2 * shape[0] / 24
    blur = drawn["MotionBlur"]
    assert (blur["start"] != blur["end"]).any(1).all()
    assert ((blur["start"] >= 0) & (blur["start"] < blur["size"].unsqueeze(1))).all()
    sizes = blur["size"].bincount() / shape[0]
    torch.testing.assert_close(sizes[[3, 5, 7]], torch.full((3,), 1 / 3), atol=0.02, rtol=0)


shapes = st.tuples(st.integers(1, 5), st.sampled_from([1, 3]), st.integers(5, 31), st.integers(5, 31))


@settings(max_examples=25, deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**31), p=st.sampled_from([0.25, 1.0]))
def test_output_stays_on_the_grid_and_replays_to_the_bit(shape, seed, p):
    images = random_images(*shape, seed=seed)
    before = images.clone()
    record = sample_augment(shape, p, seeded(seed))
    corrupted = replay(images, record)
    assert corrupted.shape == images.shape and corrupted.dtype == torch.float32
    assert torch.equal(corrupted, (corrupted * 255).round() / 255)
    assert corrupted.min() >= 0 and corrupted.max() <= 1
    assert torch.equal(images, before)
    assert torch.equal(replay(images, record), corrupted)
    assert torch.equal(augment(images, p, seeded(seed)), corrupted)


@settings(max_examples=15, deadline=None)
@given(shape=shapes, name=st.sampled_from(NAMES), seed=st.integers(0, 2**31))
def test_an_image_is_corrupted_the_same_alone_and_in_a_batch(shape, name, seed):
    images = random_images(*shape, seed=seed)
    parameters = sample(name, shape, seeded(seed))
    together = apply(name, images, parameters)
    for i in range(shape[0]):
        alone = apply(name, images[i : i + 1], {k: v[i : i + 1] for k, v in parameters.items()})
        assert torch.equal(alone[0], together[i])


@pytest.mark.parametrize("channels", [1, 3])
def test_same_seed_same_bits_and_another_seed_others(channels):
    images = random_images(32, channels)
    for corrupt in (augment, lambda x, generator: corrupt_one(x, generator)[0]):
        assert torch.equal(corrupt(images, generator=seeded(3)), corrupt(images, generator=seeded(3)))
        assert not torch.equal(corrupt(images, generator=seeded(3)), corrupt(images, generator=seeded(4)))


def test_the_global_generator_is_used_by_default():
    images = random_images(8)
    torch.manual_seed(5)
    first = augment(images)
    torch.manual_seed(5)
    assert torch.equal(augment(images), first)


def test_probability_zero_is_the_identity_and_one_changes_every_image():
    images = random_images(64)
    assert torch.equal(augment(images, p=0.0), images)
    assert (augment(images, p=1.0) != images).flatten(1).any(1).all()


def test_three_corruptions_are_active_on_average():
    record = sample_augment((20_000, 1, 5, 5), 0.25, seeded(6))
    active = torch.stack([chosen for chosen, _ in record.values()]).sum(0).float()
    assert abs(active.mean() - 3) < 0.05
    assert abs((active == 0).float().mean() - 0.75**12) < 0.005
    assert list(record) == list(NAMES)


def test_corruption_detection_leaves_clean_images_alone():
    images = random_images(2000, height=8, width=8)
    corrupted, labels = corrupt_one(images, seeded(7))
    assert labels.dtype == torch.int64 and abs(labels.float().mean() - 0.5) < 0.05
    assert torch.equal(corrupted[labels == 0], images[labels == 0])
    changed = (corrupted != images).flatten(1).any(1)
    # A dropout of 1 % of 64 pixels often drops none, and nothing else leaves a random image as it was.
    assert changed[labels == 1].float().mean() > 0.9

    record, same = sample_one(images.shape, seeded(7))
    assert torch.equal(same, labels)
    chosen = torch.stack([chosen for chosen, _ in record.values()])
    assert torch.equal(chosen.sum(0), labels)
    assert (chosen.sum(1) > 2000 / 24 * 0.6).all()


def test_grey_images_ignore_hue_and_saturation():
    images = random_images(16, channels=1)
    parameters = sample("ColorJitter", images.shape, seeded(8))
    neutral = {**parameters, "saturation": torch.ones(16).double(), "hue": torch.zeros(16).double()}
    assert torch.equal(apply("ColorJitter", images, parameters), apply("ColorJitter", images, neutral))


def test_an_accelerator_never_has_to_answer():
    """On the meta device there are no values: reading one, or selecting by one, raises."""
    images = torch.empty(4, 3, 28, 28, device="meta")
    assert augment(images).shape == images.shape
    assert corrupt_one(images)[1].shape == (4,)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 2, 28, 28), "1 or 3"),
        (torch.zeros(3, 28, 28), "1 or 3"),
        (torch.zeros(2, 3, 28, 4), "at least 5"),
        (torch.zeros(2, 3, 28, 28, dtype=torch.uint8), "divide uint8 images by 255"),
        (torch.zeros(2, 3, 28, 28, dtype=torch.float64), "float32"),
    ],
)
def test_images_of_another_kind_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        augment(images)
