"""What waits to be written, and what the lanes do."""

from typing import Final

from dashboards.board import Board, Panel, Query, Text, quantiles

BOARD: Final = Board(
    "scanline-lag",
    Text("Scanline: Độ trễ và làn", "Lag and lanes"),
    Text(
        "Bao nhiêu tin nhắn chờ ghi, chờ bao lâu, ai giữ phân vùng và vì sao làn dừng.",
        "How many messages wait to be written, for how long, who has the partition and why a lane waits.",
    ),
    (
        Panel(
            Text("Tin nhắn chờ, theo phân vùng", "Messages that wait, by partition"),
            Text(
                "Do exporter đo, kể cả khi không có worker nào. Một phân vùng tăng riêng: xem làn của nó.",
                "Seen by the exporter, also while no worker lives. One partition alone grows: look at its lane.",
            ),
            "short",
            (Query("sum by (partition) (scanline_lag_messages)", "{{partition}}"),),
        ),
        Panel(
            Text("Tuổi của tin nhắn cũ nhất, theo phân vùng", "Age of the oldest message, by partition"),
            Text(
                "Từ lúc Kafka nhận. Mục tiêu: ghi xong trong 30 giây.",
                "Since the broker's append. The objective is a commit within 30 seconds.",
            ),
            "s",
            (Query("max by (partition) (scanline_lag_seconds)", "{{partition}}"),),
            limit=30,
        ),
        Panel(
            Text("Phân vùng có chủ", "Partitions owned"),
            Text(
                "Số phân vùng có worker giữ, so với số phân vùng. Ít hơn lâu: khởi động worker.",
                "Partitions that a worker has, against those there are. Fewer for long: start workers.",
            ),
            "short",
            (
                Query("sum(scanline_lag_owned)", "có chủ / owned"),
                Query('max(scanline_topic_partitions{topic="scan.records.v1"})', "tất cả / all"),
            ),
            width=8,
        ),
        Panel(
            Text("Làn tạm dừng, theo lý do", "Lanes paused, by reason"),
            Text(
                "0 là bình thường. dead_letter_limit và log_replaced chờ người vận hành quyết định.",
                "0 is normal. dead_letter_limit and log_replaced wait for an operator's decision.",
            ),
            "short",
            (Query("sum by (reason) (scanline_stream_paused_lanes_count)", "{{reason}}"),),
            width=8,
        ),
        Panel(
            Text("Làn đứng yên hoặc bị khởi động lại", "Lanes standing or restarted"),
            Text(
                "Đứng: có việc mà ở một offset hơn một phút. Khởi động lại: không tiến được mà không rõ lý do.",
                "Standing: work, and one offset for over a minute. Restarted: it got nowhere, without a known reason.",
            ),
            "short",
            (
                Query("sum(scanline_stream_standing_lanes_count)", "đứng yên / standing"),
                Query("sum(increase(scanline_stream_stalls_total[$__rate_interval]))", "khởi động lại / restarted"),
            ),
            width=8,
        ),
        Panel(
            Text("Từ Kafka đến khi ghi xong", "From Kafka to the commit"),
            Text(
                "Mỗi lát một lần đo. Tăng mà không có tin nhắn chờ: đồng hồ các máy lệch nhau.",
                "One observation a slice. Growing while nothing waits: the machines' clocks differ.",
            ),
            "s",
            quantiles("scanline_stream_end_to_end_seconds"),
            limit=30,
        ),
        Panel(
            Text("Từ khi ghi xong đến khi phát tình trạng", "From the commit to the published status"),
            Text(
                "Kafka xác nhận tình trạng mới sau bao lâu. Tăng: xem các broker.",
                "How long until Kafka has acknowledged the new status. Growing: look at the brokers.",
            ),
            "s",
            quantiles("scanline_status_delay_seconds"),
        ),
        Panel(
            Text("Lát và tin nhắn mỗi giây", "Slices and messages a second"),
            Text(
                "Lát là những gì một lần lấy mang về từ một phân vùng. Không có lát trong khi có tin chờ: xem các broker.",
                "A slice is what one fetch brought of one partition. None while messages wait: look at the brokers.",
            ),
            "short",
            (
                Query("sum(rate(scanline_stream_slices_total[$__rate_interval]))", "lát / slices"),
                Query("sum(rate(scanline_stream_messages_total[$__rate_interval]))", "tin nhắn / messages"),
                Query(
                    "sum(rate(scanline_stream_careful_messages_total[$__rate_interval]))",
                    "đọc kỹ / read with care",
                ),
            ),
            width=8,
        ),
        Panel(
            Text("Giải mã một lô nhỏ", "Decoding a micro-batch"),
            Text(
                "Lâu hơn cả lúc ghi: bộ xử lý là giới hạn, hãy thêm worker.",
                "Longer than its write: the processor is the limit, add workers.",
            ),
            "s",
            quantiles("scanline_stream_decode_seconds"),
            width=8,
        ),
        Panel(
            Text("Đã lấy về mà chưa ghi", "Fetched and not yet written"),
            Text(
                "Của mọi làn. Gần số làn nhân SCANLINE_STREAM_LANE_BYTES: ghi chậm hơn nhận.",
                "All lanes. Near their number times SCANLINE_STREAM_LANE_BYTES: the sink is slower than what comes.",
            ),
            "bytes",
            (Query("sum by (instance) (scanline_stream_buffered_bytes)", "{{instance}}"),),
            width=8,
        ),
        Panel(
            Text("Thư chết", "Dead letters"),
            Text(
                "Tin nhắn không đọc được, và số đang chờ xử lý trong scan.dlq.v1. Có: chạy scanline dlq list.",
                "Messages that could not be read, and how many wait in scan.dlq.v1. Any: scanline dlq list.",
            ),
            "short",
            (
                Query("sum(increase(scanline_stream_dead_letters_total[$__rate_interval]))", "mới / new"),
                Query("max(scanline_dead_letters_waiting_count)", "đang chờ / waiting"),
            ),
        ),
        Panel(
            Text("Chia lại phân vùng, thử lại, lấy lại", "Rebalances, retries, rewinds"),
            Text(
                "Tăng mà không có worker nào đến hay đi: worker bị coi là mất, hoặc PostgreSQL trả lỗi.",
                "Growing while no worker comes or goes: workers are missed, or PostgreSQL answers with errors.",
            ),
            "short",
            (
                Query("sum(increase(scanline_stream_rebalances_total[$__rate_interval]))", "chia lại / rebalances"),
                Query("sum(increase(scanline_stream_retries_total[$__rate_interval]))", "thử lại / retries"),
                Query("sum(increase(scanline_stream_rewinds_total[$__rate_interval]))", "lấy lại / rewinds"),
                Query("sum(increase(scanline_stream_lost_offsets_total[$__rate_interval]))", "mất / lost"),
            ),
        ),
    ),
)
