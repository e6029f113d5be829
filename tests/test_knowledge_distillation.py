"""MKD: its sizes, teachers and taps, its loss, guided backpropagation, its maps, and that it learns."""

import given_weights
import numpy as np
import pytest
import torch
from healthy_heads import build, heads, same_bits, separates, stack, trained
from pydantic import ValidationError
from torch import nn
from torchvision.models.vgg import cfgs, make_layers
from training_runs import copied, same, stepped

from latent_anatomy.methods import registry as methods
from latent_anatomy.methods.knowledge_distillation import stretched
from latent_anatomy.metrics.classification import auc
from latent_anatomy.networks.vgg import GuidedRelu, Vgg
from latent_anatomy.training.method import Batch, Data, Shape

MKD = "knowledge_distillation"
TINY = {"teacher": "vgg16-random", "width": 16, "batch_size": 16, "epochs": 1}


def test_parameters_and_maps_at_the_size_of_the_paper():
    """A student of 0.344 million, a teacher of 14.715 million; maps are as wide as the teacher's."""
    method = build(MKD, TINY | {"width": 64}, shape=Shape(1, 128, 128, 2)).eval()
    counts = [sum(each.numel() for each in part.parameters()) for part in (method.student, method.teacher)]
    assert counts == [343_984, 14_714_688]
    with torch.no_grad():
        for network in (method.student, method.teacher):
            shapes = [tuple(each.shape[1:]) for each in network(torch.rand(1, 3, 128, 128))]
            assert shapes == [(128, 32, 32), (256, 16, 16), (512, 8, 8), (512, 4, 4)]


def test_the_teacher_is_torchvisions_vgg16(tmp_path):
    theirs, ours = make_layers(cfgs["D"], batch_norm=False).eval(), Vgg(narrow=False)
    torch.save(
        {f"features.{name}": value for name, value in theirs.state_dict().items()}, tmp_path / "vgg.pth"
    )
    ours.load_torchvision(tmp_path / "vgg.pth")
    features, pooled = torch.rand(1, 3, 32, 32), []
    with torch.no_grad():
        maps = ours(features)
        for layer in theirs:
            features = layer(features)
            pooled += [features] if isinstance(layer, nn.MaxPool2d) else []
    torch.testing.assert_close(maps, pooled[1:])


@pytest.mark.parametrize(
    ("teacher", "file"),
    [("vgg16-torchvision", "vgg16-397923af.pth"), ("squeezenet-torchvision", "squeezenet1_1-b8a52dc0.pth")],
)
def test_a_teacher_is_registered_under_the_checksum_that_its_name_begins(teacher, file):
    [download] = methods.weights(MKD, {"teacher": teacher})
    assert download.checksums[f"{teacher}/{file}"].startswith(f"sha256:{file[-12:-4]}")
    assert methods.weights(MKD, {"teacher": "vgg16-random"}) == ()


def test_a_student_of_squeezenet_is_given_its_teachers_scaling(tmp_path):
    method = build(MKD, {"teacher": "squeezenet-keras", "batch_size": 4})
    method.load_weights(given_weights.keras(tmp_path))
    assert sum(each.numel() for each in method.student.parameters()) < 30_000
    assert torch.equal(method.student.shift, method.teacher.shift) and not method.student.ceil
    again = build(MKD, {"teacher": "squeezenet-keras", "batch_size": 4})
    again.load_state_dict(method.state_dict())
    images = heads(2, 1)[0]
    assert torch.equal(method.distances(images), again.distances(images))
    assert method.anomaly_map(stack(images)).shape == images.shape


def test_the_distance_is_of_cosine_and_squares_at_each_depth():
    method, images = build(MKD, TINY | {"lambda_mse": 0.5}).eval(), heads(3, 1)[0]
    with torch.no_grad():
        ours = method.distances(images).numpy()
        given = images.expand(-1, 3, -1, -1)
        pairs = [
            (one.numpy().astype(float), other.numpy().astype(float))
            for one, other in zip(method.student(given), method.teacher(given), strict=True)
        ]
    for depth, pair in enumerate(pairs):
        for number in range(3):
            one, other = (each[number].ravel() for each in pair)
            expected = (
                1 - one @ other / np.sqrt((one @ one) * (other @ other)) + 0.5 * ((one - other) ** 2).mean()
            )
            assert ours[number, depth] == pytest.approx(expected, rel=1e-4)


def test_guided_backpropagation_lets_no_negative_gradient_pass_in_the_student():
    features = torch.tensor([-1.0, 2.0, 3.0], requires_grad=True)
    GuidedRelu.apply(features).backward(torch.tensor([5.0, -1.0, 2.0]))
    assert features.grad.tolist() == [0, 0, 2]
    method, images = build(MKD, TINY).eval(), heads(2, 1)[0]
    given = images.expand(-1, 3, -1, -1).clone().requires_grad_()
    plain = torch.autograd.grad(method.distances(given)[:, 1:].sum(), given)[0]
    assert not torch.allclose(method.gradient(images), plain)
    with torch.inference_mode():
        torch.testing.assert_close(
            method.gradient(images)[1:], method.gradient(images[1:]), rtol=1e-3, atol=1e-7
        )


def test_a_map_goes_from_0_to_1_before_it_is_smoothed_and_is_0_where_nothing_differs():
    maps = torch.rand(3, 1, 20, 20)
    maps[2] = 0.7
    once = stretched(maps, 0.9)
    least, most = np.min(maps[0].numpy()), np.percentile(maps[0].numpy(), 90)
    np.testing.assert_allclose(once[0], ((maps[0].numpy() - least) / (most - least)).clip(0, 1), rtol=1e-5)
    assert not once[2].any()
    method = build(MKD, TINY | {"smoothing": 0}).eval()
    anomalies = method.anomaly_map(stack(heads(2, 1)[0]))
    assert anomalies.amin() == 0 and anomalies.flatten(1).amax(1).tolist() == [1, 1]


def test_only_the_student_is_trained():
    method, moves = build(MKD, TINY), []
    before = copied(method.teacher)
    given = {"train": Batch(heads(4, 1)[0])}
    stepped(method, given, lambda name, moved, wholly: moves.append((name, moved)))
    assert moves == [("student", {"student"})] and same(before, method.teacher.state_dict())
    assert same(build(MKD, TINY, 1).teacher.state_dict(), build(MKD, TINY, 2).teacher.state_dict())


def test_wrong_widths_and_images_are_refused():
    with pytest.raises(
        ValidationError, match="width: expected 64 of the teacher vgg16-torchvision, found 16"
    ):
        build(MKD, {"width": 16, "batch_size": 4})
    with pytest.raises(ValueError, match=r"1 or 3 channels and 32 pixels and more .* found 2 of 32x28"):
        build(MKD, TINY, shape=Shape(2, 32, 28, 2))


def test_same_seed_gives_same_bits(tmp_path):
    assert same_bits(tmp_path, lambda: build(MKD, TINY))


def test_it_learns_healthy_heads_and_finds_spots(tmp_path):
    """It tells images with spots by their scores, and its maps find them better than before."""
    unseen, (ill, spots) = heads(24, 8)[0], heads(24, 9, spots=True)
    method = build(MKD, TINY | {"epochs": 20, "learning_rate": 3e-3}).eval()
    before = separates(method.anomaly_map(stack(ill)), spots)
    trained(tmp_path, method, heads(96, 0)[0])
    with torch.no_grad():
        scores = method.distances(torch.cat([unseen, ill]))[:, 1:].sum(1).double().numpy()
    assert auc(np.repeat([0, 1], 24), np.stack([-scores, scores], axis=1)) > 0.7
    assert separates(method.anomaly_map(stack(ill)), spots) > max(before, 0.85)
    torch.testing.assert_close(
        method.validate(Data(unseen))["loss"], method.distances(unseen).sum(1).mean(), rtol=1e-4, atol=1e-6
    )
