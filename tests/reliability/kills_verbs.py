"""Verbs that are killed one by one: those that Snakemake ran, and those that bring and prepare heads."""

import os
import random
import re
import shlex
import shutil
import signal
import sys
import time
from itertools import pairwise
from pathlib import Path

import tiny_project
import tiny_volumes
from tree import differences, snapshot

OPTIONS = ("--out", "--phantom-out", "--model", "--history", "--metrics", "--scores", "--arrays", "--tables",
           "--passport")  # fmt: skip
STATES = ("missing", "there", "others")
OLDER = b"made before\n"
RETRIES = 6


class Verbs:
    """All commands of both projects, and how long each kind takes here."""

    def __init__(self, folder: Path) -> None:
        import torch

        torch.set_num_threads(1)
        tiny_volumes.replace_slow_parts([])
        self.folder = folder
        found = [shlex.split(text) for text in _commands((folder / "commands.txt").read_text())]
        assert found, "no verb in commands.txt"
        self.commands = [(folder / "project", words) for words in found]
        self.commands += [(folder / "heads", words) for words in _of_heads(folder / "heads")]
        self.kinds = sorted({kind_of(words) for _, words in self.commands})
        self.lasts: dict[str, float] = {}
        self.expected = {root: snapshot(root) for root in {root for root, _ in self.commands}}

    def attempt(self, rng: random.Random) -> dict:
        """One kill of a verb, the verb again, and what came of it."""
        kind = rng.choice(self.kinds)
        root, words = rng.choice([each for each in self.commands if kind_of(each[1]) == kind])
        if kind not in self.lasts:
            begun = time.monotonic()
            assert _ended(_forked(root, words)) == 0, words
            self.lasts[kind] = time.monotonic() - begun
        state = rng.choice(STATES[: 2 if kind in ("fetch", "phantom") else 3])
        alone, last = rng.random() < 0.3, self.lasts[kind]
        for _ in range(RETRIES):
            files = self._begin(root, words, state)
            process = _forked(root, words)
            if not _done_within(process, rng.uniform(0, last)):
                break
            last *= 0.7
        else:
            return self.attempt(rng)
        (os.kill if alone else os.killpg)(process, signal.SIGKILL)
        os.waitpid(process, 0)
        said = self._half(root, files)
        if said:
            outcome = "wrong"
        elif code := _ended(_forked(root, words)):
            outcome, said = "lost", f"exit code {code} of {shlex.join(words)}"
        else:
            outcome, said = differences(self.expected[root], snapshot(root))
        if outcome != "as before":
            self._restore(root)
        return {"kind": kind, "state": state, "alone": alone, "outcome": outcome, "said": said}

    def _begin(self, root: Path, words: list[str], state: str) -> list[str]:
        """The outputs are missing, there, or others; their names below `root`."""
        files = outputs(words, self.expected[root])
        for name in files:
            if state == "missing":
                (root / name).unlink(missing_ok=True)
            elif state == "others":
                (root / name).write_bytes(OLDER)
        return files

    def _half(self, root: Path, files: list[str]) -> str:
        """A file that a kill left with a content that it never should have, if there is one."""
        import hashlib

        allowed = hashlib.sha256(OLDER).hexdigest()
        now = snapshot(root)
        wrong = [name for name in files if now.get(name) not in (None, allowed, self.expected[root][name])]
        return ", ".join(wrong)

    def _restore(self, root: Path) -> None:
        whole = self.folder / ("whole" if root.name == "project" else "heads-whole")
        shutil.rmtree(root)
        shutil.copytree(whole, root, symlinks=True)


def kind_of(words: list[str]) -> str:
    return " ".join(words[:2]) if words[0] == "image" else words[0]


def outputs(words: list[str], there: dict[str, str]) -> list[str]:
    """The files that a command makes, of those that are `there`."""
    given = dict(pairwise(words))
    if words[0] == "image" and "--out" not in given:
        folders = [f"{given['--interim']}/{words[3]}/{words[1]}"]
    elif words[0] == "fetch":
        folders = [f"{given['--out']}/{given['--file']}"]
    else:
        names = [name for name in OPTIONS if name in given and (name, words[0]) != ("--model", "evaluate")]
        folders = [given[name] for name in names]
    mine = [name for name in there if any(name == each or name.startswith(f"{each}/") for each in folders)]
    return [name for name in mine if there[name] != "folder"]


def _commands(log: str) -> list[str]:
    """The verbs in what Snakemake printed."""
    return re.findall(r"Shell command: latent-anatomy (.*?) 2>&1 \| tee", log)


def _of_heads(root: Path) -> list[list[str]]:
    """The project of `tiny_volumes`, made once, and the commands that fetch and prepare one head of it."""
    from latent_anatomy.pipeline.imaging_steps import OF_SUBJECT

    name, mirror = tiny_volumes.OTHER, root.parent / "mirror"
    who, files = tiny_volumes.subject(1), ["participants.tsv"]
    interim, qc = f"data/interim/{name}", f"results/imaging/{name}"
    given = ["--interim", interim]
    commands = [["fetch", name, "--out", f"data/raw/{name}", "--file", file] for file in files]
    for step in OF_SUBJECT:
        job = f".params/imaging/{name}/{step}.json"
        commands.append(["image", step, name, who, "--params", job, "--raw", f"data/raw/{name}", *given])
    numbered = [word for step in OF_SUBJECT for word in ("--step", step)]
    places = ["--out", f"{qc}/qc.csv", "--passport", f"{qc}/passport.json"]
    job = f".params/imaging/{name}/gate.json"
    commands.append(["image", "gate", "--params", job, *given, "--subject", who, *numbered, *places])
    job, out = f".params/slice/{name}.json", f"data/slices/{name}.h5"
    commands.append(["image", "slab", name, "--params", job, "--qc", f"{qc}/qc.csv", *given, "--out", out])
    if not (root.parent / "heads-whole").exists():
        for each in (root, mirror):
            shutil.rmtree(each, ignore_errors=True)
        tiny_project.finish(root, tiny_volumes.parameters(), tiny_volumes.__file__)
        shutil.copytree(root / "data/raw" / name, mirror / name)
    os.environ["LATENT_ANATOMY_MIRROR"] = str(mirror)
    if not (root.parent / "heads-whole").exists():
        for words in commands:  # by this package, which is that of the other project
            assert _ended(_forked(root, words)) == 0, words
        shutil.copytree(root, root.parent / "heads-whole", symlinks=True)
    shutil.rmtree(root)
    shutil.copytree(root.parent / "heads-whole", root, symlinks=True)
    return commands


def _forked(root: Path, words: list[str]) -> int:
    """The id of a process that runs a verb in `root`, and leads a group of its own."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(os.open(root.parent / "last.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 2)
        os.chdir(root)
        code = _verb(words)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _verb(words: list[str]) -> int:
    from latent_anatomy.cli.main import EXPECTED_ERRORS, app

    try:
        app(words, standalone_mode=False)
    except EXPECTED_ERRORS as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _ended(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _done_within(process: int, seconds: float) -> bool:
    """Whether a process ends in this time; it is not waited for if not."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            os.waitpid(process, 0)
            return True
        time.sleep(0.002)
    if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        os.waitpid(process, 0)
        return True
    return False
