"""Brain volumes: who is in them, in which split, and that only files with a known checksum are taken."""

import re
import subprocess

import pytest
import yaml
from conftest import ROOT, hashes
from tiny_hearts import take_checksums

from latent_anatomy.data import supplied
from latent_anatomy.data.dataset import checked
from latent_anatomy.data.fetch import fetch
from latent_anatomy.data.outline import outline
from latent_anatomy.data.slices import SPLITS
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import params, resolve, suitability

VOLUMES = [dataset for dataset in datasets.DATASETS if hasattr(dataset, "subjects") and not dataset.phantom]
SHA256 = re.compile("[0-9a-f]{64}")


def fill(folder, names) -> None:
    """A file of other bytes for each name, and their checksums."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"image {name}")
    take_checksums(folder)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """An empty mirror folder, and a working directory without raw files."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("LATENT_ANATOMY_MIRROR", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


# ---- every data set of volumes


@pytest.mark.parametrize("dataset", VOLUMES, ids=lambda dataset: dataset.name)
def test_what_the_contract_asks_of_volumes_holds(mirror, dataset):
    names = [subject.name for subject in dataset.subjects]
    assert names == sorted(names) and len(set(names)) == len(names)
    for subject in dataset.subjects:
        assert {dataset.sliced, dataset.guide} <= set(subject.images) == set(dataset.subjects[0].images)
        assert set(subject.masks) <= {"lesion", "brain"} and subject.split in SPLITS
    every = [name for subject in dataset.subjects for name in subject.files]
    assert len(set(every)) == len(every), "two subjects share a file"
    registered = {file.name: file for file in dataset.files}
    assert set(every) <= registered.keys() or not registered
    assert all(file.algorithm == "sha256" and SHA256.fullmatch(file.checksum) for file in dataset.files)
    assert dataset.note and dataset.licence and "LATENT_ANATOMY_MIRROR" in dataset.how_to_get


@pytest.mark.parametrize("dataset", VOLUMES, ids=lambda dataset: dataset.name)
def test_without_the_files_it_is_said_how_to_get_them(mirror, dataset):
    reason = datasets.unavailable(dataset, mirror / "none", mirror)
    assert reason.startswith(f"{dataset.name}: ") and dataset.how_to_get in reason
    with pytest.raises(ValueError, match="LATENT_ANATOMY_MIRROR"):
        fetch(dataset, mirror / "raw", mirror)


@pytest.mark.parametrize("name", ["ms-lesion-mni", "mslub-longitudinal-patient01", "ixi-hh-2mm", "chris-t1"])
def test_a_file_that_is_not_the_registered_one_is_refused(mirror, name):
    dataset = datasets.find(name)
    for file in dataset.files:
        path = mirror / dataset.family / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"another head")
    assert "expected sha256" in datasets.unavailable(dataset, mirror / "none", mirror)
    with pytest.raises(ValueError, match="expected sha256"):
        fetch(dataset, mirror / "raw", mirror)


def test_a_raw_file_is_handed_out_only_when_it_is_the_registered_one(mirror):
    fill(mirror / "ixi", ["IXI012-HH-1211-T1.nii.gz"])
    dataset, raw = datasets.find("ixi"), mirror / "ixi"
    path = checked(type(dataset)(), "IXI012-HH-1211-T1.nii.gz", raw)
    assert path == raw / "IXI012-HH-1211-T1.nii.gz"
    with pytest.raises(ValueError, match=r"expected one of its files, found '\.\./secret'"):
        checked(type(dataset)(), "../secret", raw)
    path.write_text("edited")
    with pytest.raises(ValueError, match="expected sha256"):
        checked(type(dataset)(), path.name, raw)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="run `fetch`"):
        checked(type(dataset)(), path.name, raw)


# ---- MSLUB


def test_mslub_has_five_patients_for_validation_and_the_others_for_test(mirror):
    dataset = datasets.find("mslub")
    split = {subject.name: subject.split for subject in dataset.subjects}
    assert list(split) == [f"patient{number:02}" for number in range(1, 31)]
    val = [name for name in split if split[name] == "val"]
    assert val == ["patient06", "patient12", "patient18", "patient24", "patient30"]
    assert {split[name] for name in split if name not in val} == {"test"}
    prepared = datasets.find("ms-lesion-mni")
    assert prepared.prepared and {subject.name: subject.split for subject in prepared.subjects} == {
        name: split[name] for name in ("patient07", "patient19")
    }


def test_t2_of_mslub_is_of_the_same_patients_in_the_same_splits_with_the_same_lesions(mirror):
    flair, t2 = (datasets.find(name) for name in ("mslub", "mslub-t2"))
    assert [(each.name, each.split) for each in t2.subjects] == [
        (each.name, each.split) for each in flair.subjects
    ]
    assert [each.masks["lesion"] for each in t2.subjects] == [each.masks["lesion"] for each in flair.subjects]
    assert t2.subjects[6].files == ("patient07/T2W.nii.gz", "patient07/consensus_gt.nii.gz")


def test_one_folder_of_mslub_under_two_names_is_both_data_sets(mirror):
    names = {
        name for data in ("mslub", "mslub-t2") for each in datasets.find(data).subjects for name in each.files
    }
    fill(mirror / "mslub", names)
    (mirror / "mslub-t2").symlink_to("mslub")
    for name in ("mslub", "mslub-t2"):
        dataset, raw = type(datasets.find(name))(), mirror.parent / "data" / "raw" / name
        assert datasets.unavailable(dataset, raw, mirror) is None
        fetch(dataset, raw, mirror)
        own = {file for each in dataset.subjects for file in each.files}
        assert hashes(raw).keys() == {*own, supplied.SUMS}


def test_both_studies_of_a_patient_are_in_one_split_and_lack_masks():
    first, second = datasets.find("mslub-longitudinal-patient01").subjects
    assert first.split == second.split == "unlabelled" and not first.masks and not second.masks
    names = {file.name for file in datasets.find("mslub-longitudinal-patient01").files}
    assert {name for name in names if name.endswith("common_space.txt")} and len(names) == 9


# ---- folders that the user brings, on MSLUB


NAMES = [name for subject in datasets.find("mslub").subjects for name in subject.files]


def mslub():
    """The data set, as a new process would see it."""
    return type(datasets.find("mslub"))()


def test_a_folder_with_checksums_is_fetched_and_then_needs_no_mirror(mirror, monkeypatch):
    fill(mirror / "mslub", [*NAMES, "patient01/T2W.nii.gz"])
    dataset, raw = mslub(), mirror.parent / "data" / "raw" / "mslub"
    assert datasets.unavailable(dataset, raw, mirror) is None
    fetch(dataset, raw, mirror)
    assert hashes(raw).keys() == {*NAMES, supplied.SUMS}
    for name in NAMES:
        assert (raw / name).read_text() == f"image {name}"
    monkeypatch.delenv("LATENT_ANATOMY_MIRROR")
    assert mslub().files == dataset.files


def test_a_folder_without_checksums_is_not_trusted(mirror):
    fill(mirror / "mslub", NAMES)
    (mirror / "mslub" / supplied.SUMS).unlink()
    assert mslub().files == ()
    assert "SHA256SUMS" in datasets.unavailable(mslub(), mirror / "none", mirror)


def test_a_file_that_changed_after_its_checksum_was_taken_is_refused(mirror):
    fill(mirror / "mslub", NAMES)
    (mirror / "mslub" / NAMES[7]).write_text("another patient")
    assert f"mslub/{NAMES[7]}: expected sha256" in datasets.unavailable(mslub(), mirror / "none", mirror)
    with pytest.raises(ValueError, match=r"expected sha256 .*, found"):
        fetch(mslub(), mirror / "raw", mirror)


def test_files_that_are_not_listed_are_named(mirror):
    fill(mirror / "mslub", ["patient01/FLAIR.nii.gz"])
    expected = r"SHA256SUMS: expected 120 files .*, found not patient01/T1W.* and 116 more: write SHA256SUMS"
    with pytest.raises(ValueError, match=expected):
        _ = mslub().files


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("not a checksum\n", "line 1: expected a SHA-256 and a name"),
        (f"{'0' * 63}  x\n", "line 1: expected a SHA-256 and a name"),
        (f"{'0' * 64}  ../x\n", "line 1: expected a SHA-256 and a name below this folder"),
        (f"{'0' * 64}  /etc/passwd\n", "line 1: expected a SHA-256 and a name below this folder"),
        (f"{'0' * 64}  x\n{'1' * 64}  ./x\n", "line 2: expected every file once, found x again"),
    ],
)
def test_a_list_of_checksums_that_is_none_is_refused(tmp_path, lines, message):
    (tmp_path / supplied.SUMS).write_text(lines)
    with pytest.raises(ValueError, match=f"{supplied.SUMS}, {message}"):
        supplied.listed(tmp_path, [])


def test_sha256sum_writes_what_is_read(tmp_path):
    """The command of the errors and of docs/brain-data.md."""
    fill(tmp_path, ["sub-01/anat/sub-01_T1w.nii.gz", "with a space.txt"])
    ours = supplied.listed(tmp_path, ["sub-*/anat/*"])
    command = supplied.TAKE.partition("again: ")[2]
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    assert supplied.listed(tmp_path, ["sub-*/anat/*"]) == ours


# ---- IXI


def test_ixi_is_what_lies_in_its_folder(mirror):
    names = ["IXI012-HH-1211-T1.nii.gz", "IXI002-Guys-0828-T1.nii.gz", "IXI035-IOP-0873-T1.nii.gz"]
    fill(mirror / "ixi", names)
    dataset = type(datasets.find("ixi"))()
    found = [(subject.name, subject.site) for subject in dataset.subjects]
    assert found == [("IXI002", "Guys"), ("IXI012", "HH"), ("IXI035", "IOP")]
    assert dataset.subjects[1].images == {"t1": names[0]} and dataset.files[-1].name == supplied.SUMS
    assert datasets.unavailable(dataset, mirror / "none", mirror) is None


def test_ixi_has_the_same_people_in_the_same_splits_and_no_lesions_in_t2(mirror):
    people = [f"IXI{number:03}-Guys-{number:04}" for number in range(60)]
    for name, kind in (("ixi", "T1"), ("ixi-t2", "T2")):
        fill(mirror / name, [f"{who}-{kind}.nii.gz" for who in people])
    t1, t2 = (type(datasets.find(name))() for name in ("ixi", "ixi-t2"))
    assert t2.subjects[12].images == {"t2": f"{people[12]}-T2.nii.gz"}
    assert t2.sliced == t2.guide == "t2" and t2.modality == "MR T2"
    split = [{each.name: each.split for each in dataset.subjects} for dataset in (t1, t2)]
    assert split[0] == split[1] and set(split[0].values()) == {"train", "val", "test"}
    assert outline(t2).masks == {"brain", "lesion"} and outline(t1).masks == {"brain"}
    assert "IXI-T2.tar" in t2.how_to_get and "IXI-T1.tar" in t1.how_to_get


def test_a_t1_image_among_ixis_t2_is_refused(mirror):
    fill(mirror / "ixi-t2", ["IXI012-HH-1211-T1.nii.gz"])
    with pytest.raises(ValueError, match=r"expected a name such as IXI012-HH-1211-T2\.nii\.gz"):
        _ = type(datasets.find("ixi-t2"))().files


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "expected one T1 image of each person, found 0"),
        (["IXI012-HH-1211-T2.nii.gz"], "T2.nii.gz: expected a name such as"),
        (["IXI012-HH-1211-T1.nii.gz", "IXI012-HH-1212-T1.nii.gz"], "found 2 of 1 people"),
    ],
)
def test_an_ixi_folder_with_something_else_is_refused(mirror, names, message):
    (mirror / "ixi").mkdir()
    fill(mirror / "ixi", names)
    with pytest.raises(ValueError, match=message):
        _ = type(datasets.find("ixi"))().files


def test_an_ixi_volume_that_is_not_listed_is_not_left_out_silently(mirror):
    fill(mirror / "ixi", ["IXI012-HH-1211-T1.nii.gz"])
    (mirror / "ixi" / "IXI013-HH-1212-T1.nii.gz").touch()
    with pytest.raises(ValueError, match=r"expected every file of this folder, found not IXI013"):
        _ = type(datasets.find("ixi"))().files


# ---- the user's own BIDS folder

TABLE = "participant_id\tage\tsplit\nsub-01\t30\ttrain\nsub-02\t40\tval\nsub-03\t50\ttest\n"
IMAGES = [
    f"sub-{who}/anat/sub-{who}_{kind}.nii.gz" for who in ("01", "02", "03") for kind in ("FLAIR", "T1w")
]
LESION = "derivatives/manual/sub-03/anat/sub-03_space-MNI_label-lesion_mask.nii.gz"
ON_GRID = "derivatives/manual/sub-03/anat/sub-03_label-lesion_mask.nii.gz"


def bids(mirror, names=(*IMAGES, ON_GRID), table=TABLE):
    """The data set of a folder with these files."""
    folder = mirror / "bids-mystudy"
    folder.mkdir()
    if table is not None:
        (folder / "participants.tsv").write_text(table)
    fill(folder, names)
    return datasets.find("bids-mystudy")


def test_a_bids_folder_is_a_data_set(mirror):
    dataset = bids(mirror, (*IMAGES, ON_GRID, LESION, "dataset_description.json"))
    assert (dataset.name, dataset.phantom, dataset.stands_for) == ("bids-mystudy", False, None)
    assert (dataset.sliced, dataset.guide, dataset.prepared, dataset.modality) == (
        *("flair", "t1"),
        *(False, "MR FLAIR"),
    )
    first, _, third = dataset.subjects
    assert [subject.split for subject in dataset.subjects] == ["train", "val", "test"]
    assert first.images == {"flair": IMAGES[0], "t1": IMAGES[1]} and first.masks == {}
    assert third.name == "sub-03" and third.masks == {"lesion": ON_GRID}
    raw = mirror.parent / "data" / "raw" / "bids-mystudy"
    assert datasets.unavailable(dataset, raw, mirror) is None
    fetch(dataset, raw, mirror)
    assert hashes(raw).keys() == {*IMAGES, ON_GRID, "participants.tsv", supplied.SUMS}


def test_the_copy_of_a_bids_folder_is_the_same_data_set(mirror, monkeypatch):
    dataset = bids(mirror)
    fetch(dataset, mirror.parent / "data" / "raw" / "bids-mystudy", mirror)
    monkeypatch.delenv("LATENT_ANATOMY_MIRROR")
    again = datasets.find("bids-mystudy")
    assert again.subjects == dataset.subjects and again.files == dataset.files


def test_sessions_are_subjects_in_the_split_of_their_participant(mirror):
    names = [f"sub-01/ses-{when}/anat/sub-01_ses-{when}_run-1_T1w.nii" for when in ("a", "b")]
    mask = "derivatives/me/sub-01/ses-b/anat/sub-01_ses-b_run-1_desc-lesionconsensus_mask.nii"
    dataset = bids(mirror, [*names, mask], "participant_id\tsplit\nsub-01\ttest\n")
    assert [(subject.name, subject.split) for subject in dataset.subjects] == [
        ("sub-01_ses-a", "test"),
        ("sub-01_ses-b", "test"),
    ]
    assert [subject.masks for subject in dataset.subjects] == [{}, {"lesion": mask}]
    assert (dataset.sliced, dataset.guide, dataset.modality) == ("t1", "t1", "MR T1")


def test_who_has_no_split_on_purpose_is_left_out(mirror):
    dataset = bids(mirror, IMAGES[:5], TABLE.replace("test", "n/a"))
    assert [subject.name for subject in dataset.subjects] == ["sub-01", "sub-02"]
    assert not any("sub-03" in file.name for file in dataset.files)


def test_one_error_says_who_lacks_what(mirror):
    dataset = bids(mirror, [IMAGES[0], IMAGES[1], IMAGES[2], IMAGES[5]], TABLE + "sub-04\t1\ttest\n")
    with pytest.raises(ValueError, match="FLAIR and T1w of every subject") as caught:
        _ = dataset.subjects
    assert "sub-02 no T1w; sub-03 no FLAIR; sub-04 no FLAIR and no T1w" in str(caught.value)
    assert "sub-01" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, r"participants\.tsv: expected this table.*add a column split"),
        ("participant_id\tage\nsub-01\t30\n", "expected columns participant_id and split, found .*age"),
        ("", "expected columns participant_id and split"),
        (TABLE.replace("val", "validation"), "found 'validation' of sub-02: add a column split"),
        (TABLE + "sub-01\t1\ttest\n", "found sub-01 twice"),
        (TABLE.replace("sub-03\t50\ttest\n", ""), r"sub-03 no line in participants\.tsv"),
    ],
)
def test_a_table_without_everybodys_split_is_refused(mirror, table, message):
    dataset = bids(mirror, table=table)
    with pytest.raises(ValueError, match=message):
        _ = dataset.subjects


def test_a_table_that_changed_after_its_checksum_was_taken_is_refused(mirror):
    dataset = bids(mirror)
    (mirror / "bids-mystudy" / "participants.tsv").write_text(TABLE.replace("test", "train"))
    with pytest.raises(ValueError, match=r"participants\.tsv: expected sha256"):
        _ = dataset.subjects


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("sub-01/anat/sub-01_run-2_T1w.nii.gz", "expected one T1w of sub-01, found .* and .*run-2"),
        (ON_GRID.replace("manual", "other"), "expected one lesion mask of sub-03, found"),
        (
            ON_GRID.replace("sub-03", "sub-05"),
            "expected lesion masks of subjects with images, found .*sub-05",
        ),
        (
            ON_GRID.replace("sub-03/anat/sub-03", "sub-03/ses-1/anat/sub-03_ses-1"),
            "found one of sub-03_ses-1: name the mask",
        ),
    ],
)
def test_what_could_be_meant_in_two_ways_is_refused(mirror, more, message):
    dataset = bids(mirror, (*IMAGES, ON_GRID, more))
    with pytest.raises(ValueError, match=message):
        _ = dataset.subjects


MEANING = {
    "a phase": ("sub-01_T1w", "sub-01_part-phase_T1w", "part-phase"),
    "the imaginary part": ("sub-01_T1w", "sub-01_part-imag_T1w", "part-imag"),
    "a part of the head": ("sub-02_FLAIR", "sub-02_chunk-1_FLAIR", "chunk-1"),
    "a brain": ("sub-01_T1w", "sub-01_desc-brain_T1w", "desc-brain"),
    "one hemisphere": ("sub-01_T1w", "sub-01_hemi-L_T1w", "hemi-L"),
    "resampled": ("sub-01_T1w", "sub-01_res-2mm_T1w", "res-2mm"),
    "no entity of BIDS": ("sub-01_T1w", "sub-01_part-mag_fat-yes_T1w", "fat-yes"),
    "a part of a mask": ("sub-03_label", "sub-03_chunk-2_label", "chunk-2"),
    "half of a mask": ("sub-03_label", "sub-03_hemi-L_label", "hemi-L"),
}


@pytest.mark.parametrize("case", MEANING)
def test_an_entity_that_changes_the_meaning_is_refused_by_name(mirror, case):
    plain, changed, entity = MEANING[case]
    names = [name.replace(plain, changed) for name in (*IMAGES, ON_GRID)]
    [odd] = set(names) - {*IMAGES, ON_GRID}
    with pytest.raises(ValueError, match=f"{odd}: expected names with no entities but .*, found {entity}: "):
        _ = bids(mirror, names).subjects


@pytest.mark.parametrize("entity", ["ce-gadolinium", "inv-1", "mt-on", "echo-2", "flip-1"])
def test_an_entity_of_one_subject_and_not_of_another_is_refused(mirror, entity):
    names = [name.replace("sub-02_T1w", f"sub-02_{entity}_T1w") for name in IMAGES]
    key = entity.split("-")[0]
    expected = f"the same {key} in every T1w, found no {key} in .*sub-0[13]_T1w.* and {entity} in .*sub-02"
    with pytest.raises(ValueError, match=expected):
        _ = bids(mirror, names).subjects


def test_an_entity_of_everybody_and_harmless_ones_are_taken(mirror):
    names = [name.replace("_T1w", "_ce-gadolinium_part-mag_T1w") for name in IMAGES]
    names[2] = names[2].replace("_FLAIR", "_acq-3d_run-1_rec-norm_FLAIR")
    assert sorted(name for each in bids(mirror, names).subjects for name in each.files) == sorted(names)


def test_whoever_is_left_out_may_have_been_imaged_otherwise(mirror):
    names = [name.replace("sub-03_T1w", "sub-03_ce-gadolinium_T1w") for name in IMAGES]
    dataset = bids(mirror, names, TABLE.replace("test", "n/a"))
    assert [subject.name for subject in dataset.subjects] == ["sub-01", "sub-02"]


@pytest.mark.parametrize("name", ["sub-04/anat/sub-04_T1w.nii.gz", ON_GRID.replace("03", "01")])
def test_a_bids_file_that_is_not_listed_is_not_left_out_silently(mirror, name):
    dataset = bids(mirror)
    path = mirror / "bids-mystudy" / name
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(
        ValueError, match=rf"SHA256SUMS: expected every file of this folder, found not {name}"
    ):
        _ = dataset.subjects


def test_files_elsewhere_than_bids_says_are_no_images(mirror):
    other = ["sub-01/anat/sub-02_FLAIR.nii.gz", "sub-01/ses-1/anat/sub-01_T1w.nii.gz", "sub-01_T1w.nii.gz"]
    dataset = bids(mirror, (*IMAGES, *other, "sub-01/anat/sub-01_space-MNI_T1w.nii.gz"))
    assert [name for subject in dataset.subjects for name in subject.files] == IMAGES


def test_names_of_bids_folders_are_known_and_others_not(mirror):
    assert datasets.known("bids-mystudy") and datasets.known("retinamnist")
    assert datasets.find("bids-mystudy").subjects == () == datasets.find("bids-mystudy").files
    for name in ("bids-", "bids", "bids-a/b", "bids-..", "bids-a b", "mybids-x", "bids-.x"):
        assert not datasets.known(name)
        with pytest.raises(ValueError, match=r"expected one of .*bloodmnist, .* or bids-<folder>"):
            datasets.find(name)


def test_the_pair_of_t2_is_the_block_that_the_page_of_the_study_shows(mirror):
    """Healthy people are trained on, and the lesions of patients are asked for in one data set of both."""
    fill(mirror / "ixi-t2", [f"IXI{number:03}-HH-{number:04}-T2.nii.gz" for number in range(60)])
    fill(mirror / "mslub-t2", [name for each in datasets.find("mslub-t2").subjects for name in each.files])
    [block] = re.findall(r"```yaml\n(  t2:\n.*?)```", (ROOT / "docs/baur.md").read_text(), re.DOTALL)
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["collections"] |= yaml.safe_load(block)
    with pytest.MonkeyPatch.context() as patch:
        fresh = tuple(
            type(each)() if each.name in ("ixi-t2", "mslub-t2") else each for each in datasets.DATASETS
        )
        patch.setattr(datasets, "DATASETS", fresh)
        found = params.validate(content | {"data": "t2"})
        assert suitability.check(found) == []
        jobs = resolve.resolve(found)
    pool = "ixi-t2__mslub-t2"
    assert jobs[f"slice/{pool}"]["members"] == ["ixi-t2", "mslub-t2"]
    asked = {name for name in jobs if name.startswith("evaluate/")}
    assert asked == {
        f"evaluate/baur/{pool}/{run}/seed-{seed}"
        for run in content["studies"]["baur"]["runs"]
        for seed in ([1] if run in ("intensity", "healthy-mean") else [1, 2, 3])
    }
    assert all("lesions" in jobs[name]["evaluation"] for name in asked)
    for member in ("ixi-t2", "mslub-t2"):
        register = jobs[f"imaging/{member}/register"]
        assert (register["sliced"], register["guide"]) == ("t2", "t2")
        assert jobs[f"imaging/{member}/strip"]["params"]["kind"] == "atlas"
        assert f"imaging/{member}/coregister" not in jobs


def test_a_bids_folder_needs_only_its_name_in_the_parameters():
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    at_hand = content["collections"]["at-hand"]
    content |= {"data": "at-hand", "collections": {"at-hand": at_hand}, "imaging": {}}
    at_hand["volumes"].append("bids-mystudy")
    at_hand["studies"]["baur"]["datasets"].append("bids-mystudy")
    assert "bids-mystudy" in params.validate(content).collection.volumes
    at_hand["volumes"][-1] = at_hand["studies"]["baur"]["datasets"][-1] = "bid-mystudy"
    with pytest.raises(params.ParamsError, match=r"collections\.at-hand\.volumes: .*'bid-mystudy'"):
        params.validate(content)
