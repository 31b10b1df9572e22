"""Servers that may be broken, of one test alone."""

import shutil
from collections.abc import Iterator

import pytest

from infra.stack import Stack


@pytest.fixture
def stack(stack: Stack) -> Iterator[Stack]:
    """The project's own stack; of what it leaves only the logs are kept."""
    yield stack
    stack.stop()
    for name in ("kafka", "postgres"):
        shutil.rmtree(stack.data_dir / name, ignore_errors=True)
