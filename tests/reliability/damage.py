"""Damage one input of a job and run the job: is it refused in one line, or is the same made?

    PYTHONPATH=src:tests python tests/reliability/damage.py --count 1000 --folder /tmp/damage

Works on the tiny project of the tests, which it makes in --folder; each attempt is a copy of it and a fork.
What was done lies there in done.jsonl, one line an attempt, and the next run goes on from it. What people
write by hand (params.yaml, papers) may become another choice, which is counted apart. --first shifts the
seeds, for several runs side by side. Exit code 1 when anything was accepted with other content, or ended in a
trace.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sys
from collections import Counter
from pathlib import Path

import damage_jobs
import tiny_project
import tiny_volumes

OUTCOMES = ("refused", "same", "choice", "other", "trace", "killed")
TIMEOUT_S = 120


def truncate(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def flip(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]


def zeros(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + bytes(min(512, len(content) - at)) + content[at + 512 :]


def garbage(content: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(1, 2000))


def empty(content: bytes, rng: random.Random) -> bytes:
    return b""


def appended(content: bytes, rng: random.Random) -> bytes:
    return content + rng.randbytes(rng.randrange(1, 64))


def utf16(content: bytes, rng: random.Random) -> bytes:
    return content.decode("latin-1").encode("utf-16")


def line_twice(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    return b"".join([*lines[: at + 1], *lines[at:]])


def line_lost(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def block_moved(content: bytes, rng: random.Random) -> bytes:
    first, second = sorted(rng.randrange(len(content)) for _ in range(2))
    return content[:first] + content[second:] + content[first:second]


DAMAGES = (truncate, flip, zeros, garbage, empty, appended, utf16, line_twice, line_lost, block_moved)


def damaged(content: bytes, other: bytes | None, seed: int) -> tuple[str, bytes]:
    """The name of what was done, and other bytes than `content`, which may be `other`, a file's twin."""
    rng = random.Random(seed)
    if other is not None and other != content and rng.randrange(len(DAMAGES) + 1) == 0:
        return "swapped", other
    while True:
        change = rng.choice(DAMAGES)
        changed = change(content, rng)
        if changed != content:
            return change.__name__, changed


def make(folder: Path) -> Path:
    """The project with a BIDS folder beside it, made once."""
    project = folder / "project"
    if not (folder / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        tiny_project.finish(project)
        tiny_volumes.write_folder(project / "mirror" / damage_jobs.BIDS, ("train", "val", "test"))
        (folder / "made").touch()
    return project


def attempt(project: Path, kind: str, seed: int, work: Path) -> dict:
    """One damage and what came of it."""
    target = damage_jobs.TARGETS[kind]
    copy = work / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    ignored = shutil.ignore_patterns(".git", "src")
    shutil.copytree(project, copy, symlinks=True, ignore=ignored)
    path, twin = copy / target.file, target.twin and (copy / target.twin).read_bytes()
    change, content = damaged(path.read_bytes(), twin, seed)
    path.write_bytes(content)
    outcome, said = forked(target, copy)
    if outcome == "made":
        same = said == reference(project, kind, work)
        outcome = "same" if same else ("choice" if target.choice else "other")
    return {"kind": kind, "seed": seed, "damage": change, "outcome": outcome, "said": said[:300]}


REFERENCES: dict[str, str] = {}


def reference(project: Path, kind: str, work: Path) -> str:
    """What the job makes of the file as it is."""
    if kind not in REFERENCES:
        copy = work / "reference"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(project, copy, ignore=shutil.ignore_patterns(".git", "src"))
        outcome, REFERENCES[kind] = forked(damage_jobs.TARGETS[kind], copy)
        assert outcome == "made", (kind, REFERENCES[kind])
    return REFERENCES[kind]


def forked(target: damage_jobs.Target, folder: Path) -> tuple[str, str]:
    """Run the job of a target in `folder`, in a process of its own."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(target, folder, sender))
    process.start()
    sender.close()
    try:
        answer = receiver.recv() if receiver.poll(TIMEOUT_S) else ("killed", f"no answer in {TIMEOUT_S} s")
    except EOFError:
        answer = ("trace", "the process died without a word")
    process.kill()
    process.join()
    return answer


def _run(target: damage_jobs.Target, folder: Path, sender) -> None:
    from latent_anatomy.cli.main import EXPECTED_ERRORS

    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.chdir(folder)
    os.environ["LATENT_ANATOMY_MIRROR"] = "mirror"
    try:
        sender.send(("made", target.run()))
    except EXPECTED_ERRORS as error:
        # One line a fault, each of which begins with the file that it is in.
        lines = str(error).splitlines()
        plain = bool(lines) and all(line.split(":")[0] == lines[0].split(":")[0] for line in lines)
        sender.send(("refused" if plain else "trace", str(error)))
    except BaseException as error:  # whatever it is, the user would see its trace
        sender.send(("trace", f"{type(error).__name__}: {error}"))


def table(done: list[dict]) -> str:
    """Counts of outcomes by kind of file, in Markdown."""
    counts = {kind: Counter(each["outcome"] for each in done if each["kind"] == kind) for kind in
              damage_jobs.TARGETS}  # fmt: skip
    lines = [f"| file | {' | '.join(OUTCOMES)} |", f"|---|{'---:|' * len(OUTCOMES)}"]
    for kind, count in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        lines.append(f"| {kind} | {' | '.join(str(count[outcome]) for outcome in OUTCOMES)} |")
    return "\n".join(lines)


def run(folder: Path, count: int, first: int = 0) -> list[dict]:
    """As many attempts as `count` in all, those of earlier runs included, by the seeds from `first`."""
    import torch

    torch.set_num_threads(1)
    project, log, kinds = make(folder), folder / "done.jsonl", list(damage_jobs.TARGETS)
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    done = [json.loads(line) for line in lines if line.endswith("}")]
    log.write_text("".join(json.dumps(each) + "\n" for each in done), encoding="utf-8")  # without half a line
    with log.open("a", encoding="utf-8") as stream:
        for number in range(first + len(done), first + count):
            each = attempt(project, kinds[number % len(kinds)], number, folder / "work")
            done.append(each)
            stream.write(json.dumps(each) + "\n")
            stream.flush()
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    chosen = parser.parse_args()
    done = run(chosen.folder.resolve(), chosen.count, chosen.first)
    print(table(done))
    wrong = [each for each in done if each["outcome"] in ("other", "trace", "killed")]
    for each in wrong:
        print(f"{each['kind']}, seed {each['seed']}, {each['damage']}: {each['outcome']}: {each['said']}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
