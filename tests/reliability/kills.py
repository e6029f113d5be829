"""Kill jobs at random moments and run them again: is all as if nothing had been killed?

    PYTHONPATH=src:tests python tests/reliability/kills.py --count 300 --folder /tmp/kills

Works on a tiny project, which Snakemake makes in --folder. Its verbs are killed one by one, with and without
their children, where their outputs are missing, there, or others; heads go through the imaging steps in a
second project; and the last sixth of the kills is of Snakemake itself, alone or with all that it started,
again and again until it ends. What was done lies in done.jsonl, and the next run goes on from it. Exit code 1
when a file was wrong or lost at any time, or anything was left over in the end.
"""

import argparse
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path

import kills_snakemake
import kills_verbs

OUTCOMES = ("as before", "wrong", "lost", "left over")


def table(done: list[dict]) -> str:
    """Counts by verb, in Markdown: how it was killed, and what came of it."""
    kinds = sorted({each["kind"] for each in done}, key=lambda kind: (kind == "snakemake", kind))
    lines = [f"| killed | times | alone | {' | '.join(OUTCOMES)} |", f"|---|{'---:|' * (len(OUTCOMES) + 2)}"]
    for kind in [*kinds, "all"]:
        own = [each for each in done if kind in ("all", each["kind"])]
        counts = Counter(each["outcome"] for each in own)
        alone = sum(each["alone"] for each in own)
        lines.append(f"| {kind} | {len(own)} | {alone} | {' | '.join(str(counts[o]) for o in OUTCOMES)} |")
    return "\n".join(lines)


def run(folder: Path, count: int) -> list[dict]:
    """As many kills as `count` in all, those of earlier runs included."""
    log = folder / "done.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    done = [json.loads(line) for line in lines if line.endswith("}")]
    log.write_text("".join(json.dumps(each) + "\n" for each in done), encoding="utf-8")  # without half a line
    kills_snakemake.restore(folder)  # where an earlier run was stopped in the middle of a kill
    verbs, missed = kills_verbs.Verbs(folder), 0
    with log.open("a", encoding="utf-8") as stream:
        while len(done) < count:
            rng = random.Random(f"{len(done)} {missed}")
            if len(done) >= count - count // 6 + sum(each["kind"] == "snakemake" for each in done):
                killed = kills_snakemake.until_it_ends(folder, rng)
                missed += not killed  # it ended before it was killed: not again at the same moment
            else:
                killed = [verbs.attempt(rng)]
            done += killed
            stream.write("".join(json.dumps(each) + "\n" for each in killed))
            stream.flush()
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--folder", type=Path, required=True)
    chosen = parser.parse_args()
    folder = chosen.folder.resolve()
    kills_snakemake.make(folder)
    sources = str(folder / "project" / "src")
    if not os.environ["PYTHONPATH"].startswith(sources):  # passports name the commit of what made them
        tests = Path(__file__).parents[1]
        environment = os.environ | {"PYTHONPATH": f"{sources}:{tests}", "PYTHONDONTWRITEBYTECODE": "1"}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    done = run(folder, chosen.count)
    print(table(done))
    for each in done:
        if each["outcome"] != "as before":
            print(f"{each['kind']}: {each['outcome']}: {each['said']}")
    sys.exit(any(each["outcome"] != "as before" for each in done))


if __name__ == "__main__":
    main()
