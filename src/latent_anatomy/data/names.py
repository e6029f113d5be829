"""What may be a name: of a run, a study, a collection, a sweep, a data set, a subject.

A name becomes a folder, a word of a command and a cell of a table. So it is of letters, digits and _ . - and
begins with a letter or digit: no name can leave its folder, be an option or be read by a shell or browser.
"""

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
LONGEST = 100  # characters: several of them, and what a job adds, are one path
FORM = "letters, digits and _ . -, of which the first is a letter or a digit"

Value = TypeVar("Value", bound=Hashable)


def checked(name: str) -> str:
    """The name itself; ValueError for what cannot be one.

    >>> checked("sae-gan.v2")
    'sae-gan.v2'
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"expected a name of {FORM}, found {name!r}: choose another")
    if len(name) > LONGEST:
        raise ValueError(f"expected a name of at most {LONGEST} characters, found {len(name)}: shorten it")
    return name


def once(values: Sequence[Value]) -> Sequence[Value]:
    """The values themselves; ValueError where one of them stands there twice.

    >>> once([1, 2])
    [1, 2]
    """
    if twice := repeated(values):
        raise ValueError(f"expected each once, found {twice[0]!r} twice: remove one")
    return values


def repeated(values: Iterable[Value]) -> list[Value]:
    """Those that are there more than once, in their order."""
    seen: set[Value] = set()
    return [value for value in values if value in seen or seen.add(value)]
