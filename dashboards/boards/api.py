"""The HTTP API."""

from typing import Final

from dashboards.board import Board, Panel, Query, Text, quantiles

BOARD: Final = Board(
    "scanline-api",
    Text("Scanline: API nhận lượt quét", "API"),
    Text(
        "Nhanh đến đâu, lỗi đến đâu, và còn chỗ đến đâu.",
        "How fast it answers, how often it fails, and how much room is left.",
    ),
    (
        Panel(
            Text("Yêu cầu mỗi giây, theo tuyến", "Requests a second, by route"),
            Text(
                "Tuyến là khuôn mẫu: không có tổ chức nào hay lượt quét nào trong tên.",
                "Routes are templates: no tenant and no scan is named.",
            ),
            "reqps",
            (
                Query(
                    "sum by (method, route) (rate(scanline_api_request_seconds_count[$__rate_interval]))",
                    "{{method}} {{route}}",
                ),
            ),
        ),
        Panel(
            Text("Câu trả lời mỗi giây, theo mã", "Answers a second, by status"),
            Text(
                "4xx: lỗi bên gửi; 5xx: lỗi bên ta, chủ yếu 503 khi Kafka không nhận hoặc quá nhiều việc chờ.",
                "4xx: the sender's fault; 5xx: ours, mostly 503 while Kafka takes nothing or too much waits.",
            ),
            "reqps",
            (
                Query(
                    "sum by (status) (rate(scanline_api_request_seconds_count[$__rate_interval]))",
                    "{{status}}",
                ),
            ),
        ),
        Panel(
            Text("Thời gian nhận một lượt quét", "Time to take a scan"),
            Text(
                "Những lượt được trả lời 202. Mục tiêu: 99% trong 200 ms.",
                "Those answered 202. The objective is 99 % within 200 ms.",
            ),
            "s",
            quantiles("scanline_api_request_seconds", 'route=~".*/scans",method="POST",status="202"'),
            limit=0.2,
        ),
        Panel(
            Text("Thời gian đọc, p99 theo tuyến", "Time of reads, p99 by route"),
            Text(
                "GET, không kể luồng sự kiện. Chậm: xem nhóm kết nối read và PostgreSQL.",
                "GET, event streams left out. Slow: look at the pool read and at PostgreSQL.",
            ),
            "s",
            (
                Query(
                    "histogram_quantile(0.99, sum by (route, le) (rate("
                    'scanline_api_request_seconds_bucket{method="GET",route!~".*/events"}[$__rate_interval])))',
                    "{{route}}",
                ),
            ),
        ),
        Panel(
            Text("Kafka xác nhận một tin nhắn", "Kafka acknowledges a message"),
            Text(
                "Tăng: xem ổ đĩa và mạng của các broker.",
                "Growing: look at the brokers' disks and network.",
            ),
            "s",
            quantiles("scanline_api_publish_seconds"),
            width=8,
        ),
        Panel(
            Text("Tin nhắn Kafka không nhận", "Messages that Kafka did not take"),
            Text("Có: xem các broker.", "Any: look at the brokers."),
            "short",
            (Query("sum(increase(scanline_api_publish_failures_total[$__rate_interval]))", "không nhận / not taken"),),
            width=8,
        ),
        Panel(
            Text("Đang trả lời, và đang chờ worker", "Being answered, and waiting for a worker"),
            Text(
                "Gần SCANLINE_API_CONNECTIONS: thêm tiến trình API. Vượt SCANLINE_API_BACKLOG_MESSAGES: API trả lời 503.",
                "Near SCANLINE_API_CONNECTIONS: add API processes. Above SCANLINE_API_BACKLOG_MESSAGES: answered 503.",
            ),
            "short",
            (
                Query("sum(scanline_api_requests_in_flight_count)", "yêu cầu / requests"),
                Query("max(scanline_api_backlog_messages)", "tin nhắn chờ / backlog"),
            ),
            width=8,
        ),
        Panel(
            Text("Thân yêu cầu mỗi giây", "Bodies a second"),
            Text(
                "Như đã gửi, và sau khi giải nén. Gấp hàng trăm lần: có người gửi bom nén.",
                "As sent, and decompressed. Hundreds of times: somebody sends bombs.",
            ),
            "Bps",
            (
                Query("sum(rate(scanline_api_received_bytes_total[$__rate_interval]))", "nhận / received"),
                Query("sum(rate(scanline_api_inflated_bytes_total[$__rate_interval]))", "giải nén / decompressed"),
            ),
            width=8,
        ),
        Panel(
            Text("Bộ nhớ", "Memory"),
            Text(
                "Của từng tiến trình API. Tăng mãi: xem tình trạng đang giữ và thân đang giữ.",
                "Of each API process. Growing without end: look at statuses and bodies that are held.",
            ),
            "bytes",
            (
                Query("scanline_process_resident_bytes", "{{instance}} {{process}}"),
                Query("sum(scanline_api_buffered_bytes)", "thân / bodies"),
                Query("max(scanline_status_kept_bytes)", "tình trạng / statuses"),
            ),
            width=8,
        ),
        Panel(
            Text("Tình trạng đọc trễ", "Statuses read late"),
            Text(
                "Tuổi của tình trạng mới nhất khi API đọc được. Tăng: API theo không kịp, hoặc đồng hồ lệch.",
                "Age of the last status when the API read it. Growing: the API falls behind, or clocks differ.",
            ),
            "s",
            (Query("max(scanline_status_lag_seconds)", "trễ / late"),),
            width=8,
        ),
    ),
)
