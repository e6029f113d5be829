"""A tiny project that Snakemake makes; and Snakemake killed again and again, until it ends."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import tiny_project
import yaml
from tree import differences, snapshot

A, B = "phantom-breastmnist", "phantom-pneumoniamnist"
POOL = f"{A}__{B}"
TARGETS = (
    *("results/ledger-phantom.csv", f"results/unoranic/{POOL}/ae/seed-1/metrics.json"),
    *("reports/unoranic.html", "reports/qc.html", f"data/slices/{POOL}.h5"),
)
MADE = ("data", "models", "results", "reports", ".params", ".scratch", ".snakemake")
LIMIT_S = 900
KILLS = 12  # then it may end


def make(folder: Path) -> None:
    """`folder`/project, finished once by Snakemake; commands.txt has the commands that it ran."""
    project = folder / "project"
    if (folder / "made").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    project.mkdir(parents=True)
    for name in ("Snakefile", "workflow", "profiles", "papers", "notebooks", "src", tiny_project.LOCK):
        source, skipped = tiny_project.ROOT / name, shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, project / name, ignore=skipped)
        else:
            shutil.copy(source, project / name)
    content = tiny_project.parameters()
    phantom = content["collections"]["phantom"]
    phantom["images"], study = [A, B], phantom["studies"]["unoranic"]
    study["changes"][0]["params"]["epochs"] = 4
    study["datasets"], study["changes"] = [A, POOL], [*study["changes"], {"datasets": [POOL], "seeds": [1]}]
    (project / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    command = bin_folder / "latent-anatomy"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m latent_anatomy "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    git = ["git", "-C", str(project), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "src"], ["commit", "-q", "-m", "A tiny project"]):
        subprocess.run([*git, *words], check=True)
    done = started(folder, "--printshellcmds").communicate(timeout=LIMIT_S)[0]
    (folder / "commands.txt").write_text(done, encoding="utf-8")
    assert all((project / target).is_file() for target in TARGETS), done[-3000:]
    shutil.copytree(project, folder / "whole", symlinks=True)
    (folder / "made").touch()


def restore(folder: Path) -> None:
    """The project as it was when Snakemake had made it."""
    shutil.rmtree(folder / "project", ignore_errors=True)
    shutil.copytree(folder / "whole", folder / "project", symlinks=True)


def started(folder: Path, *words: str) -> subprocess.Popen:
    """Snakemake in a session of its own, on one core."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *words, "--", *TARGETS]
    environment = os.environ | {
        "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]),
        "PYTHONPATH": str(folder / "project" / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.Popen(
        command,
        cwd=folder / "project",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def until_it_ends(folder: Path, rng: random.Random) -> list[dict]:
    """All is deleted, or what one folder has, and made again, with kills in between; one row a kill."""
    project, killed = folder / "project", []
    for name in MADE if rng.random() < 0.5 else [rng.choice(MADE[1:4])]:
        shutil.rmtree(project / name, ignore_errors=True)
    said = ""
    for _ in range(2 * KILLS):
        process = started(folder)
        alone = rng.random() < 0.5
        try:
            limit = rng.uniform(1, 25) if len(killed) < KILLS else LIMIT_S
            said = process.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            if alone:
                process.kill()  # what it started goes on as an orphan
                time.sleep(rng.uniform(0, 3))
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()
            process.wait()
            killed.append({"kind": "snakemake", "alone": alone})
            subprocess.run(
                [sys.executable, "-m", "snakemake", "--unlock"],
                cwd=project,
                env=os.environ | {"PYTHONPATH": str(project / "src")},
                capture_output=True,
                check=False,
            )
            continue
        if process.returncode == 0:
            break
        time.sleep(2)  # an orphan makes what this one would make, and it said so
    outcome, what = differences(snapshot(folder / "whole"), snapshot(project))
    if process.returncode:
        outcome, what = "lost", said[-300:]
    if outcome != "as before":
        restore(folder)
    return [each | {"outcome": outcome, "said": what} for each in killed]
