"""The dashboards, each in a module of its own."""

from typing import Final

from dashboards.boards import api, compliance, lag, overview, pools, sink

BOARDS: Final = (overview.BOARD, lag.BOARD, sink.BOARD, pools.BOARD, api.BOARD, compliance.BOARD)
