"""A job uses only what its own file expects: damaged, edited, stale and foreign inputs are refused."""

import json
import shutil
import struct

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save
from test_jobs import files, run_evaluate, run_train, write_job  # noqa: F401

from latent_anatomy.ledger import build
from latent_anatomy.provenance import formats, verify
from latent_anatomy.provenance.files import canonical_json, digest, write_json
from latent_anatomy.provenance.passport import sealed

REFUSED = "run again what makes it"


@pytest.fixture
def trained(files):  # noqa: F811
    run_train(files)
    return files


def resealed(path, weights, **changed) -> None:
    """Write other weights with a passport that is sealed for them, as somebody would who knows how."""
    proof = {key: value for key, value in formats.read_passport(path).items() if key != "seal"} | changed
    proof["content"] = formats.of_safetensors(save(weights))
    whole = sealed({key: value for key, value in proof.items() if key != "content"}, content=proof["content"])
    path.write_bytes(save(weights, metadata={"passport": canonical_json(whole)}))


@pytest.mark.parametrize("other", [{"seed": 2}, {"epochs": 1}])
def test_the_checkpoint_of_another_seed_and_a_stale_one_are_not_evaluated(trained, tmp_path, other):
    run_train(trained, train=write_job(tmp_path, "train", **other))
    [(key, value)] = other.items()
    with pytest.raises(ValueError, match=rf"expected (params\.)?{key} \d, found .* with {value}.*{REFUSED}"):
        run_evaluate(trained)
    assert not trained["metrics"].exists()


def test_a_checkpoint_of_other_sources_is_not_evaluated_where_the_job_names_its_maker(trained):
    job = json.loads(trained["evaluate"].read_text())
    made = json.loads(trained["train"].read_text())
    for maker, complaint in (
        (digest(made), None),
        (digest(made | {"source": "1" * 64}), "of other parameters"),
    ):
        write_json(trained["evaluate"], job | {verify.MADE_BY: {"model": maker}})
        if complaint is None:
            run_evaluate(trained)
            assert verify.MADE_BY not in json.loads(trained["passport"].read_text())["job"]
        else:
            with pytest.raises(ValueError, match=complaint):
                run_evaluate(trained)


def test_every_flipped_bit_of_a_checkpoint_is_found(trained):
    whole = trained["model"].read_bytes()
    start = 8 + struct.unpack_from("<Q", whole)[0]
    places = np.random.default_rng(0).integers(start, len(whole), 20).tolist()
    for place in [*places, start, len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        trained["model"].write_bytes(damaged)
        with pytest.raises(ValueError, match=REFUSED):
            run_evaluate(trained)
    assert not trained["metrics"].exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_however_well_they_are_sealed(trained, value):
    weights = load_file(trained["model"])
    name = max(weights, key=lambda each: weights[each].numel())
    weights[name].view(-1)[0] = value
    resealed(trained["model"], weights)
    with pytest.raises(ValueError, match=f"expected finite weights, found NaN or infinity .* such as {name}"):
        run_evaluate(trained)


def test_a_checkpoint_that_was_trained_on_other_slices_is_not_evaluated(trained):
    passport = formats.read_passport(trained["model"])
    resealed(trained["model"], load_file(trained["model"]), inputs=passport["inputs"] | {"slices": "0" * 64})
    with pytest.raises(ValueError, match="expected it to be made of slices"):
        run_evaluate(trained)


def inverted(file) -> None:
    file["images"][...] = 255 - file["images"][()]


def reversed_labels(file) -> None:
    file["labels"][...] = file["labels"][()][::-1]


def test_rows_to_train(file) -> None:
    column = file["split"]
    column[...] = np.where(column[()] == b"test", b"train", column[()]).astype(column.dtype)


test_rows_to_train.__test__ = False


def other_classes(file) -> None:
    file.attrs["classes"] = 3


@pytest.mark.parametrize("change", [inverted, reversed_labels, test_rows_to_train, other_classes])
def test_slices_that_were_changed_are_neither_trained_on_nor_evaluated(trained, change):
    with h5py.File(trained["slices"], "r+") as file:
        change(file)
    trained["model"].rename(trained["model"].with_name("kept"))
    with pytest.raises(ValueError, match=f"expected content .*{REFUSED}"):
        run_train(trained)
    assert not trained["model"].exists()
    trained["model"].with_name("kept").rename(trained["model"])
    with pytest.raises(ValueError, match=REFUSED):
        run_evaluate(trained)


def test_a_passport_whose_seal_is_broken_or_missing_is_refused(trained):
    run_evaluate(trained)
    proof = json.loads(trained["passport"].read_text())
    assert verify.beside(trained["passport"], {"metrics": trained["metrics"]}) == proof
    without = {key: value for key, value in proof.items() if key != "seal"}
    for wrong, complaint in (
        (proof | {"device": "another"}, "changed after it was sealed"),
        (without, "found one without a seal"),
        (sealed(without | {"outputs": {}}), "expected sha256 None"),
    ):
        write_json(trained["passport"], wrong)
        with pytest.raises(ValueError, match=complaint):
            verify.beside(trained["passport"], {"metrics": trained["metrics"]})


def test_the_ledger_takes_no_metrics_but_those_that_were_sealed(trained, tmp_path):
    place = tmp_path / "results/unoranic/phantom-test/unoranic/seed-1"
    place.mkdir(parents=True)
    run_evaluate(trained)
    for name in ("metrics", "passport"):
        shutil.copy(trained[name], place)
    metrics = place / "metrics.json"
    metrics.write_text(metrics.read_text().replace('"reconstruction/psnr": ', '"reconstruction/psnr": 1'))
    from latent_anatomy.ledger import results

    with pytest.raises(ValueError, match=r"metrics\.json: expected sha256 .*was changed since"):
        results.read([metrics], "unoranic", phantom=True)
    assert build.write  # the verb reads them by the same function


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "slices.h5"
    path.write_bytes(b"one")
    with pytest.raises(ValueError, match="expected it to stay while it was read"), verify.still([path]):
        path.with_name("new").write_bytes(b"two")
        path.with_name("new").replace(path)
    with verify.still([path]):
        pass


def test_training_writes_no_weights_that_are_not_finite(files, monkeypatch):  # noqa: F811
    from latent_anatomy.jobs import train

    def spoilt(method, *arguments, **options):
        with torch.no_grad():
            next(method.parameters()).fill_(float("nan"))
        return [{"epoch": 1}]

    monkeypatch.setattr(train, "train", spoilt)
    with pytest.raises(ValueError, match="expected finite weights"):
        run_train(files)
    assert not files["model"].exists()
