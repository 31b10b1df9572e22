"""What was found today, for the compliance team: counts, and nobody's data."""

from typing import Final

from dashboards.board import Board, Panel, Query, Text

_TODAY: Final = 'max by (category) (scanline_compliance_records_total{{kind="{kind}",category!="all"}})'
_ALL: Final = 'max(scanline_compliance_records_total{{kind="{kind}",category="all"}}) or vector(0)'

BOARD: Final = Board(
    "scanline-compliance",
    Text("Scanline: Số liệu tuân thủ", "Compliance counts"),
    Text(
        "Hoạt động xử lý ghi nhận hôm nay (giờ Việt Nam), của mọi tổ chức cộng lại. Từng tổ chức: GET /daily-counts.",
        "Processing activities stored today (Vietnam's time), of all tenants together. Of one tenant: GET /daily-counts.",
    ),
    (
        Panel(
            Text("Bản ghi hôm nay", "Records today"),
            Text("Đã lưu từ 0 giờ, giờ Việt Nam.", "Stored since midnight, Vietnam's time."),
            "short",
            (Query(_ALL.format(kind="stored")),),
            kind="number",
            width=6,
        ),
        Panel(
            Text("Có dữ liệu nhạy cảm", "With sensitive data"),
            Text(
                "Bản ghi hôm nay có ít nhất một loại dữ liệu cá nhân nhạy cảm.",
                "Today's records with at least one category of sensitive personal data.",
            ),
            "short",
            (Query(_ALL.format(kind="sensitive")),),
            kind="number",
            width=6,
        ),
        Panel(
            Text("Chuyển ra nước ngoài", "Across the border"),
            Text(
                "Bản ghi hôm nay có chuyển dữ liệu ra khỏi Việt Nam.",
                "Today's records with a transfer out of Vietnam.",
            ),
            "short",
            (Query(_ALL.format(kind="cross_border")),),
            kind="number",
            width=6,
        ),
        Panel(
            Text("Phần bị từ chối, 30 phút", "Share rejected, 30 minutes"),
            Text(
                "Bản ghi sai quy tắc trên tổng số. Cao: xem lỗi của các lượt quét, bên gửi cần sửa.",
                "Records that break a rule, of all. High: look at the scans' errors, senders must correct them.",
            ),
            "percentunit",
            (Query("scanline:rejected:ratio_30m"),),
            kind="number",
            width=6,
            limit=0.1,
        ),
        Panel(
            Text("Bản ghi hôm nay, theo loại dữ liệu", "Records today, by category"),
            Text(
                "Một bản ghi có nhiều loại thì được tính ở mỗi loại.",
                "A record with several categories counts in each of them.",
            ),
            "short",
            (Query(_TODAY.format(kind="stored"), "{{category}}"),),
            kind="bars",
            width=8,
        ),
        Panel(
            Text("Nhạy cảm, theo loại dữ liệu", "Sensitive, by category"),
            Text(
                "Bản ghi hôm nay có dữ liệu nhạy cảm, theo các loại mà bản ghi nêu.",
                "Today's records with sensitive data, by the categories that they name.",
            ),
            "short",
            (Query(_TODAY.format(kind="sensitive"), "{{category}}"),),
            kind="bars",
            width=8,
        ),
        Panel(
            Text("Ra nước ngoài, theo loại dữ liệu", "Across the border, by category"),
            Text(
                "Bản ghi hôm nay có chuyển dữ liệu ra nước ngoài, theo các loại mà bản ghi nêu.",
                "Today's records with a transfer out of Vietnam, by the categories that they name.",
            ),
            "short",
            (Query(_TODAY.format(kind="cross_border"), "{{category}}"),),
            kind="bars",
            width=8,
        ),
        Panel(
            Text("Số liệu trong ngày", "Counts over the day"),
            Text(
                "Bắt đầu lại từ 0 lúc nửa đêm, giờ Việt Nam.",
                "They begin again at 0 at midnight, Vietnam's time.",
            ),
            "short",
            (Query('max by (kind) (scanline_compliance_records_total{category="all"})', "{{kind}}"),),
        ),
        Panel(
            Text("Bản ghi bị từ chối, theo mã lỗi", "Records rejected, by code"),
            Text(
                "Một mã tăng riêng: một máy quét gửi sai một trường. Mã nào nghĩa là gì: docs/kafka-contract.md.",
                "One code alone grows: a scanner sends one field wrongly. What each means: docs/kafka-contract.md.",
            ),
            "short",
            (
                Query(
                    "sum by (code) (increase(scanline_sink_rejects_total[$__rate_interval])) > 0 or on () vector(0)",
                    "{{code}}",
                ),
            ),
        ),
    ),
)
