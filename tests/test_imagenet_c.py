"""ImageNet-C against imagecorruptions 1.1.2 (recorded by oracle/record_imagecorruptions.py) and Pillow."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import poisson

from latent_anatomy.corruptions import imagenet_c, weather
from latent_anatomy.corruptions.blur import motion_blur
from latent_anatomy.corruptions.imagenet_c import NAMES, SEVERITIES, apply, corrupt, resample_control, sample

ORACLE = np.load(Path(__file__).parent / "oracle" / "imagecorruptions_1_1_2.npz", allow_pickle=False)
SEED, DRAWS = 7, 1000  # of the record
PROBABILITIES = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=torch.float64)
RANDOM = [name for name in NAMES if imagenet_c.CORRUPTIONS[name].sample is not None]
FIXED = [name for name in NAMES if name not in RANDOM]
# Largest share of values that may be off, all by one level, where float rounding sits on a whole level.
# Every other corruption must give the very levels of the reference.
OFF_BY_ONE = {"contrast": 0.03, "brightness": 0.02, "motion_blur": 0.01, "snow": 0.02}


def to_images(levels):
    """(N, H, W, C) uint8 to (N, C, H, W) float32."""
    return torch.from_numpy(np.ascontiguousarray(levels)).movedim(-1, 1).float() / 255


def to_levels(images):
    return torch.round(images * 255).movedim(1, -1).to(torch.uint8).numpy()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def psnr(first, second):
    return -10 * torch.log10((first.double() - second.double()).square().mean(dim=(1, 2, 3)))


def plasma_draws(random):
    """The reference's draws, each where it is used: centres of squares, then the two kinds of diamonds."""
    field, step = np.zeros((32, 32)), 32
    while step > 1:
        half = step // 2
        for rows, columns in ((half, half), (0, half), (half, 0)):
            place = field[rows::step, columns::step]
            place[:] = random.uniform(-1, 1, place.shape)
        step = half
    return field


def recorded_parameters(name):
    """What the reference drew, as our parameters of one image."""
    random = np.random.RandomState(SEED)
    draws = {
        "gaussian_noise": lambda: {"noise": random.normal(size=(32, 32, 3)).transpose(2, 0, 1)},
        "shot_noise": lambda: {"quantile": random.random_sample((32, 32, 3)).transpose(2, 0, 1)},
        "impulse_noise": lambda: dict(
            zip(
                ("flip", "salt"),
                np.random.default_rng(SEED).random((2, 32, 32, 3)).transpose(0, 3, 1, 2),
                strict=True,
            )
        ),
        "motion_blur": lambda: {"angle": random.uniform(-45, 45)},
        "snow": lambda: {"flakes": random.normal(size=(32, 32)), "angle": random.uniform(-135, -45)},
        "frost": lambda: {"frost": ORACLE["frost_crop"].transpose(2, 0, 1)},
        "fog": lambda: {"wobble": plasma_draws(random)},
        "elastic_transform": lambda: {"displacement": random.uniform(-1, 1, (2, 32, 32))},
    }
    drawn = draws[name]() if name in draws else {}
    return {key: torch.from_numpy(np.array(value))[None] for key, value in drawn.items()}


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", NAMES)
def test_same_draws_give_the_levels_of_the_reference(name, severity):
    enlarged = imagenet_c._enlarge(to_images(ORACLE["inputs"][1:]))
    parameters = recorded_parameters(name)
    ours = to_levels(apply(name, severity, enlarged, parameters))[0, :, :, ::2].astype(int)
    error = np.abs(ours - ORACLE[name][severity - 1])
    assert error.max() <= (name in OFF_BY_ONE)
    assert np.mean(error > 0) <= OFF_BY_ONE.get(name, 0)
    drawn = {} if name in FIXED else sample(name, (1, 3, 32, 32), seeded())
    assert {key: value.shape for key, value in drawn.items()} == {k: v.shape for k, v in parameters.items()}


@pytest.mark.parametrize("inputs", ["inputs", "noise"])
def test_the_resampling_alone_is_that_of_the_reference(inputs):
    control = "control" if inputs == "inputs" else "noise_control"
    images = to_images(ORACLE[inputs])
    np.testing.assert_array_equal(to_levels(resample_control(images)), ORACLE[control])
    grey = resample_control(images[:, :1])  # three equal channels and their mean
    np.testing.assert_array_equal(to_levels(grey)[..., 0], ORACLE[control][..., 0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("colour", [False, True])
def test_psnr_is_distributed_as_in_the_reference_and_falls_with_severity_where_it_does_there(name, colour):
    """The share of our values below a recorded quantile is binomial: five standard deviations are allowed."""
    count, means = 150 if name in RANDOM else 1, []
    image = to_images(ORACLE["inputs"])[int(colour)][None, : 3 if colour else 1]
    for severity in SEVERITIES:
        images = image.expand(count, -1, -1, -1)
        ours = psnr(corrupt(name, severity, images, seeded(severity)), images)
        means.append(ours.mean().item())
        theirs = torch.from_numpy(ORACLE["psnr"][NAMES.index(name), severity - 1, int(colour)]).double()
        if name in FIXED:
            assert ours.item() == pytest.approx(theirs[0].item(), abs=0.02)
        elif name == "frost":  # our own textures: near the photographs', no more
            assert (ours.quantile(PROBABILITIES) - theirs).abs().max() < 2
            assert (ours.median() - theirs[2]).abs() < 1.5
        else:
            share = (ours[:, None] <= theirs).double().mean(0)
            tolerance = 5 * (PROBABILITIES * (1 - PROBABILITIES) * (1 / count + 1 / DRAWS)).sqrt()
            assert ((share - PROBABILITIES).abs() < tolerance).all(), (severity, share)
    falls = np.diff(ORACLE["psnr"][NAMES.index(name), :, int(colour)].mean(1)) < -0.5
    assert falls.sum() >= {"frost": 1, "fog": 2}.get(name, 3)
    assert (np.diff(means)[falls] < 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_bits_and_replay_same_bits(name):
    images = torch.rand(3, 3, 32, 32, generator=seeded())
    parameters = sample(name, images.shape, seeded(1))
    again = sample(name, images.shape, seeded(1))
    assert parameters.keys() == again.keys()
    assert all(torch.equal(parameters[key], again[key]) for key in parameters)
    first = apply(name, 3, images, parameters)
    assert torch.equal(first, apply(name, 3, images, parameters))
    # an image does not depend on its neighbours in the batch
    second = {key: value[1:2] for key, value in parameters.items()}
    assert torch.equal(first[1:2], apply(name, 3, images[1:2], second))
    small = torch.rand(3, 1, 28, 28, generator=seeded())
    assert torch.equal(corrupt(name, 3, small, seeded(1)), corrupt(name, 3, small, seeded(1)))
    if name in RANDOM:
        assert not torch.equal(corrupt(name, 3, small, seeded(1)), corrupt(name, 3, small, seeded(2)))


@given(
    name=st.sampled_from(NAMES),
    severity=st.sampled_from(SEVERITIES),
    channels=st.sampled_from([1, 3]),
    count=st.integers(1, 3),
    seed=st.integers(0, 2**31),
    low=st.floats(0, 1),
    high=st.floats(0, 1),
)
@settings(max_examples=100, deadline=None)
def test_shape_type_range_and_whole_levels(name, severity, channels, count, seed, low, high):
    images = low + (high - low) * torch.rand(count, channels, 28, 28, generator=seeded(seed))
    out = corrupt(name, severity, images.clamp(0, 1), seeded(seed))
    assert out.shape == images.shape and out.dtype == torch.float32
    assert out.min() >= 0 and out.max() <= 1
    levels = out.double() * 255 * (3 if channels == 1 else 1)  # a grey value is the mean of three levels
    assert (levels - levels.round()).abs().max() < 1e-4


def test_jpeg_and_pixelate_are_those_of_pillow_on_fresh_images():
    random = np.random.default_rng(3)
    fields = torch.from_numpy(random.random((20, 3, 8, 8)))
    smooth = torch.nn.functional.interpolate(fields, size=(32, 32), mode="bicubic").clamp(0, 1).float()
    images = torch.cat([smooth, torch.from_numpy(random.random((20, 3, 32, 32))).float()])
    for severity in SEVERITIES:
        quality, side = (25, 18, 15, 10, 7)[severity - 1], (19, 16, 12, 9, 8)[severity - 1]
        pixelated, compressed = [], []
        for picture in map(Image.fromarray, to_levels(images)):
            picture.save(encoded := io.BytesIO(), "JPEG", quality=quality)
            compressed.append(np.asarray(Image.open(encoded)))
            small = picture.resize((side, side), Image.Resampling.BOX)
            pixelated.append(np.asarray(small.resize((32, 32), Image.Resampling.NEAREST)))
        np.testing.assert_array_equal(to_levels(apply("pixelate", severity, images, {})), pixelated)
        np.testing.assert_array_equal(to_levels(apply("jpeg_compression", severity, images, {})), compressed)


def test_shot_noise_counts_are_poisson_quantiles_of_every_level():
    images = (torch.arange(256).float() / 255).repeat(12).reshape(1, 3, 32, 32)
    for severity, photons in enumerate((60, 25, 12, 5, 3), start=1):
        parameters = sample("shot_noise", images.shape, seeded(severity))
        counts = poisson.ppf(
            parameters["quantile"].numpy(), images.double().mul(255).round().numpy() / 255 * photons
        )
        expected = np.floor(np.clip(counts / photons, 0, 1) * 255)
        ours = apply("shot_noise", severity, images, parameters)
        np.testing.assert_array_equal(to_levels(ours), np.moveaxis(expected, 1, -1))


@pytest.mark.parametrize(
    ("name", "key", "low", "high"),
    [
        ("motion_blur", "angle", -45, 45),
        ("snow", "angle", -135, -45),
        ("shot_noise", "quantile", 0, 1),
        ("impulse_noise", "flip", 0, 1),
        ("impulse_noise", "salt", 0, 1),
        ("fog", "wobble", -1, 1),
        ("elastic_transform", "displacement", -1, 1),
    ],
)
def test_uniform_draws_fill_their_range(name, key, low, high):
    drawn = sample(name, (2000, 3, 32, 32), seeded())[key].flatten()[:2000]
    assert low <= drawn.min() < low + 0.01 * (high - low) and high - 0.01 * (high - low) < drawn.max() <= high
    assert drawn.mean().item() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))


def test_motion_beyond_the_image_is_lost():
    white = torch.full((1, 1, 32, 32), 255.0, dtype=torch.float64)
    level = torch.zeros(1, dtype=torch.float64)
    assert motion_blur(white, (15, 12), level).min() > 254.99  # 30 pixels at most
    assert motion_blur(white, (20, 15), level).max() < 250  # 40 pixels: the last nine copies are left out


def test_procedural_frost_has_the_statistics_of_the_photographs():
    textures = weather.procedural_frost()
    assert len(textures) == len(weather.FROST)
    for texture, (mean, deviation, _) in zip(textures, weather.FROST, strict=True):
        values = texture.double().flatten(1)
        assert values.mean(1).tolist() == pytest.approx(mean, abs=1)
        assert values.std(1).tolist() == pytest.approx(deviation, rel=0.05)
        inside = texture.double().mean(0).unfold(0, 32, 32).unfold(1, 32, 32).var(dim=(2, 3)).mean()
        share = (inside / texture.double().mean(0).var()).item()
        assert 0.25 < share < 0.7  # the photographs: 0.37 to 0.55


def test_given_frost_textures_are_cropped_as_they_are():
    texture = torch.arange(3 * 40 * 50).remainder(251).to(torch.uint8).reshape(3, 40, 50)
    crops = sample("frost", (5, 3, 32, 32), seeded(), frost_texture=[texture])["frost"]
    windows = texture.unfold(1, 32, 1).unfold(2, 32, 1).flatten(1, 2).transpose(0, 1)
    assert all((windows == crop).flatten(1).all(1).any() for crop in crops)
    assert len({tuple(crop.flatten().tolist()) for crop in crops}) > 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x, g: corrupt("glass_blur", 1, x, g),
            "corruption: expected one of gaussian_noise.*'glass_blur'",
        ),
        (lambda x, g: corrupt("fog", 0, x, g), r"severity: expected one of \(1, 2, 3, 4, 5\), found 0"),
        (
            lambda x, g: corrupt("fog", 1, x[0], g),
            r"images: expected \(N, 1 or 3, 28, 28\), found \(1, 28, 28\)",
        ),
        (lambda x, g: corrupt("fog", 1, x.expand(-1, 2, -1, -1), g), r"found \(1, 2, 28, 28\)"),
        (lambda x, g: corrupt("fog", 1, x * 255, g), "divide 8-bit images by 255"),
        (lambda x, g: corrupt("fog", 1, (x * 255).byte(), g), "found torch.uint8"),
        (lambda x, g: corrupt("fog", 1, x / 0 * 0, g), r"expected floating point values in \[0, 1\].*nan"),
        (lambda x, g: sample("fog", (2, 3, 28, 28), g), r"expected \(N, 3, 32, 32\), found \(2, 3, 28, 28\)"),
        (lambda x, g: apply("fog", 1, x, {}), r"expected \(N, 3, 32, 32\), found \(1, 1, 28, 28\)"),
        (lambda x, g: corrupt("frost", 1, x, g, frost_texture="photographs"), "'procedural' or tensors"),
        (lambda x, g: corrupt("frost", 1, x, g, frost_texture=[x[0]]), r"uint8 textures \(3, h, w\)"),
    ],
)
def test_bad_input_is_one_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.full((1, 1, 28, 28), 0.5), seeded())
