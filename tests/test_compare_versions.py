"""Two versions side by side, on a small repository of git and DVC with two versions of everything."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from dvc.repo import Repo
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save
from scipy import stats
from typer.testing import CliRunner

from latent_anatomy.cli.main import app
from latent_anatomy.ledger.table import COLUMNS
from latent_anatomy.versions import differences, page, pictures, read
from latent_anatomy.versions.contents import Content, Run, flatten, gather

SEEDS = (1, 2, 3)
AE, PHANTOM = Run("unoranic", "breastmnist", "ae"), Run("unoranic", "phantom-breastmnist", "ae")
RUNS = {AE: SEEDS, PHANTOM: (1,)}
AE_1 = f"results/{'/'.join(AE)}/seed-1"
PSNR = {"A": (20.0, 21.0, 22.5), "B": (20.25, 21.5, 22.0)}
IGNORED = "/data/\n/models/\n/reports/\narrays.npz\n/results/*/phantom-*/\n/results/ledger-phantom.csv\n"
ORIGINAL = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
INTERIM = "data/interim/heads"
SHIFT = 7  # of B's reconstruction, in grey levels


def git(root: Path, *words: str) -> str:
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull}
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *words]
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def put(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # never into a file that DVC's cache may share
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def passport(job: dict, letter: str, **inputs: str) -> dict:
    return {
        "inputs": inputs,
        "job": job | {"source": sha256(job["job"] + letter)},
        "source": {"commit": "c" * 40, "dirty": False},
        "environment": {"python": "3.11.7", "torch": {"A": "2.14.0", "B": "2.15.0"}[letter]},
        "device": "cpu",
    }


def job(kind: str, run: Run, seed: int, letter: str) -> dict:
    params = {"epochs": 5, "slope": {"A": 0.01, "B": 0.02}[letter]}  # a default: not in params.yaml
    return {"job": kind, **run._asdict(), "seed": seed, "method": "autoencoder", "params": params}


def npz(letter: str, seed: int) -> bytes:
    stream = io.BytesIO()
    corrupted = 255 - ORIGINAL
    shift = SHIFT * (letter == "B")
    shown = {"clean/original": ORIGINAL, "clean/reconstruction": ORIGINAL + np.uint8(seed + shift)}
    shown |= {"InvertImg/input": corrupted, "InvertImg/reconstruction": corrupted}
    figures = {f"figure/{name}": values for name, values in shown.items()}
    np.savez_compressed(stream, subject=np.arange(2), **figures)
    return stream.getvalue()


def hdf5(proof: dict) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.attrs["passport"] = json.dumps(proof)
    return stream.getvalue()


def row(method: str, verdict: str, ours: str) -> str:
    known = {"study": "unoranic", "table": "Table 2", "dataset": AE.dataset, "metric": "reconstruction/psnr"}
    known |= {"method": method, "verdict": verdict, "ours_mean": ours}
    return ",".join(known.get(column, "") for column in COLUMNS)


def write_version(root: Path, letter: str) -> None:
    """Everything of a version, each kind otherwise in A than in B."""
    chosen = {"unoranic": {"datasets": ["breastmnist"], "seeds": list(SEEDS)}}
    collection = {"images": ["breastmnist"], "studies": chosen}
    nothing = {"studies": {"unoranic": {"datasets": [], "seeds": [1]}}}
    params = {
        "methods": {"ae": {"method": "autoencoder", "epochs": {"A": 5, "B": 6}[letter], "note": "<b>"}},
        "collections": {"real": collection, "phantom": nothing},
        "data": collection,
    }
    put(root / "params.yaml", yaml.safe_dump(params))
    put(root / "requirements.lock", f"numpy==2.4.6 \\\n    --hash=x\nscipy==1.{'AB'.index(letter) + 16}.0\n")
    put(root / "src" / "method.py", "same = 1\n" + {"A": "old = 2\n", "B": "new = 2\nmore = 3\n"}[letter])
    rows = {
        "A": [row("ae", "not reproduced", "20.0"), row("gone", "not run", "")],
        "B": [row("ae", "reproduced", "21.0"), row("arrived", "better", "30.0")],
    }
    put(root / "results" / "ledger.csv", "\n".join([",".join(COLUMNS), *rows[letter]]) + "\n")
    put(root / "data" / "raw" / "breastmnist" / "breastmnist.npz", f"raw {letter}")
    raw = {"breastmnist.npz": sha256(f"raw {letter}")}
    proof = passport({"job": "slice", "dataset": AE.dataset}, letter, **raw)
    put(root / "data" / "slices" / "breastmnist.h5", hdf5(proof))
    write_volumes(root, letter)
    for run, seeds in RUNS.items():
        for number, seed in enumerate(seeds):
            where = Path(*run, f"seed-{seed}")
            folder = root / "results" / where
            metrics = {"reconstruction/psnr": PSNR[letter][number], "reconstruction/ssim": 0.5}
            metrics |= {f"lone/{letter}": 1.0, "data/test/images": 2}
            put(folder / "metrics.json", json.dumps(metrics))
            slices = sha256(f"slices {letter}")
            proof = passport(job("evaluate", run, seed, letter), letter, slices=slices, model="m" * 64)
            put(folder / "passport.json", json.dumps(proof))
            put(folder / "arrays.npz", npz(letter, seed))
            proof = passport(job("train", run, seed, letter), letter, slices=slices)
            weights = save({"w": np.zeros(2, np.float32)}, metadata={"passport": json.dumps(proof)})
            put(root / "models" / where / "model.safetensors", weights)


def write_volumes(root: Path, letter: str) -> None:
    """Two subjects of volumes: in B the second has another brain, and is left out."""
    limit = {"A": 5, "B": 4}[letter]
    for subject in ("one", "two"):
        job = {"job": "strip", "dataset": "heads", "params": {"radius": limit}}
        proof = passport(job, letter, image=sha256(subject))
        put(root / INTERIM / subject / "strip" / "passport.json", json.dumps(proof))
        put(root / INTERIM / subject / "strip" / "brain.nii.gz", f"{subject} {letter}")
    proof = passport({"job": "gate", "dataset": "heads", "params": {"limit": limit}, "excluded": {}}, letter)
    put(root / "results/imaging/heads/passport.json", json.dumps(proof))
    last = {"A": "two,yes,0.5,,1400", "B": 'two,no,6.5,"brain, too small",400'}[letter]
    table = f"subject,passed,score,reason,strip/brain_ml\none,yes,1.5,,1500\n{last}\n"
    put(root / "results/imaging/heads/qc.csv", table)


def commit(root: Path, subject: str, name: str) -> None:
    with Repo(str(root)) as repo:
        repo.commit(force=True)
    git(root, "add", "--all")
    git(root, "commit", "-qm", subject)
    git(root, "tag", name)


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A repository with the tags A, B and same (as B, with another README). Not to be changed: copy it."""
    root = tmp_path_factory.mktemp("versions") / "project"
    root.mkdir()
    git(root, "init", "-q")
    Repo.init(str(root)).close()
    put(root / ".gitignore", IGNORED)
    places = [f"{'/'.join(run)}/seed-{seed}" for run, seeds in RUNS.items() for seed in seeds]
    outs = ["data/raw/breastmnist", "data/slices/breastmnist.h5", INTERIM]
    outs += [f"results/{place}/arrays.npz" for place in places]
    outs += [f"models/{place}/model.safetensors" for place in places]
    outs += [f"results/{'/'.join(PHANTOM)}/seed-1/{name}.json" for name in ("metrics", "passport")]
    put(root / "dvc.yaml", yaml.safe_dump({"stages": {"all": {"cmd": "true", "outs": outs}}}))
    write_version(root, "A")
    commit(root, "The first", "A")
    write_version(root, "B")
    commit(root, "The second, <script>alert(1)</script>", "B")
    put(root / "README.md", "read me\n")
    commit(root, "The third", "same")
    return root


@pytest.fixture
def root(original, tmp_path) -> Path:
    return shutil.copytree(original, tmp_path / "project", symlinks=True)


def content(root: Path, name: str) -> Content:
    return gather(read.load(name, root))


@pytest.fixture(scope="module")
def ab(original) -> tuple[Content, Content]:
    return content(original, "A"), content(original, "B")


def break_cache(root: Path, name: str, path: str, content: bytes | None = None) -> None:
    """Put other bytes, or nothing, where DVC's cache has an output of a version, or a file inside of one."""
    version = read.load(name, root)
    hashed = (version.outputs | version.inside)[path]
    stored = version.cache / hashed[:2] / hashed[2:]
    stored.unlink()
    if content is not None:
        stored.write_bytes(content)


def test_parameters_that_differ_are_found_in_params_and_in_the_jobs(ab):
    a, b = ab
    assert differences.changes(a.params, b.params) == [("methods.ae.epochs", "5", "6", ())]
    assert a.params["data"] == '"real"'
    limit, radius, change = differences.passport_changes(a, b, differences.parameters)
    assert limit == ("params.limit", "5", "4", ("imaging/heads/gate",))
    assert radius.where == ("imaging/heads/one/strip", "imaging/heads/two/strip")
    assert change[:3] == ("params.slope", "0.01", "0.02")
    jobs = {f"{kind}/{'/'.join(AE)}/seed-{seed}" for kind in ("train", "evaluate") for seed in SEEDS}
    assert jobs < set(change.where)


def test_data_that_differ_are_found_by_their_hashes(ab, original):
    a, b = ab
    found = {change.key: change for change in differences.passport_changes(a, b, differences.data)}
    assert found["breastmnist.npz"][1:] == (sha256("raw A"), sha256("raw B"), ("slice/breastmnist",))
    assert found["slices"][1:3] == (sha256("slices A"), sha256("slices B"))
    shown = page.render(a, b)
    assert read.load("A", original).outputs["data/raw/breastmnist"][:12] in shown


def test_sources_and_packages_that_differ_are_found(ab):
    a, b = ab
    assert read.changed_sources(a.version, b.version) == [("2", "1", "src/method.py")]
    assert read.changed_sources(b.version, a.version) == [("1", "2", "src/method.py")]
    digests = differences.passport_changes(a, b, differences.source)
    assert {job.split("/")[0] for change in digests for job in change.where} == {
        *("imaging", "slice", "train", "evaluate")
    }
    assert differences.changes(a.packages, b.packages) == [("scipy", "1.16.0", "1.17.0", ())]
    (library,) = differences.passport_changes(a, b, differences.environment)
    assert library[:3] == ("torch", "2.14.0", "2.15.0")


def test_verdicts_and_rows_that_differ_are_found_and_a_ledger_that_is_not_here_is_named(ab):
    a, b = ab
    found = differences.ledger(a.ledgers["results/ledger.csv"], b.ledgers["results/ledger.csv"])
    ((before, after),) = found.verdicts
    assert (before["verdict"], after["verdict"]) == ("not reproduced", "reproduced")
    assert [row["method"] for row in found.appeared] == ["arrived"]
    assert [row["method"] for row in found.gone] == ["gone"]
    assert "results/ledger-phantom.csv" in a.not_here
    assert "Not compared: not here in A and B." in page.render(a, b)


def test_subjects_whose_verdicts_or_numbers_differ_are_found(ab):
    a, b = ab
    assert differences.changes(differences.verdicts(a), differences.verdicts(b)) == [
        ("heads/two", "passed", "left out: brain, too small", ())
    ]
    numbers = differences.changes(differences.qualities(a), differences.qualities(b))
    assert [change.key for change in numbers] == ["heads/two/score", "heads/two/strip/brain_ml"]
    shown = page.render(a, b)
    assert "1 verdict on subjects, 2 numbers of subjects" in shown and "left out: brain, too small" in shown


def test_steps_of_volumes_that_the_cache_has_not_are_listed(root):
    strip = f"{INTERIM}/two/strip/passport.json"
    break_cache(root, "A", INTERIM)
    break_cache(root, "B", strip)
    a, b = content(root, "A"), content(root, "B")
    assert INTERIM in a.not_here and "imaging/heads/two/strip" not in a.passports
    assert strip in b.not_here and INTERIM not in b.not_here and "imaging/heads/one/strip" in b.passports
    shutil.rmtree(root / INTERIM)
    assert f"dvc pull {INTERIM}" in content(root, "workspace").not_here[INTERIM]


def test_a_claim_that_is_decided_on_other_data_sets_is_one_row():
    claim = {"study": "s", "table": "Claim: x", "method": "m", "metric": "claim"}
    key = tuple(claim.values())
    before = claim | {"dataset": "one", "verdict": "not run"}
    after = claim | {"dataset": "one two", "verdict": "reproduced"}
    found = differences.ledger({key: before}, {key: after})
    assert found.verdicts == [(before, after)] and not found.appeared and not found.gone


def test_metrics_have_the_paired_interval_of_scipy_over_the_seeds(ab):
    runs = {found.run: found for found in differences.metrics(*ab)}
    assert runs.keys() == {AE, PHANTOM}
    (metric,) = runs[AE].changed
    interval = stats.ttest_rel(PSNR["B"], PSNR["A"]).confidence_interval()
    assert metric.name == "reconstruction/psnr"
    assert metric.difference == pytest.approx(np.mean(PSNR["B"]) - np.mean(PSNR["A"]))
    assert (metric.low, metric.high) == pytest.approx((interval.low, interval.high))
    assert [runs[AE].seeds[seed][0].difference for seed in SEEDS] == [0.25, 0.5, -0.5]
    assert runs[AE].same == ["data/test/images", "reconstruction/ssim"]
    assert (runs[AE].only_a, runs[AE].only_b) == (["lone/A"], ["lone/B"])
    assert np.isnan(runs[PHANTOM].changed[0].low)


def test_differences_that_cancel_over_the_seeds_are_not_called_the_same_bits(ab):
    a, b = ab
    shifted = {
        seed: result._replace(metrics={"x": 1.0 + (seed - 2)}) for seed, result in a.results[AE].items()
    }
    level = {seed: result._replace(metrics={"x": 1.0}) for seed, result in b.results[AE].items()}
    found = differences._run_metrics(AE, shifted, level)
    assert found.same == [] and found.changed[0].difference == 0


def test_the_largest_difference_comes_first():
    values = {"small": 0.1, "none": 0.0, "large": -3.0, "middle": 1.0}
    zeros, moved = dict.fromkeys(values, 0.0), values
    found = differences._largest_first(differences._metric(name, [zeros], [moved]) for name in values)
    assert [metric.name for metric in found] == ["large", "middle", "small", "none"]


def test_the_page_shows_the_same_test_images_under_both(ab):
    shown = page.render(*ab)
    strips = re.findall(r'src="data:image/png;base64,([^"]+)" alt="([^"]+)"', shown)
    decoded = [(label, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))) for data, label in strips]
    gain = 20  # the largest of the gains with which 7 grey levels stay below 255
    expected = {
        "clean: original": ORIGINAL,
        "clean: reconstruction, A": ORIGINAL + np.uint8(1),
        "clean: reconstruction, B": ORIGINAL + np.uint8(1 + SHIFT),
        f"clean: |A − B| × {gain}": np.full_like(ORIGINAL, SHIFT * gain),
    }
    assert [label for label, _ in decoded] == [*expected] * 2  # of the run and of its phantom
    for label, pixels in decoded:
        first, second = np.moveaxis(expected[label], 1, -1)
        np.testing.assert_array_equal(pixels[:, :4], first)
        np.testing.assert_array_equal(pixels[:, 5:], second)
    assert "InvertImg/reconstruction" in shown and "1 that are the same bits in both" in shown


def test_other_test_images_are_never_shown_as_the_same():
    a = {"clean/original": ORIGINAL, "clean/anatomy": ORIGINAL}
    b = {"clean/original": ORIGINAL[::-1], "clean/anatomy": ORIGINAL + np.uint8(1)}
    gallery = pictures.compare(a, b)
    assert gallery.conditions == {} and gallery.same == []
    assert gallery.left_out == {"clean/anatomy": "they are not the same test images"}


def test_pictures_that_one_version_lacks_or_that_are_no_pictures_are_named():
    a = {"clean/original": ORIGINAL, "clean/anatomy": ORIGINAL, "clean/factors": ORIGINAL[:, :2]}
    b = {"clean/original": ORIGINAL, "clean/factors": ORIGINAL[:, :2]}
    left_out = pictures.compare(a, b).left_out
    assert left_out["clean/anatomy"] == "only A has it"
    assert left_out["clean/factors"].startswith("no pictures of one shape")


@settings(deadline=None)
@given(st.integers(0, 255), st.integers(0, 255))
def test_a_gain_clips_nothing(x, y):
    one, other = (np.full((1, 1, 2, 2), value, np.uint8) for value in (x, y))
    pair = pictures._pair("reconstruction", one, other)
    np.testing.assert_array_equal(pair.difference, np.full_like(one, abs(x - y) * pair.gain, dtype=np.int64))


@pytest.mark.parametrize("name", ["B", "same"])
def test_between_equal_versions_nothing_differs(original, name):
    b, other = content(original, "B"), content(original, name)
    assert b.not_here.keys() == {"results/ledger-phantom.csv"}  # everything else is really compared
    shown = page.render(b, other)
    assert "Nothing differs in what is here." in shown
    assert "are exactly equal" in shown and "none of 8 metrics differs: the same bits" in shown
    assert "<img" not in shown


def test_same_versions_same_bytes_without_a_path_a_link_outwards_or_a_script(original, ab, tmp_path):
    page.write("A", "B", tmp_path / "one.html", original)
    page.write("A", "B", tmp_path / "two.html", original)
    shown = (tmp_path / "one.html").read_text(encoding="utf-8")
    assert shown == (tmp_path / "two.html").read_text(encoding="utf-8") == page.render(*ab)
    assert str(original) not in shown
    assert not re.search(r'(src|href)="(?!data:image/png;base64,|#)', shown)
    assert "<script" not in shown and "&lt;script&gt;alert(1)" in shown


def test_parameters_are_escaped(root):
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["methods"]["ae"]["note"] = "<i>'\"&"
    put(root / "params.yaml", yaml.safe_dump(params))
    shown = page.render(content(root, "B"), content(root, "workspace"))
    assert "&lt;i&gt;&#x27;" in shown and "<i>" not in shown


def test_the_working_tree_is_left_untouched(root, tmp_path):
    def state() -> tuple[str, dict[str, str]]:
        files = [path for path in root.rglob("*") if path.is_file() and ".dvc/tmp" not in path.as_posix()]
        return git(root, "status", "--porcelain", "--ignored"), {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
        }

    (root / "data" / "slices" / "breastmnist.h5").unlink()
    put(root / "src" / "method.py", "other = 1\n")
    before = state()
    page.write("A", "B", tmp_path / "page.html", root)
    page.write("A", "workspace", tmp_path / "page.html", root)
    assert state() == before


def test_what_the_cache_has_not_is_listed_with_the_way_to_get_it(root):
    phantom = f"results/{'/'.join(PHANTOM)}/seed-1/metrics.json"
    checkpoint = f"{AE_1.replace('results', 'models')}/model.safetensors"
    lost = {f"{AE_1}/arrays.npz", phantom, checkpoint}
    for path in lost:
        break_cache(root, "A", path)
    a, b = content(root, "A"), content(root, "B")
    assert a.not_here.keys() - b.not_here.keys() == lost
    assert all("dvc fetch --all-commits" in a.not_here[path] for path in lost)
    shown = page.render(a, b)
    assert all(path in shown for path in lost)
    assert "1 result of B: not compared, the other&#x27;s are not here" in shown
    assert "that only B has" not in shown.split('id="metrics"')[1]
    assert "1 run whose pictures are not here" in shown


def test_arrays_of_which_nobody_knows_are_listed(root):
    lock = yaml.safe_load((root / "dvc.lock").read_text())
    outs = lock["stages"]["all"]["outs"]
    outs.remove(next(out for out in outs if out["path"] == f"{AE_1}/arrays.npz"))
    put(root / "dvc.lock", yaml.safe_dump(lock))
    git(root, "commit", "-qam", "Less")
    assert content(root, "HEAD").not_here[f"{AE_1}/arrays.npz"].startswith("neither in git nor in dvc.lock")


def test_other_bytes_in_the_cache_than_dvc_lock_means_are_refused(root):
    break_cache(root, "A", f"{AE_1}/arrays.npz", npz("B", 1))
    with pytest.raises(ValueError, match=rf"{AE_1}/arrays\.npz at A: .*expected the MD5"):
        page.render(content(root, "A"), content(root, "B"))


def test_the_working_tree_is_a_version(root):
    clean = content(root, "workspace")
    assert "Nothing differs in what is here." in page.render(content(root, "HEAD"), clean)
    metrics = root / AE_1 / "metrics.json"
    put(metrics, json.dumps(json.loads(metrics.read_text()) | {"reconstruction/psnr": 99.25}))
    put(root / "src" / "fresh.py", "new = 1\n")
    put(root / "src" / "method.py", "same = 1\n")
    (root / "data" / "slices" / "breastmnist.h5").unlink()
    head, workspace = content(root, "HEAD"), content(root, "workspace")
    (found,) = (each for each in differences.metrics(head, workspace) if each.changed)
    assert found.seeds[1][0].difference == 99.25 - PSNR["B"][0]
    sources = [("new", "", "src/fresh.py"), ("0", "2", "src/method.py")]
    assert read.changed_sources(head.version, workspace.version) == sources
    sources = [("gone", "", "src/fresh.py"), ("2", "0", "src/method.py")]
    assert read.changed_sources(workspace.version, head.version) == sources
    assert any("fresh.py" in line for line in workspace.version.uncommitted)
    assert "dvc pull data/slices/breastmnist.h5" in workspace.not_here["data/slices/breastmnist.h5"]


def test_metrics_with_their_passport_inside_are_read_too(root):
    """As they were before passport.json."""
    folder = root / AE_1
    inside = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("metrics", "passport")}
    put(folder / "metrics.json", json.dumps(inside))
    (folder / "passport.json").unlink()
    assert content(root, "workspace").results == content(root, "B").results


METRICS = ("{", "[]", '{"x": NaN}', '{"x": "1"}', '{"passport": {"job": {}}}')


@pytest.mark.parametrize(
    ("path", "damage"),
    [
        *((f"results/imaging/heads/{name}", "[1]") for name in ("qc.csv", "passport.json")),
        *((f"{AE_1}/metrics.json", damage) for damage in METRICS),
    ],
)
def test_a_damaged_file_is_named_with_its_version(root, path, damage):
    put(root / path, damage)
    with pytest.raises(ValueError, match=rf"{path} at workspace: expected a sound file"):
        content(root, "workspace")


@pytest.mark.parametrize("name", ["nothing", "--all", ""])
def test_a_name_that_git_does_not_know_is_refused(original, name):
    with pytest.raises(ValueError, match="name a revision of git"):
        read.load(name, original)


def test_a_folder_without_git_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not a git repository"):
        read.load("HEAD", tmp_path)


def test_the_verb_writes_the_page_from_any_folder_of_the_checkout(root, monkeypatch):
    monkeypatch.chdir(root / "src")
    result = CliRunner().invoke(app, ["compare", "A", "B", "--out", str(root / "reports" / "compare.html")])
    assert result.exit_code == 0, result.output
    assert "side by side" in (root / "reports" / "compare.html").read_text(encoding="utf-8")


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
names = st.text("abc", min_size=1, max_size=2)
values = leaves | st.lists(leaves, max_size=2) | st.dictionaries(names, leaves, max_size=3)
trees = st.dictionaries(names, st.dictionaries(names, values, max_size=3) | values, max_size=4)


@settings(deadline=None, max_examples=40)
@given(trees, trees)
def test_changes_are_none_between_equals_and_mirrored_otherwise(x, y):
    a, b = flatten(x), flatten(y)
    assert differences.changes(a, dict(a)) == []
    assert bool(differences.changes(a, b)) == (json.dumps(x, sort_keys=True) != json.dumps(y, sort_keys=True))
    mirrored = [(change.key, change.b, change.a) for change in differences.changes(b, a)]
    assert [change[:3] for change in differences.changes(a, b)] == mirrored
