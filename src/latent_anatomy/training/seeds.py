"""Seeds that depend on what they are for, so that no draw depends on the draws before it."""

import hashlib


def derived_seed(*parts: int | str) -> int:
    """A 63-bit seed that depends on all `parts` and on nothing else.

    >>> derived_seed(1, "step", 7)
    2953263990376385094
    >>> derived_seed(1, "step", 7) == derived_seed(1, "step", 8)
    False
    """
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big") >> 1
