"""Snakemake's outputs and DVC's record of them, brought into agreement.

Snakemake makes files in parallel and on clusters; DVC versions them. Neither calls the other here: what
one has done is told to the other, and only when it is finished.

    stages    params.yaml -> dvc.yaml
    jobs      params.yaml -> .params, which DVC asks for where Snakemake does it while it starts
    record    what Snakemake made -> dvc.lock and DVC's cache, and into git's index what git keeps
    restore   a version of dvc.lock -> files, with times that leave Snakemake nothing to do
    check     whether both have nothing to do
"""

import json
import subprocess
import sys
from pathlib import Path

from latent_anatomy.pipeline import job_files, params

NOTHING = "Nothing to be done"
PARAMS = Path("params.yaml")
REMEDIES = {
    "Snakefile": "change to the root of a checkout",
    ".dvc": "change to the root of a checkout that DVC knows, or let it know this one (dvc init)",
    "dvc.yaml": "write it (latent-anatomy sync stages)",
}


class Disagreement(ValueError):
    """One of the two tools would make something again."""


def stages() -> None:
    """Write dvc.yaml from params.yaml; ParamsError as when it is resolved."""
    from latent_anatomy.versions import stages  # here, because the other verbs need no torch in this process

    stages.write(params.load(PARAMS))


def jobs() -> None:
    """Write the jobs' files, as Snakemake does; Disagreement if dvc.yaml is not what `stages` would write."""
    from latent_anatomy.versions import stages

    chosen = params.load(PARAMS)
    job_files.prepare(chosen)
    if not stages.agree(chosen):
        raise Disagreement(
            "dvc.yaml: expected the stages of params.yaml, found others: latent-anatomy sync stages"
        )


def record() -> None:
    """Record the outputs in dvc.lock and stage what git keeps; Disagreement if Snakemake has not finished.

    dvc.yaml is written first. Metrics, passports and ledgers are staged with --force, because those of
    phantoms are ignored otherwise. Raises ChildProcessError when git or Snakemake fails.
    """
    from dvc.repo import Repo  # here, because the other verbs need no DVC in this process

    _here("Snakefile", ".dvc")
    _nothing_for_snakemake("run snakemake to the end, then record")
    stages()
    with Repo() as repo:
        repo.commit(force=True)
        kept = sorted(out.def_path for out in repo.index.outs if not out.use_cache)
    _run("git", "add", "--force", "--", "dvc.lock", "dvc.yaml", *kept)


def restore() -> None:
    """Bring the files of dvc.lock, from the remote if there is one, and let Snakemake know of them.

    Raises FileNotFoundError without a dvc.lock, Disagreement when it is not the record of these sources, and
    ChildProcessError when a tool fails.
    """
    _here("Snakefile", ".dvc", "dvc.yaml")
    if not Path("dvc.lock").is_file():
        raise FileNotFoundError(
            "dvc.lock: expected the record of a version, found none: check one out with git"
        )
    _run("dvc", "pull" if _run("dvc", "remote", "list").strip() else "checkout", "--quiet")
    _nothing_for_dvc("dvc.lock is not the record of these sources: check out the revision that it belongs to")
    # Into the run cache, which no remote has of stages whose outputs are git's: so that a parameter that is
    # changed and changed back makes nothing again.
    _run("dvc", "commit", "--force", "--quiet")
    _run("snakemake", "--touch", "--cores", "1", "--quiet", "all")
    check()


def check() -> None:
    """Raise Disagreement, naming what is stale, unless DVC and Snakemake both have nothing to do.

    FileNotFoundError outside of a checkout with DVC, ChildProcessError when a tool fails.
    """
    _here("Snakefile", ".dvc", "dvc.yaml")
    _nothing_for_dvc("dvc repro, or sync record after snakemake")
    _nothing_for_snakemake("snakemake, then sync record")


def _here(*names: str) -> None:
    """FileNotFoundError for the first of these that is not in this folder, see REMEDIES."""
    for name in names:
        if not Path(name).exists():
            raise FileNotFoundError(f"{name}: expected it in this folder, found none: {REMEDIES[name]}")


def _nothing_for_dvc(advice: str) -> None:
    status = json.loads(_run("dvc", "status", "--json"))
    if status:
        stages = ", ".join(list(status)[:5]) + (f" and {len(status) - 5} more" if len(status) > 5 else "")
        raise Disagreement(f"expected nothing for dvc to do, found {stages}: {advice}")


def _nothing_for_snakemake(advice: str) -> None:
    plan = _run("snakemake", "--dry-run", "--cores", "1")
    if NOTHING not in plan:
        jobs = plan.partition("Job stats:")[2].split("\n\n")[0].split()
        raise Disagreement(
            f"expected nothing for snakemake to do, found {' '.join(jobs[4:]) or 'a plan'}: {advice}"
        )


def _run(tool: str, *words: str) -> str:
    """Output of a command; ChildProcessError with the last that it said when it fails."""
    command = [tool, *words] if tool == "git" else [sys.executable, "-m", tool, *words]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        *_, last = ["nothing", *(result.stdout + result.stderr).strip().splitlines()]
        asked = " ".join((tool, *words[:4]))
        raise ChildProcessError(
            f"expected `{asked}` to succeed, found exit code {result.returncode} after {last.strip()!r}: "
            "run it by itself, to see all that it says"
        )
    return result.stdout
