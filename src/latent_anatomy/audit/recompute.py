"""Run an evaluation again from its inputs, and compare."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from latent_anatomy.audit.links import Files, Link, State
from latent_anatomy.jobs.inputs import ONE_THREAD
from latent_anatomy.pipeline.layout import OUTPUTS, TABLES, Artefact
from latent_anatomy.provenance.files import write_json
from latent_anatomy.provenance.formats import read_passport
from latent_anatomy.provenance.sources import PACKAGE_ROOT

SHOWN = 3


def recompute(files: Files, artefact: Artefact, make: str) -> Link:
    """Evaluate again by the job in the passport, on the same kind of device: the same bits, or a break."""

    def link(state: State, message: str) -> Link:
        return Link(artefact.path, "recompute", state, message)

    absent = [path for path in (artefact.path, *artefact.inputs.values()) if not files.here(path)]
    if absent:
        return link(State.NOT_HERE, f"nothing to evaluate again: {absent[0]} is not here")
    try:
        passport = read_passport(files.root / artefact.path)
        before = json.loads((files.root / artefact.outputs["metrics"]).read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        return link(State.BROKEN, f"nothing to compare with: {error}")
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder, "job.json"), passport["job"])
        done = _evaluate(files.root, artefact, passport, Path(folder))
        if done.returncode:
            error = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return link(State.BROKEN, f"it could not be evaluated again: {error}: {make}")
        after = json.loads(Path(folder, "metrics.json").read_text(encoding="utf-8"))
        again = read_passport(Path(folder, "passport.json"))
    if again["device"] != passport["device"]:
        message = f"it was evaluated on {passport['device']}, of which this machine has none: do it there"
        return link(State.UNPROVEN, message)
    differing = [
        f"{key} was {before.get(key, 'not there')} and is {after.get(key, 'not there')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
    if not differing:
        return link(State.HOLDS, f"evaluated again, all {len(after)} metrics are the same bits")
    versions = ", ".join(
        f"{name} {passport['environment'].get(name)} then, {version} now"
        for name, version in again["environment"].items()
        if passport["environment"].get(name) != version
    )
    more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    why = f" ({versions})" if versions else ""
    return link(State.BROKEN, f"evaluated again, {'; '.join(differing[:SHOWN])}{more}{why}: {make}")


def _evaluate(root: Path, artefact: Artefact, passport: dict, folder: Path) -> subprocess.CompletedProcess:
    device = "cpu" if passport["device"] == "cpu" else "auto"
    options = {
        "params": folder / "job.json",
        "slices": (root / artefact.inputs["slices"]).resolve(),
        "model": (root / artefact.inputs["model"]).resolve(),
        "passport": folder / "passport.json",
        "device": device,
        **{role: folder / name for role, name in OUTPUTS.items()},
        "tables": folder / TABLES,
    }
    if "trained_on" in artefact.inputs:
        options["trained-on"] = (root / artefact.inputs["trained_on"]).resolve()
    command = [sys.executable, "-m", "latent_anatomy", "evaluate"]
    path = os.pathsep.join([str(PACKAGE_ROOT.parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": path}
    return subprocess.run(
        [*command, *(f"--{name}={value}" for name, value in options.items())],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
