"""Copies of the pipeline that tests can change, and that run without training anything.

A `Project` has the checkout's Snakefile, rules, parameters and sources, no network, and a
`latent-anatomy` that makes every file that a verb would make. Its command line, its job and a hash of all
that it reads are their content, so that, as with the real one, a file changes when what it is made of does.
"""

import compileall
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import forked
import pytest
import rich_project
import yaml
from rich_project import with_methods  # noqa: F401

from latent_anatomy.data.dataset import Dataset
from latent_anatomy.data.download import Download
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import imaging_steps, training_jobs, volume_files
from latent_anatomy.pipeline.params import Params
from latent_anatomy.provenance.files import sha256_file

ROOT = Path(__file__).parents[1]
PIPELINE = (
    *("Snakefile", "Makefile", "params.yaml", "workflow", "profiles", "papers", "notebooks", "src"),
    *("dvc.yaml", ".dvcignore", ".dvc/config", ".dvc/.gitignore", ".gitignore"),
)
NO_NETWORK = "http://127.0.0.1:9"  # a proxy that nobody serves
# Imports nothing of the package, so that it starts at once: names.json beside it has the names of files.
VERBS = """#!{python} -IS
import hashlib
import fcntl
import json
import os
import sys
from pathlib import Path

words = sys.argv[1:]
if words[0] == "sync":
    python = os.path.join(os.environ["{served}"], "python")
    os.execv(python, [python, "-m", "latent_anatomy", *words])
options = dict(zip(words, words[1:]))
names, read = json.loads(Path(__file__).with_name("names.json").read_text()), []
if words[0] in ("fetch", "phantom"):
    chosen = [word for option, word in zip(words, words[1:]) if option == "--file"]
    made = [Path(options["--out"], name) for name in chosen or names["raw"][words[1]]]
elif words[0] == "image" and "--out" not in options:
    step, dataset, subject = words[1:4]
    made = [Path(options["--interim"], subject, step, name) for name in names[step][dataset]]
    earlier = names["steps"][: names["steps"].index(step)]
    read = [path for name in earlier for path in Path(options["--interim"], subject).glob(name + "/*")]
else:
    given = ("--model",) if words[0] == "evaluate" else ()
    made = [Path(options[name]) for name in options if name in {outputs} and name not in given]
    made += [Path(options[name], "probing.roc.csv") for name in options if name == "--tables"]
    below = {{"--interim": "*/normalise/*", "--results": "*/*/scores.npz"}}
    read = [path for name in below if name in options for path in Path(options[name]).glob(below[name])]
read = sorted(set(read) | {{Path(word) for word in words if os.path.isfile(word)}} - set(made))
job = Path(options["--params"]).read_text() if "--params" in options else ""
state = hashlib.sha256(b"".join(path.read_bytes() for path in read)).hexdigest()
for path in made:
    path.parent.mkdir(parents=True, exist_ok=True)
    number = int(state[:6], 16)
    columns = "false_positive_rate,true_positive_rate" if path.name.endswith("roc.csv") else "epoch,val/loss"
    content = {{".json": json.dumps({{"number": number}}), ".csv": f"{{columns}}\\n1,{{number}}\\n"}}
    whole = "ledger" not in words[0] and path.suffix in content
    path.write_text(content[path.suffix] if whole else " ".join([*words, job, state]))
"""
OUTPUTS = (
    *("--out", "--phantom-out", "--model", "--history"),
    *("--metrics", "--scores", "--arrays", "--passport"),
)

# Subjects of phantom-brain, one of each split first: those that a finished project has, and those left out.
FIRST = {subject.split: subject.name for subject in reversed(datasets.find("phantom-brain").subjects)}
EVERYBODY = [
    *FIRST.values(),
    *(each.name for each in datasets.find("phantom-brain").subjects if each.name not in FIRST.values()),
]
TAKEN, LEFT_OUT = EVERYBODY[:4], EVERYBODY[4:]
EXCLUDED = ("imaging", "datasets", "phantom-brain", "excluded")


def names_of_files() -> dict:
    """For every data set, the names of its raw files and of what each imaging step leaves of a subject."""
    names = {"steps": imaging_steps.OF_SUBJECT}
    names["raw"] = {each.name: [file.name for file in each.files] for each in datasets.DATASETS}
    for dataset in datasets.DATASETS:
        for step in imaging_steps.of_subject(dataset.name) if getattr(dataset, "subjects", ()) else ():
            files = [*volume_files.files_of(dataset, step), *volume_files.BESIDE]
            names.setdefault(step, {})[dataset.name] = files
    return names


@dataclass(frozen=True)
class Project:
    """A folder with the pipeline, and the folder of commands that stand in for the real ones."""

    path: Path
    commands: Path

    def snakemake(self, *words: str, mirror: Path | None = None) -> subprocess.CompletedProcess:
        """Run `snakemake` with these arguments; its output as text, whatever its exit code."""
        return forked.run("snakemake", words, self.path, self.environment(mirror))

    def dvc(self, *words: str) -> subprocess.CompletedProcess:
        """The same of `dvc`."""
        return forked.run("dvc", words, self.path, self.environment())

    def sync(self, verb: str) -> subprocess.CompletedProcess:
        """The same of `latent-anatomy sync`, the real one."""
        return forked.run("latent_anatomy", ("sync", verb), self.path, self.environment())

    def run(self, *command: str, mirror: Path | None = None) -> subprocess.CompletedProcess:
        """Run a command in the project's folder; its output as text, whatever its exit code."""
        environment = self.environment(mirror)
        return subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True)

    def environment(self, mirror: Path | None = None) -> dict[str, str]:
        """The variables under which a command runs in the project's folder."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LATENT_")}
        environment |= {
            "PATH": os.pathsep.join([str(self.commands), environment["PATH"]]),
            "PYTHONPATH": str(self.path / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "http_proxy": NO_NETWORK,
            "https_proxy": NO_NETWORK,
            "no_proxy": "127.0.0.1",
            "DVC_NO_ANALYTICS": "1",
        }
        if mirror is not None:
            environment["LATENT_ANATOMY_MIRROR"] = str(mirror)
        return environment

    def plan(self, *words: str, mirror: Path | None = None) -> set[tuple[str, ...]]:
        """The jobs of a dry run, each as its rule and its wildcards in their order."""
        result = self.snakemake("-n", *words, mirror=mirror)
        assert result.returncode == 0, result.stdout + result.stderr
        return jobs_of(result)

    def choose(self, *keys: str, value: object) -> None:
        """Set the entry of params.yaml under these keys; None removes it."""
        path = self.path / "params.yaml"
        content = yaml.safe_load(path.read_text())
        block = content
        for key in keys[:-1]:
            block = block[key]
        block.pop(keys[-1], None)
        if value is not None:
            block[keys[-1]] = value
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def give_raw_files(self, *names: str) -> None:
        """Put a file in each place where the raw files of these data sets belong."""
        self.give_files(*map(datasets.find, names))

    def give_weights(self, chosen: Params) -> None:
        """The same of the weights of others that runs of the chosen collection are given."""
        self.give_files(*(each for given in training_jobs.weights(chosen).values() for each in given))

    def give_files(self, *sources: Dataset | Download) -> None:
        for source in sources:
            for file in source.files:
                path = self.path / "data" / "raw" / source.name / file.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"raw")

    def copy(self, path: Path) -> "Project":
        """The same with all its files and their times."""
        return Project(shutil.copytree(self.path, path), self.commands)


def pytest_sessionstart() -> None:
    """Before a test starts threads, which a fork would lack."""
    forked.serve()


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def jobs_of(dry_run: subprocess.CompletedProcess) -> set[tuple[str, ...]]:
    """The jobs that a dry run has printed, each as its rule and its wildcards in their order."""
    jobs = set()
    # "rule train:", then its indented lines
    for rule, lines in re.findall(r"^(?:local)?rule ([\w-]+):\n((?: +.*\n)*)", dry_run.stdout, re.MULTILINE):
        wildcards = re.search(r"^ +wildcards: (.*)$", lines, re.MULTILINE)
        jobs.add((rule, *(re.findall(r"\w+=([^,\s]+)", wildcards[1]) if wildcards else ())))
    return jobs


@pytest.fixture(scope="session")
def made_once(tmp_path_factory, worker_id) -> Callable[[str, Callable[[Path], None]], Path]:
    """A folder that the first process of this session makes, and the others wait for and share."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent

    def made(name: str, make: Callable[[Path], None]) -> Path:
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (shared / name).is_dir():
                (shared / "unfinished").mkdir(exist_ok=True)
                make(shared / "unfinished" / name)
                (shared / "unfinished" / name).rename(shared / name)
        return shared / name

    return made


@pytest.fixture(scope="session")
def clean(made_once) -> Project:
    """The pipeline as after cloning. Not to be changed: copy it."""
    folder = made_once("clean", make_clean)
    return Project(folder / "project", folder / "commands")


def make_clean(folder: Path) -> None:
    """The pipeline in `folder`/project, the commands that stand in for the real ones in `folder`/commands."""
    project = Project(folder / "project", folder / "commands")
    for name in PIPELINE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, project.path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (project.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, project.path / name)
    project.commands.mkdir()
    compileall.compile_dir(project.path / "src", quiet=1)  # once, instead of in every fork
    verbs = VERBS.format(python=sys.executable, outputs=OUTPUTS, served=forked.SERVED)
    snakemake = f'#!/bin/sh\nexec {sys.executable} -m snakemake "$@"\n'
    stubs = {
        "latent-anatomy": verbs,
        "snakemake": snakemake,
        "papermill": "#!/bin/sh",
        "jupyter": "#!/bin/sh",
    }
    (project.commands / "names.json").write_text(json.dumps(names_of_files()))
    for name, text in stubs.items():
        (project.commands / name).write_text(text)
        (project.commands / name).chmod(0o755)


@pytest.fixture(scope="session")
def finished(clean, made_once) -> Project:
    """The pipeline after everything ran, with the subjects TAKEN. Not to be changed: copy it."""

    def make(folder: Path) -> None:
        project = clean.copy(folder)
        project.choose(*EXCLUDED, value=dict.fromkeys(LEFT_OUT, "a test"))
        result = project.snakemake("--cores", "2", "--quiet")
        assert result.returncode == 0, result.stdout + result.stderr

    return Project(made_once("finished", make), clean.commands)


@pytest.fixture(scope="session")
def rich(made_once) -> Path:
    """The project of `rich_project`, finished. Not to be changed: copy it."""
    return made_once("rich", rich_project.make)
