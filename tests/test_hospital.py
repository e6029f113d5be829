"""The page docs/hospital.md, followed to the letter in a copy of the project, with heads of a few voxels."""

import re
import subprocess
import sys

import forked
import pytest
import yaml
from conftest import ROOT, Project, jobs_of
from tiny_volumes import write_folder

from latent_anatomy.data import slices_file

PAGE = (ROOT / "docs/hospital.md").read_text(encoding="utf-8")
BLOCK, EXCLUDED = (yaml.safe_load(each) for each in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
CHECK, VOUCH, PLACE, LOOK, TRY, ALL = re.findall(r"```sh\n(.*?)\n```", PAGE, re.DOTALL)
DATASET, SPLITS = "bids-mystudy", ("train", "train", "val", "test")
# In the copy of the sources, instead of what takes minutes: what is known of these heads.
KNOWN = {
    "bias": "def correct(image, settings):\n    return image, {'field_cv': 0.1}\n",
    "registration": "def register(*given):\n"
    "    from latent_anatomy.imaging.transform import Transform\n    return Transform.identity()\n",
    "stripping": "def strip(head, atlas, settings, given):\n    return atlas.brain, {'brain_ml': 1500.0}\n",
}
COARSE = {
    "atlas": {"spacing_mm": 8.0},
    "slab": {"count": 4, "size": 32},
    "gate": {"measures": {"similarity_after": {"minimum": 1}}},  # of noise
}
TINY = [{"runs": ["dae", "sae3"], "params": {"width": 2}}, {"runs": ["dae"], "params": {"latent": 4}}]


@pytest.fixture
def mirror(tmp_path):
    """The folder as the page has it, with nobody's word for its files yet."""
    write_folder(tmp_path / "mirror" / DATASET, SPLITS)
    (tmp_path / "mirror" / DATASET / "SHA256SUMS").unlink()
    (tmp_path / "mirror" / DATASET / "dataset_description.json").write_text('{"Name": "mine"}')
    return tmp_path / "mirror"


@pytest.fixture
def project(clean, tmp_path) -> Project:
    """The project with the page's blocks, and the real verbs instead of stand-ins."""
    (commands := tmp_path / "commands").mkdir()
    forked.stand_in(commands / "latent-anatomy", "latent_anatomy", sys.executable)
    project = Project(clean.copy(tmp_path / "project").path, commands)
    for key, block in BLOCK.items():
        for name, value in block.items():
            project.choose(key, name, value=value)
    for name, code in KNOWN.items():
        with (project.path / f"src/latent_anatomy/imaging/{name}.py").open("a") as stream:
            stream.write(f"\n\n{code}")
    for step, settings in COARSE.items():
        project.choose("imaging", "steps", step, value=settings)
    return project


def words(command: str) -> list[str]:
    """What stands behind `snakemake`, with two cores."""
    return command.removeprefix("snakemake ").replace("--cores 8", "--cores 2").split()


def made(project: Project, mirror, command: str) -> set[tuple[str, ...]]:
    """Run a command of the page; the jobs that it ran, which Snakemake prints on stderr."""
    ran = project.snakemake(*words(command), mirror=mirror)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return jobs_of(subprocess.CompletedProcess(ran.args, ran.returncode, ran.stderr, ""))


@pytest.mark.slow
def test_the_page_leads_from_a_folder_to_a_report(project, mirror):
    environment = project.environment(mirror) | {"OMP_NUM_THREADS": "1"}

    def shell(command: str, where) -> str:
        run = subprocess.run(
            command, shell=True, cwd=where, env=environment, capture_output=True, text=True, check=True
        )
        return run.stdout

    told = shell(CHECK, mirror)
    assert told.count("sub-") >= 4 and "sha256sum" in told and "Refused" not in told
    shell(VOUCH, mirror / DATASET)
    assert "to do" not in shell(CHECK, mirror)
    assert PLACE.startswith("export LATENT_ANATOMY_MIRROR=")

    looked = made(project, mirror, LOOK)
    assert ("gate", DATASET) in looked and ("slab", DATASET) in looked and ("qc_report",) in looked
    assert not {job[0] for job in looked} & {"train", "evaluate", "report", "ledger"}
    qc = (project.path / "reports/qc.html").read_text(encoding="utf-8")
    assert all(f"sub-0{who}" in qc for who in range(1, 5)) and qc.count("data:image/png") >= 4 * 5
    assert set(slices_file.read(project.path / f"data/slices/{DATASET}.h5").split.tolist()) == set(SPLITS)

    project.choose("collections", "hospital", "studies", "hospital", "seeds", value=[1])
    [short] = re.findall(r"`changes: (\[.*?\])`", PAGE)
    changes = [*TINY, *yaml.safe_load(short)]
    project.choose("collections", "hospital", "studies", "hospital", "changes", value=changes)
    tried = made(project, mirror, TRY)
    baselines = {("train", "hospital", DATASET, run, "seed-1") for run in ("intensity", "healthy-mean")}
    assert {job for job in tried if job[0] == "train"} == baselines
    assert tried.isdisjoint(looked), "nothing is made twice"

    trained = made(project, mirror, ALL)
    networks = {("train", "hospital", DATASET, run, "seed-1") for run in ("dae", "sae3")}
    assert {job for job in trained if job[0] == "train"} == networks
    page = (project.path / "reports/hospital.html").read_text(encoding="utf-8")
    assert all(f">{run}</td>" in page for run in BLOCK["studies"]["hospital"]["runs"])
    index = (project.path / "reports/index.html").read_text(encoding="utf-8")
    assert all(f'href="{name}.html"' in index for name in ("hospital", "qc")) and "4 of 4 heads" in index
    assert (
        'href="index.html"' in page
        and "auprc" in page
        and str(mirror) not in page
        and str(project.path) not in page
    )

    project.choose("imaging", "datasets", DATASET, value=EXCLUDED["imaging"]["datasets"][DATASET])
    again = project.plan(*words(LOOK), mirror=mirror)
    assert again == {("gate", DATASET), ("slab", DATASET), ("qc_report",)}, "and the others stay as they are"


@pytest.mark.slow
def test_a_collection_can_name_its_part_as_the_command_line_can(project, mirror):
    subprocess.run(VOUCH, shell=True, cwd=mirror / DATASET, check=True)
    planned = project.plan(*words(TRY), mirror=mirror)
    part = {"runs": ["intensity", "healthy-mean"], "protocols": ["lesions"]}
    for key, value in part.items():
        project.choose("collections", "hospital", key, value=value)
    named = [word for word in words(TRY) if not word.startswith(("runs=", "protocols="))]
    assert project.plan(*named, mirror=mirror) == planned
    assert {job[3] for job in planned if job[0] == "train"} == set(part["runs"])
