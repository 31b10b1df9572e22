"""The dashboards, each in a module of its own."""

from typing import Final

from dashboards.boards import overview

BOARDS: Final = (overview.BOARD,)
