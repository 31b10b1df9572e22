"""Pools of database connections."""

from typing import Final

from dashboards.board import Board, Panel, Query, Text

BOARD: Final = Board(
    "scanline-pools",
    Text("Scanline: Kết nối cơ sở dữ liệu", "Connection pools"),
    Text(
        "write: của worker; read: của API. Có ai chờ kết nối không, và chờ bao lâu.",
        "write: the workers'; read: the API's. Whether anybody waits for a connection, and how long.",
    ),
    (
        Panel(
            Text("Kết nối, theo trạng thái", "Connections, by state"),
            Text(
                "Tất cả đều bận lâu: tăng SCANLINE_READ_CONNECTIONS hoặc SCANLINE_WRITE_CONNECTIONS, hoặc giảm tải.",
                "All in use for long: raise SCANLINE_READ_CONNECTIONS or SCANLINE_WRITE_CONNECTIONS, or lower the load.",
            ),
            "short",
            (Query("sum by (pool, state) (scanline_pool_connections_count)", "{{pool}} {{state}}"),),
        ),
        Panel(
            Text("Phần kết nối đang bận", "Share of connections in use"),
            Text(
                "So với giới hạn của mỗi nhóm. Gần 100% lâu: sắp có người phải chờ.",
                "Against the limit of each pool. Near 100 % for long: somebody will have to wait.",
            ),
            "percentunit",
            (
                Query(
                    'sum by (pool) (scanline_pool_connections_count{state="in_use"}) / sum by (pool) (scanline_pool_limit_count)',
                    "{{pool}}",
                ),
            ),
            limit=0.9,
        ),
        Panel(
            Text("Đang chờ kết nối", "Waiting for a connection"),
            Text(
                "Trên 0 lâu: mọi kết nối đều bận, xem ai giữ chúng.",
                "Above 0 for long: all are in use, look who holds them.",
            ),
            "short",
            (Query("sum by (pool) (scanline_pool_waiting_count)", "{{pool}}"),),
            width=8,
        ),
        Panel(
            Text("Chờ kết nối bao lâu, p99", "How long a connection was waited for, p99"),
            Text(
                "Tăng: có nhiều việc hơn kết nối.",
                "Growing: there is more to do than there are connections.",
            ),
            "s",
            (
                Query(
                    "histogram_quantile(0.99, sum by (pool, le)"
                    " (rate(scanline_pool_checkout_seconds_bucket[$__rate_interval])))",
                    "{{pool}}",
                ),
            ),
            width=8,
        ),
        Panel(
            Text("Bỏ cuộc vì không có kết nối", "Gave up waiting"),
            Text(
                "Có lần nào: tăng số kết nối, hoặc xem ai giữ tất cả.",
                "Any: raise the number of connections, or look who holds them all.",
            ),
            "short",
            (Query("sum by (pool) (increase(scanline_pool_exhausted_total[$__rate_interval]))", "{{pool}}"),),
            width=8,
        ),
    ),
)
