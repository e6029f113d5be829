"""The verbs that look: what there is, and what a BIDS folder would give, before anything runs."""

import subprocess
import sys

import nibabel
import numpy as np
import pytest
from conftest import ROOT
from tiny_volumes import write_folder
from typer.testing import CliRunner

from latent_anatomy import __version__
from latent_anatomy.cli.main import app
from latent_anatomy.data import supplied
from latent_anatomy.datasets import bids, bids_check
from latent_anatomy.datasets.bids_names import why_not
from latent_anatomy.pipeline import listing, params

PARAMS = params.load(ROOT / "params.yaml")
IMAGE = "sub-01/anat/sub-01_T1w.nii.gz"
MASK = "derivatives/raters/sub-04/anat/sub-04_label-lesion_mask.nii.gz"


def said(*words: str) -> tuple[int, str]:
    """Exit code and output of a verb."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("kind", listing.KINDS)
def test_a_list_has_a_line_for_each_in_columns(kind, monkeypatch):
    monkeypatch.chdir(ROOT)
    code, output = said("list", kind)
    rows = listing.KINDS[kind](PARAMS)
    assert code == 0 and output.splitlines() == listing.aligned(rows).splitlines()
    assert len({len(row) for row in rows}) == 1 and all(all(map(str.strip, row[:1])) for row in rows)
    for line, row in zip(output.splitlines(), rows, strict=True):
        place = 0
        for column, cell in enumerate(row):
            assert line[place:].startswith(cell)
            assert not (place and cell) or line[place - 2 : place].isspace()
            place += max(len(each[column]) for each in rows) + 2


def test_the_lists_name_everything_that_there_is():
    first = {kind: [row[0] for row in rows(PARAMS)][1:] for kind, rows in listing.KINDS.items()}
    assert first["runs"] == list(PARAMS.methods) and first["studies"] == list(PARAMS.studies)
    assert first["collections"] == list(PARAMS.collections)
    assert {name for each in PARAMS.studies.values() for name in each.evaluation} <= set(first["protocols"])
    assert {name for each in PARAMS.collections.values() for name in each.datasets} <= set(first["datasets"])
    assert [row[0] for row in listing.of_collections(PARAMS) if row[1] == "*"] == [PARAMS.data]


def test_the_user_s_folders_are_among_the_data_sets(tmp_path, monkeypatch):
    (tmp_path / "bids-mine").mkdir()
    (tmp_path / "bids-what is this").mkdir()
    monkeypatch.setenv("LATENT_ANATOMY_MIRROR", str(tmp_path))
    own = [row for row in listing.of_datasets(PARAMS) if row[0].startswith("bids-")]
    assert [row[:3] for row in own] == [("bids-mine", "volumes", "-")]


def test_looking_needs_no_torch_and_the_version_no_parameters(tmp_path):
    code = (
        "import sys; from latent_anatomy.cli.main import app; from typer.testing import CliRunner\n"
        "assert CliRunner().invoke(app, ['list', 'runs']).exit_code == 0\n"
        "assert CliRunner().invoke(app, ['list', 'protocols']).exit_code == 0\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert said("--version") == (0, f"latent-anatomy {__version__}\n")


# ---- a BIDS folder, before anything runs


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "bids-tiny"
    write_folder(folder, ("train", "train", "val", "test", "n/a"))
    (folder / "dataset_description.json").write_text('{"Name": "tiny", "BIDSVersion": "1.9.0"}')
    vouch(folder)
    return folder


def vouch(folder) -> None:
    """Write SHA256SUMS as the pages say."""
    command = supplied.TAKE.partition("again: ")[2]
    subprocess.run(command, shell=True, cwd=folder, check=True)


def test_a_sound_folder_is_told_as_the_reader_takes_it(folder, monkeypatch):
    code, output = said("check", folder)
    assert code == 0
    header, *lines = output.splitlines()[1:]
    assert header.split() == ["subject", "split", "flair", "t1", "lesion"]
    monkeypatch.setenv("LATENT_ANATOMY_MIRROR", str(folder.parent))
    expected = [
        [each.name, each.split, *each.images.values(), each.masks.get("lesion", "-")]
        for each in bids.Bids("bids-tiny").subjects
    ]
    assert [line.split() for line in lines] == expected and len(expected) == 4


def test_a_folder_that_nobody_vouched_for_is_looked_at_and_what_is_to_do_is_said(folder):
    before = bids_check.check(folder).taken
    (folder / supplied.SUMS).unlink()
    folder = folder.rename(folder.with_name("our study"))
    found = bids_check.check(folder)
    assert found.taken == before and not found.refused
    assert "sha256sum" in found.notes[-2] and "bids-<name>" in found.notes[-1]


LATIN_1 = "participant_id\tsplit\tname\nsub-01\ttrain\tJosé\n".encode("latin-1")


def break_table(folder):
    (folder / "participants.tsv").write_bytes(LATIN_1)


def lose_table(folder):
    (folder / "participants.tsv").unlink()


def lose_split(folder):
    table = folder / "participants.tsv"
    table.write_text(table.read_text().replace("split", "group"))


def lose_image(folder):
    (folder / IMAGE).unlink()


def add_stray_mask(folder):
    stray = folder / MASK.replace("sub-04", "sub-09")
    stray.parent.mkdir(parents=True)
    stray.write_bytes((folder / MASK).read_bytes())


def empty(folder):
    for name in ("participants.tsv", *(f"sub-0{who}" for who in range(1, 6))):
        path = folder / name
        path.rename(folder.parent / f"gone-{name}")


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (break_table, "expected a table in UTF-8, found another encoding"),
        (lose_table, "participants.tsv: expected this table"),
        (lose_split, "expected columns participant_id and split"),
        (lose_image, "sub-01 no T1w"),
        (add_stray_mask, "lesion masks of subjects with images, found one of sub-09"),
        (empty, "participants.tsv: expected this table"),
    ],
)
def test_what_is_wrong_with_the_folder_is_wrong_for_all_and_ends_in_1(folder, harm, expected):
    harm(folder)
    vouch(folder)
    code, output = said("check", folder)
    assert code == 1 and output.rstrip().endswith("Nothing can be taken.")
    assert any(line.startswith("Refused: ") and expected in line for line in output.splitlines()), output


def test_all_that_is_wrong_is_said_at_once(folder):
    lose_image(folder)
    add_stray_mask(folder)
    vouch(folder)
    assert len(bids_check.check(folder).refused) == 2


def shift(path):
    """The same mask ten centimetres further on."""
    image = nibabel.load(path)
    affine = image.affine + np.array([[0, 0, 0, 100.0]] * 3 + [[0, 0, 0, 0]])
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), path)


@pytest.mark.parametrize(
    ("name", "harm", "expected"),
    [
        (MASK, shift, "expected the place of"),
        (IMAGE, lambda path: path.write_bytes(path.read_bytes()[:-40]), "expected a whole gzip file"),
        (IMAGE, lambda path: path.write_bytes(b"DICM"), "expected a NIfTI file"),
        (IMAGE, lambda path: path.write_bytes(b""), "expected a NIfTI file"),
    ],
)
def test_a_subject_whose_file_cannot_be_used_is_refused_alone(folder, name, harm, expected):
    harm(folder / name)
    vouch(folder)
    found = bids_check.check(folder)
    [(who, why)] = found.refused
    assert who in name and expected in f"{who}: {why}" and who not in [each.name for each in found.taken]
    assert len(found.taken) == 3 and said("check", folder)[0] == 0


def test_a_link_to_nothing_and_another_file_than_was_vouched_for_are_told(folder):
    vouched = (folder / MASK).read_bytes()
    (folder / MASK).write_bytes(vouched + b"\0")
    (folder / IMAGE).unlink()
    (folder / IMAGE).symlink_to("nowhere")
    found = dict(bids_check.check(folder).refused)
    assert "a link to nothing" in found["sub-01"] and "sha256" in found["sub-04"]


NOT_TAKEN = {
    "sub-01/anat/sub-01_space-MNI_T1w.nii.gz": "another space",
    "sub-01/anat/sub-02_T1w.nii.gz": "does not begin with sub-01",
    "sub-01/ses-1/anat/sub-01_T1w.nii.gz": "does not begin with sub-01_ses-1",
    "sub-01_T1w.nii.gz": "lies elsewhere",
    "derivatives/brains/sub-01/anat/sub-01_T1w.nii.gz": "below derivatives",
    "sub-01/anat/sub-01_T1w.mha": ".nii",
    "sub-01/anat/sub-01_T1W.nii.gz": "ends in T1W",
    "sub-01/anat/sub-01_mask.nii.gz": "does not say that it is of lesions",
    "sub-01/anat/sub-01_acq-3 d_T1w.nii.gz": "parts that are not",
    "sub-01/anat/Läsion_mask.nii.gz": "does not begin with sub-01",
}


def test_every_file_that_is_not_taken_has_its_reason(folder):
    for name in NOT_TAKEN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "sub-01/anat/sub-01_T2w.nii.gz").touch()
    vouch(folder)
    found = bids_check.check(folder)
    assert len(found.taken) == 4 and dict(found.left).keys() == NOT_TAKEN.keys()
    assert all(NOT_TAKEN[name] in why for name, why in found.left), found.left
    assert any("1 T2w" in note for note in found.notes)


def test_a_name_that_is_taken_has_no_reason_not_to_be():
    """`why_not` ends with what is left over; nothing that the reader takes must come to an earlier reason."""
    last = why_not("sub-01/anat/sub-01_a_T1w.nii.gz")
    assert {why_not(name) for name in (IMAGE, MASK, IMAGE.replace("_T1w", "_acq-3d_FLAIR"))} == {last}


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", "é".encode("latin-1")])
def test_a_folder_without_a_description_is_taken_and_that_is_said(folder, text):
    path = folder / "dataset_description.json"
    path.unlink()
    if text is not None:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    vouch(folder)
    found = bids_check.check(folder)
    assert len(found.taken) == 4 and "dataset_description.json" in found.notes[0]


def test_no_folder_is_an_error():
    with pytest.raises(ValueError, match="expected a BIDS folder"):
        bids_check.check(ROOT / "no such folder")
