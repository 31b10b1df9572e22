"""Whether everything is well, in one look."""

from typing import Final

from dashboards.board import Board, Panel, Query, Text, quantiles

BOARD: Final = Board(
    "scanline-overview",
    Text("Scanline: Tổng quan", "Overview"),
    Text(
        "Hệ thống có khoẻ không, nhìn một lần là biết. Số nào đỏ: mở bảng tương ứng.",
        "Whether everything is well, in one look. Where a number is red: open the dashboard of that part.",
    ),
    (
        Panel(
            Text("Cảnh báo đang bật", "Alerts firing"),
            Text(
                "Mỗi cảnh báo có hướng dẫn trong docs/runbooks. 0 là bình thường.",
                "Each alert has a runbook in docs/runbooks. 0 is normal.",
            ),
            "short",
            (Query('count(ALERTS{alertstate="firing",alertname=~"Scanline.*"}) or vector(0)'),),
            kind="number",
            width=4,
            limit=1,
        ),
        Panel(
            Text("Tiến trình đang chạy", "Processes up"),
            Text(
                "Số tiến trình mà Prometheus đọc được. Ít hơn số đã triển khai: xem tiến trình nào đã tắt.",
                "Processes that Prometheus reads. Fewer than were deployed: look which one is down.",
            ),
            "short",
            (Query('sum by (job) (up{job=~"scanline-.*"})', "{{job}}"),),
            kind="number",
            width=8,
        ),
        Panel(
            Text("Làn tạm dừng", "Lanes paused"),
            Text(
                "Làn đang chờ cơ sở dữ liệu hoặc người vận hành. 0 là bình thường; bảng «Độ trễ và làn» nói lý do.",
                "Lanes that wait for the database or for an operator. 0 is normal; «Lag and lanes» says why.",
            ),
            "short",
            (Query("sum(scanline_stream_paused_lanes_count)"),),
            kind="number",
            width=4,
            limit=1,
        ),
        Panel(
            Text("p99 khi nhận lượt quét", "p99 of taking a scan"),
            Text(
                "99% lượt quét được trả lời 202 trong thời gian này. Mục tiêu: 200 ms.",
                "99 % of the scans were answered 202 within this time. The objective is 200 ms.",
            ),
            "s",
            (Query("scanline:accept_seconds:p99_5m"),),
            kind="number",
            width=4,
            limit=0.2,
        ),
        Panel(
            Text("Chờ lâu nhất", "Longest wait"),
            Text(
                "Tuổi của tin nhắn cũ nhất chưa ghi xong. Tăng đều: có làn dừng, bị kẹt, hoặc không có worker.",
                "Age of the oldest message that is not committed. Growing steadily: a lane is paused or stuck, or no worker lives.",
            ),
            "s",
            (Query("max(scanline_lag_seconds)"),),
            kind="number",
            width=4,
            limit=30,
        ),
        Panel(
            Text("Bản ghi mỗi giây", "Records a second"),
            Text(
                "Nhận qua HTTP, và đi đến kết cục theo loại. Ghi ít hơn nhận trong thời gian dài: xem độ trễ.",
                "Accepted over HTTP, and ended by outcome. Fewer stored than accepted for long: look at the lag.",
            ),
            "short",
            (
                Query("sum(rate(scanline_api_records_total[$__rate_interval]))", "nhận / accepted (HTTP)"),
                Query("sum by (outcome) (rate(scanline_sink_records_total[$__rate_interval]))", "{{outcome}}"),
            ),
        ),
        Panel(
            Text("Tin nhắn chờ ghi", "Messages that wait"),
            Text(
                "Tin nhắn trong Kafka mà PostgreSQL chưa có. Tăng mãi: thêm worker, hoặc xem PostgreSQL.",
                "Messages in Kafka that PostgreSQL does not have yet. Growing: add workers, or look at PostgreSQL.",
            ),
            "short",
            (Query("scanline:lag_messages:sum", "chờ / waiting"),),
        ),
        Panel(
            Text("Lượt quét theo kết quả nhận", "Submissions by outcome"),
            Text(
                "accepted: đã nhận; replayed: gửi lại; refused: lỗi bên gửi; unavailable: lỗi bên ta; aborted: đứt giữa chừng.",
                "accepted; replayed: sent again; refused: the sender's fault; unavailable: ours; aborted: broke off.",
            ),
            "reqps",
            (Query("sum by (outcome) (rate(scanline_api_submissions_total[$__rate_interval]))", "{{outcome}}"),),
        ),
        Panel(
            Text("Từ Kafka đến khi ghi xong", "From Kafka to the commit"),
            Text(
                "Thời gian từ lúc Kafka nhận đến lúc PostgreSQL ghi xong. Mục tiêu: 30 giây.",
                "From the broker's append to PostgreSQL's commit. The objective is 30 seconds.",
            ),
            "s",
            quantiles("scanline_stream_end_to_end_seconds"),
            limit=30,
        ),
        Panel(
            Text("Mục tiêu: nhận trong 200 ms", "Objective: accepted within 200 ms"),
            Text(
                "Phần lượt quét bị trả lời chậm hoặc bằng lỗi của ta. Được phép 1%; vượt nhiều lần thì có cảnh báo.",
                "Share of scans answered late or with an error of ours. 1 % is allowed; many times that is an alert.",
            ),
            "percentunit",
            (
                Query("scanline:slow_accepts:ratio_5m", "5 phút / minutes"),
                Query("scanline:slow_accepts:ratio_1h", "1 giờ / hour"),
                Query("scanline:slow_accepts:ratio_6h", "6 giờ / hours"),
            ),
            limit=0.01,
        ),
        Panel(
            Text("Mục tiêu: ghi xong trong 30 giây", "Objective: committed within 30 seconds"),
            Text(
                "slices: phần lát ghi xong muộn; partitions: phần phân vùng có tin chờ quá 30 giây. Được phép 1%.",
                "slices: share committed late; partitions: share where something waits longer. 1 % is allowed.",
            ),
            "percentunit",
            (
                Query("scanline:late:ratio_5m", "{{by}}, 5 phút / minutes"),
                Query("scanline:late:ratio_1h", "{{by}}, 1 giờ / hour"),
            ),
            limit=0.01,
        ),
    ),
)
