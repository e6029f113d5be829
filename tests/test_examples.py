"""The examples in docstrings give what they show.

Only modules that have some are imported, when their test runs; `pytest --doctest-modules` would import
the whole package while it collects.
"""

import doctest
from importlib import import_module

import pytest
from test_architecture import MODULES

EXAMPLES = [name for name, path in MODULES.items() if ">>>" in path.read_text(encoding="utf-8")]


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_give_what_they_show(name):
    results = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.attempted and not results.failed
