"""The name that was probably meant. Imports little, since every command is listed with it."""

from collections.abc import Collection
from difflib import get_close_matches
from typing import NamedTuple


class Nearest(NamedTuple):
    """The question whether a known name was meant, in both languages; empty where none is near."""

    vi: str
    en: str


def nearest(name: str, known: Collection[str]) -> Nearest:
    """Asks for the nearest of the known names."""
    found = get_close_matches(name, known, 1, 0.5)
    return Nearest(f" Có phải «{found[0]}»?", f" Did you mean «{found[0]}»?") if found else Nearest("", "")
