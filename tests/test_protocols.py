"""What every protocol keeps to, those that are added later too: `evaluation.protocol` in a test.

A protocol that none of the methods and data here can answer needs a pair of its own in `ASKED`.
"""

from dataclasses import replace
from fnmatch import fnmatch
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from synthetic_bars import Classifier, Pixels, make
from synthetic_discs import Exact, alone, subjects_of_three_splits
from synthetic_latents import Known, three_splits
from test_evaluation_anomalies import Flat
from test_evaluation_anomalies import splits as wounds
from test_evaluation_volume import Levels

from latent_anatomy.evaluation import registry, scores
from latent_anatomy.evaluation.common import Settings
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.training.method import Data

QUICK = {  # settings that make a protocol take a moment
    "formulas": {"map_perceptual": "random"},
    "lpips": {"perceptual": "random"},
    "probing": {"epochs": 1, "draws": 1},
    "consistency": {"clusters": (3,), "codebooks": 2, "subcohorts": 1},
    "survival": {"clusters": 3, "repeats": 1},
    "robustness": {"severities": (5,), "probe_epochs": 1},
    "separation": {"draws": 1},
    "volume": {"epochs": 1, "steps": 1, "areas": "all"},
}


GO_ON_TRAINING = {"volume"}  # which a method here must be able to do, as every real one is


class Brightness(torch.nn.Module):
    """The image is its own anomaly map."""

    def anomaly_map(self, stack):
        return stack.images


def bars() -> dict[str, Data]:
    return {name: make(24, seed, 3) for seed, name in enumerate(("train", "val", "test"))}


def heads() -> dict[str, Data]:
    """The discs as lesions in a brain that is as large as the image."""
    splits = {name: alone(data) for name, data in subjects_of_three_splits().items()}
    for name, data in splits.items():
        masks = torch.stack([torch.ones_like(data.masks[:, 1]), data.masks[:, 1]], dim=1)
        subject = tuple(map("-".join, zip(data.subject, data.phase, strict=True)))
        splits[name] = replace(data, masks=masks, mask_names=("brain", "lesion"), subject=subject)
    return splits


def large_wounds() -> dict[str, Data]:
    """As large as networks need that were trained on photographs; without boxes and masks."""
    bare = {"boxes": None, "box_names": (), "masks": None, "mask_names": ()}
    return {
        name: replace(each, stored=F.interpolate(each.stored, 32), **bare) for name, each in wounds().items()
    }


ASKED = (
    (Pixels, bars),
    (lambda: Classifier("disease"), bars),
    (lambda: Classifier("corruption"), bars),
    (Exact, subjects_of_three_splits),
    (Levels, lambda: {name: alone(data) for name, data in subjects_of_three_splits().items()}),
    (Brightness, heads),
    (Flat, heads),
    (Brightness, wounds),
    (Flat, wounds),
    (Flat, large_wounds),
    (Known, three_splits),
)


@cache
def answers(name: str) -> list[tuple[Results, dict[str, Data]]]:
    """What each method and data set of ASKED answers that can be asked."""
    protocol, found = registry.load(name), []
    for build, data in ASKED:
        method, splits = build(), data()
        if name in GO_ON_TRAINING and not hasattr(method, "optimisers"):
            continue
        if registry.applies(name, method) and protocol.possible(splits):
            settings = protocol.Params(**QUICK.get(name, {}))
            found.append((protocol.evaluate(method, splits, settings, "multi-class", 3), splits))
    return found


every_protocol = pytest.mark.parametrize("name", registry.names())


@every_protocol
def test_a_protocol_says_what_it_needs_and_refuses_settings_that_it_does_not_have(name):
    protocol = registry.load(name)
    assert protocol.NEEDS and all(line for line in protocol.NEEDS)
    assert {word.split()[0] for line in protocol.NEEDS for word in line} <= set(registry.CAPABILITIES)
    assert issubclass(protocol.Params, Settings)
    with pytest.raises(ValueError, match="nobody_knows"):
        protocol.Params(nobody_knows=3)
    assert answers(name), "expected a method and data in ASKED that can answer it"


@every_protocol
def test_metrics_and_tables_are_its_own_and_finite(name):
    for results, _ in answers(name):
        assert results.metrics and all(metric.startswith(f"{name}/") for metric in results.metrics)
        assert all(isinstance(value, float) and np.isfinite(value) for value in results.metrics.values())
        for table in results.tables.values():
            assert table.rows and all(len(row) == len(table.columns) for row in table.rows)


@every_protocol
def test_every_array_is_a_picture_or_paired_or_says_why_not(name):
    protocol = registry.load(name)
    unpaired, left = getattr(protocol, "UNPAIRED", {}), set()
    for results, splits in answers(name):
        pairs = protocol.paired(results.arrays)
        assert all(metric.startswith(f"{name}/") for metric in pairs)
        given = {**results.arrays, "subject": np.array(splits["test"].subject)}
        scores.of(given, pairs)  # or it says what is wrong
        named = {array for pair in pairs.values() for array in pair.names}
        left |= {array for array in results.arrays if array not in named and not array.startswith("figure/")}
        assert not [each for each in named for pattern in unpaired if fnmatch(each, pattern)]
    nobodys = [array for array in left if not any(fnmatch(array, pattern) for pattern in unpaired)]
    assert not nobodys, f"{name}: neither paired nor in UNPAIRED, with a reason: {nobodys}"
    assert all(unpaired.values()) and all(any(fnmatch(each, one) for each in left) for one in unpaired)


def test_an_unknown_protocol_is_one_clear_line():
    with pytest.raises(ValueError, match=r"a protocol among anomalies, .*, found 'guessing': add"):
        registry.load("guessing")


# What is written for the paired tests


def test_scores_are_read_as_they_were_written_and_nothing_more(tmp_path):
    (results, splits), *_ = answers("robustness")
    given = {**results.arrays, "subject": np.array(splits["test"].subject)}
    written = scores.of(given, registry.load("robustness").paired(results.arrays))
    scores.write(tmp_path / "scores.npz", written)
    read = scores.read(tmp_path / "scores.npz")
    assert read.paired == written.paired and read.arrays.keys() == written.arrays.keys()
    assert all(np.array_equal(read.arrays[name], values) for name, values in written.arrays.items())
    assert not [name for name in read.arrays if name.startswith(("figure/", "robustness/resampled"))]
    first = (tmp_path / "scores.npz").read_bytes()
    scores.write(tmp_path / "scores.npz", read)
    assert (tmp_path / "scores.npz").read_bytes() == first


def test_an_array_that_no_protocol_pairs_is_not_left_untested(tmp_path):
    path = tmp_path / "scores.npz"
    scores.write(path, scores.Scores({}, {"guessing/luck": np.zeros(3)}))
    with pytest.raises(ValueError, match=r"scores\.npz: expected arrays .* pairs, found 'guessing/luck'"):
        scores.read(path)
    np.savez(path, luck=np.zeros(3))
    with pytest.raises(ValueError, match="expected an entry 'paired', found none"):
        scores.read(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "found no 'guessing/luck'"),
        ({"guessing/luck": np.zeros(2)}, "expected arrays of one length"),
        ({"guessing/luck": np.zeros((3, 2))}, r"values \(n,\) without, found \(3, 2\)"),
    ],
)
def test_arrays_that_are_not_what_paired_says_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        scores.of({"subject": np.array(["a", "b", "c"])} | values, {"luck": Paired(("guessing/luck",))})
