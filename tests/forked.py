"""Commands in forks of a process that has their packages loaded already.

To load them takes longer than most of what the tests ask of a command: torch alone half of a plan. A fork has
the packages of other publishers from this process, and the project's own sources from the project that it
works in; DVC's too, whose modules keep the streams that they found. What a command starts itself is a fork
too, where it is one of `MAINS`: `python -m` of it, by a stand-in for this Python, and what stands on the path
as a `stand_in`. Both ask the process of `serve` for it.
"""

import json
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

OWN = "latent_anatomy"
MAINS = {"snakemake": "snakemake.cli", "dvc": "dvc.cli", OWN: "latent_anatomy.cli.main"}
# What they load besides; here, once, instead of in every fork.
for package in ("snakemake.cli", "dvc.repo", "torch", "h5py", "nibabel", "SimpleITK"):
    import_module(package)
for package in ("scipy.optimize", "scipy.stats", "sklearn.linear_model", "matplotlib.figure"):
    import_module(package)

SERVED = "FORKED_SERVED"  # the variable that names the folder of `serve`
# Asks the process of `serve` to run a command with this one's streams, folder and variables. A verb's first
# command is a process of its own, if `first_for_itself`, so that the installed command is tried too.
STAND_IN = """#!{python} -IS
import json, os, socket, sys
tool, words, real = {tool!r}, sys.argv[1:], {real!r}
if tool is None and words[:1] == ["-m"] and words[1:2] and words[1] in {tools}:
    tool, words = words[1], words[2:]
if {first_for_itself} and words:
    try:
        os.close(os.open(f"{{__file__}}.{{words[0]}}", os.O_CREAT | os.O_EXCL))
        tool = None
    except FileExistsError:
        pass
if tool is None:
    os.execv(real, [real, *words])
with socket.socket(socket.AF_UNIX) as server:
    server.connect(os.path.join(os.environ["{served}"], "socket"))
    socket.send_fds(server, [b" "], [0, 1, 2])
    server.sendall(json.dumps([tool, words, os.getcwd(), dict(os.environ)]).encode())
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(9) or 70))
"""


def stand_in(path: Path, tool: str | None, real: str, first_for_itself: bool = False) -> None:
    """Write a command that runs `tool` in a fork, or for None what Python's `-m` names; else `real`."""
    names = {"python": sys.executable, "tools": sorted(MAINS), "served": SERVED}
    given = {"tool": tool, "real": real, "first_for_itself": first_for_itself}
    path.write_text(STAND_IN.format(**names, **given))
    path.chmod(0o755)


def serve() -> None:
    """Start the process that answers stand-ins; it ends with this one."""
    folder = tempfile.mkdtemp(prefix="forked-")
    stand_in(Path(folder, "python"), None, sys.executable)
    os.environ[SERVED] = folder
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(folder, "socket"))
    listener.listen(64)
    alive, kept_open = os.pipe()  # which nobody else has, so that it closes when this process ends
    if os.fork() == 0:
        try:
            os.close(kept_open)
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            while alive not in (ready := select.select([listener, alive], [], [])[0]):
                if ready:
                    _answer(listener)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(0)
    os.close(alive)
    listener.close()


def _answer(listener: socket.socket) -> None:
    asked, _ = listener.accept()
    with asked:
        if os.fork() == 0:
            code = 70
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                _, streams, _, _ = socket.recv_fds(asked, 1, 3)
                request = b"".join(iter(lambda: asked.recv(65536), b""))
                tool, words, folder, environment = json.loads(request)
                code = _child(tool, words, Path(folder), environment, streams)
            finally:
                asked.sendall(str(code).encode())
                os._exit(0)


def run(
    tool: str, words: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """A tool of `MAINS` with these arguments in `folder`; its output as text, whatever its exit code."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        child = os.fork()
        if child == 0:
            code = 70  # where even this fails
            try:
                nothing = os.open(os.devnull, os.O_RDONLY)
                streams = [nothing, output.fileno(), errors.fileno()]
                code = _child(tool, words, folder, environment, streams)
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        texts = []
        for stream in (output, errors):
            stream.seek(0)
            texts.append(stream.read())
    return subprocess.CompletedProcess([tool, *words], os.waitstatus_to_exitcode(status), *texts)


def _child(
    tool: str, words: Sequence[str], folder: Path, environment: Mapping[str, str], streams: Sequence[int]
) -> int:
    for target, source in enumerate(streams):
        os.dup2(source, target)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for name in [name for name in sys.modules if name.partition(".")[0] in (OWN, "dvc")]:
        del sys.modules[name]
    logging.getLogger("dvc").handlers.clear()  # which write to the streams of before
    sys.path[:0] = [str(folder), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    sys.dont_write_bytecode = True
    sys.executable = os.path.join(environment[SERVED], "python")
    sys.argv = [tool, *words]
    try:
        code = import_module(MAINS[tool]).main() or 0
    except SystemExit as end:
        code = end.code or 0
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code
