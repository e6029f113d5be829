"""Several data sets as one: named by their members, with their slices and their splits."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import yaml
from conftest import ROOT
from rich_project import DATASET, OTHER, POOL

from latent_anatomy.data import slices_file
from latent_anatomy.data.pool import pooled
from latent_anatomy.data.slices import Slices
from latent_anatomy.data.slices_check import check
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import availability, layout, params, resolve

CONTENT = yaml.safe_load((ROOT / "params.yaml").read_text())


def member(name: str, count: int = 6, **columns: object) -> Slices:
    """Slices of three people, one in each split."""
    people = np.repeat(["a", "b", "c"], count // 3)
    return Slices(
        images=np.full((count, 1, 4, 4), len(name), dtype=np.uint8),
        subject=people,
        slice=np.arange(count, dtype=np.int32) % (count // 3),
        split=np.repeat(["train", "val", "test"], count // 3),
        modality=np.repeat(name, count),
        dataset=name,
        task="binary-class",
        classes=2,
        labels=np.arange(count, dtype=np.int64) % 2,
        **columns,
    )


def test_everybody_keeps_split_pair_and_boxes():
    pair = np.array([1, 0, -1, -1, 5, 4])
    boxes = np.array([[0, 1, 1, 2, 2, 0], [5, 0, 0, 1, 1, 0]], dtype=np.int32)
    one, other = (member(name, pair=pair, boxes=boxes, box_names=("lesion",)) for name in ("one", "other"))
    found = pooled("one__other", {"one": one, "other": other})
    check(found, "a pool")
    assert found.dataset == "one__other" and len(found) == 12
    assert found.subject.tolist() == [f"{name}:{who}" for name in ("one", "other") for who in one.subject]
    assert found.split.tolist() == [*one.split, *other.split]
    assert found.pair.tolist() == [1, 0, -1, -1, 5, 4, 7, 6, -1, -1, 11, 10]
    assert found.boxes[:, 0].tolist() == [0, 5, 6, 11]
    assert found.select("test").modality.tolist() == ["one", "one", "other", "other"]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (
            {"images": np.zeros((6, 1, 5, 4), np.uint8)},
            r"images of shape \(1, 4, 4\) .*\(1, 5, 4\) in other",
        ),
        ({"images": np.zeros((6, 1, 4, 4), np.float32)}, "images of type uint8 of all.*float32 in other"),
        ({"classes": 3}, "classes 2 of all, as of one, found 3 in other"),
        ({"masks": np.zeros((6, 1, 4, 4), np.uint8), "mask_names": ("lesion",)}, "columns .* of all.*masks"),
        ({"task": "multi-class"}, "task binary-class of all"),
    ],
)
def test_members_of_another_kind_are_refused_in_one_line(changed, named):
    with pytest.raises(ValueError, match=f"^one__other: expected {named}.*: prepare them alike") as caught:
        pooled("one__other", {"one": member("one"), "other": replace(member("other"), **changed)})
    assert "\n" not in str(caught.value)


def test_a_pool_is_found_by_the_names_of_its_members():
    pool = datasets.find(f"{POOL}.fold.100")
    assert pool.name == POOL and pool.phantom and pool.names == (DATASET, OTHER)
    assert datasets.known(POOL) and not datasets.known(f"{DATASET}__imaginary")
    with pytest.raises(ValueError, match="found 'imaginary__ixi'"):
        datasets.find("imaginary__ixi")
    with pytest.raises(ValueError, match="each member of a pool once"):
        datasets.find(f"{DATASET}__{DATASET}")
    with pytest.raises(ValueError, match="a pool of phantoms or of real data sets"):
        datasets.find(f"breastmnist__{DATASET}")


def with_pool(data: str, pool: str) -> dict:
    """params.yaml in which the study `unoranic` is about a pool."""
    content = deepcopy(CONTENT) | {"data": data}
    content["collections"][data]["studies"]["unoranic"] = {"datasets": [pool], "seeds": [1]}
    return content


def test_a_pool_has_jobs_as_any_data_set_and_its_slices_are_made_of_those_of_its_members():
    jobs = resolve.resolve(params.validate(with_pool("phantom", POOL)))
    assert jobs[f"slice/{POOL}"]["members"] == [DATASET, OTHER]
    assert jobs[f"train/unoranic/{POOL}/ae/seed-1"]["dataset"] == POOL
    made = layout.slices(POOL)
    assert made.inputs == {name: f"data/slices/{name}.h5" for name in (DATASET, OTHER)}
    assert [each.path for each in made.made_of] == list(made.inputs.values())


def test_members_are_listed_and_a_pool_is_not_built_where_one_of_them_cannot_be_had(tmp_path):
    with pytest.raises(params.ParamsError, match="found 'bloodmnist' 0 times"):
        params.validate(with_pool("at-hand", "retinamnist__bloodmnist"))
    pool = "retinamnist__breastmnist-resaved"
    content = with_pool("at-hand", pool)
    content["collections"]["at-hand"]["studies"]["unoranic"]["datasets"].append("retinamnist")
    found = params.validate(content)
    (tmp_path / "retinamnist").mkdir()
    (tmp_path / "retinamnist/retinamnist.npz").touch()
    left, said = availability.reduced(found, tmp_path, None)
    assert left.collection.pools == [] and "retinamnist" in left.collection.images
    assert any(line.startswith(f"Not built: {pool}: breastmnist-resaved: ") for line in said)


@pytest.mark.slow
def test_the_slices_of_two_phantoms_are_one_data_set(rich):
    pool, *members = (slices_file.read(rich / f"data/slices/{name}.h5") for name in (POOL, DATASET, OTHER))
    assert len(pool) == sum(map(len, members)) and pool.dataset == POOL
    for split in ("train", "val", "test"):
        images = [each.select(split).images for each in members]
        assert np.array_equal(pool.select(split).images, np.concatenate(images))
