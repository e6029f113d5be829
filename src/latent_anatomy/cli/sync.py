"""The verbs `latent-anatomy sync <what>`: Snakemake and DVC over the same params.yaml; docs/versions.md."""

from pathlib import Path

import typer

sync = typer.Typer(no_args_is_help=True, help="Bring Snakemake's outputs and DVC's record into agreement.")
PARAMS = Path("params.yaml")


@sync.command("plan")
def plan() -> None:
    """Say what will be made again after a change, and why; writes nothing."""
    from latent_anatomy.pipeline import params
    from latent_anatomy.versions import plan

    print(plan.text(plan.plan(params.load(PARAMS))))


@sync.command("stages")
def stages() -> None:
    """Write dvc.yaml, a stage for each job of params.yaml."""
    from latent_anatomy.versions import sync

    sync.stages()


@sync.command("jobs")
def jobs() -> None:
    """Write the jobs' files below .params, as Snakemake does; fail if dvc.yaml has other jobs than these."""
    from latent_anatomy.versions import sync

    sync.jobs()


@sync.command("record")
def record() -> None:
    """Record in dvc.lock and git's index what Snakemake made."""
    from latent_anatomy.versions import sync

    sync.record()


@sync.command("restore")
def restore() -> None:
    """Bring the files of the checked-out dvc.lock, and leave neither DVC nor Snakemake anything to do."""
    from latent_anatomy.versions import sync

    sync.restore()


@sync.command("check")
def check() -> None:
    """Fail, naming what is stale, unless DVC and Snakemake both have nothing to do."""
    from latent_anatomy.versions import sync

    sync.check()
