"""`snakemake` in a fork of this process, which has its packages loaded already.

To load them takes longer than most plans of the tests: torch alone half of one. The fork has the packages of
other publishers from this process, and the project's own sources from the project that it works in.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import snakemake.cli

OWN = "latent_anatomy"
# What a plan loads besides; here, once, instead of in every fork.
for package in ("torch", "scipy.optimize", "scipy.stats", "sklearn.linear_model"):
    import_module(package)


def run(
    words: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """`snakemake` with these arguments in `folder`; its output as text, whatever its exit code."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        child = os.fork()
        if child == 0:
            code = 70  # where even this fails
            try:
                code = _child(words, folder, environment, output.fileno(), errors.fileno())
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        texts = []
        for stream in (output, errors):
            stream.seek(0)
            texts.append(stream.read())
    return subprocess.CompletedProcess(["snakemake", *words], os.waitstatus_to_exitcode(status), *texts)


def _child(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], output: int, errors: int
) -> int:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (errors, 2)):
        os.dup2(source, target)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for name in [name for name in sys.modules if name.partition(".")[0] == OWN]:
        del sys.modules[name]
    sys.path[:0] = [str(folder), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    sys.dont_write_bytecode = True
    sys.argv = ["snakemake", *words]
    try:
        snakemake.cli.main(list(words))
        code = 0
    except SystemExit as end:
        code = end.code or 0
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code
