"""The number of threads, which can change the last bit of a result: one, whatever the machine has."""

import os
import sys

VARIABLES = tuple(f"{name}_NUM_THREADS" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB"))
ONE_THREAD = dict.fromkeys(VARIABLES, "1")


def one() -> None:
    """Let this process and those that it starts compute with one thread; called before libraries load."""
    os.environ.update(ONE_THREAD)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def number() -> int:
    """How many threads computations have: torch's where it is loaded, else what the environment says."""
    if "torch" in sys.modules:
        return sys.modules["torch"].get_num_threads()
    return int(os.environ.get(VARIABLES[0]) or os.cpu_count())
