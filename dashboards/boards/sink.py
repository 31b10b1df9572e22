"""The sink, and the PostgreSQL behind it."""

from typing import Final

from dashboards.board import Board, Panel, Query, Text, quantiles

BOARD: Final = Board(
    "scanline-sink",
    Text("Scanline: Ghi dữ liệu và PostgreSQL", "Sink and PostgreSQL"),
    Text(
        "Lô nhỏ được ghi thế nào, và máy chủ PostgreSQL có theo kịp không.",
        "How micro-batches are written, and whether the PostgreSQL server keeps up.",
    ),
    (
        Panel(
            Text("Ghi một lô nhỏ", "Writing a micro-batch"),
            Text(
                "Từ lúc chuẩn bị đến lúc ghi xong. Trên 5 giây thường là chờ khoá.",
                "From formatting to commit. Above 5 seconds it most often waits for a lock.",
            ),
            "s",
            quantiles("scanline_sink_write_seconds"),
            limit=5,
        ),
        Panel(
            Text("Riêng COPY", "COPY alone"),
            Text(
                "Gần bằng thời gian ghi: xem ổ đĩa, WAL, checkpoint. Nhỏ hơn nhiều: xem khoá và lúc commit.",
                "Near the time of the write: look at disk, WAL, checkpoints. Far below: at locks and the commit.",
            ),
            "s",
            quantiles("scanline_sink_copy_seconds"),
        ),
        Panel(
            Text("Dòng đưa vào COPY mỗi giây", "Rows handed to COPY a second"),
            Text(
                "Nhiều hơn hẳn số bản ghi lưu được: có lô bị làm lại, xem lỗi.",
                "Well above the records stored: micro-batches are repeated, look at the errors.",
            ),
            "short",
            (
                Query("sum(rate(scanline_sink_copy_rows_total[$__rate_interval]))", "dòng / rows"),
                Query('sum(rate(scanline_sink_records_total{outcome="stored"}[$__rate_interval]))', "đã lưu / stored"),
            ),
            width=8,
        ),
        Panel(
            Text("Lô nhỏ mỗi giây, theo cách ghi", "Micro-batches a second, by way"),
            Text(
                "direct: COPY thẳng; staged: qua bảng tạm vì có trùng hoặc giá trị bị từ chối. Nhiều staged: bên gửi gửi lại.",
                "direct: COPY; staged: through a temporary table after a conflict or a bad value. Much staged: senders resend.",
            ),
            "short",
            (Query("sum by (way) (rate(scanline_sink_batches_total[$__rate_interval]))", "{{way}}"),),
            width=8,
        ),
        Panel(
            Text("Lần ghi hỏng", "Attempts that failed"),
            Text(
                "Theo lớp SQLSTATE. 08 và 57: máy chủ không trả lời; 53: hết đĩa, bộ nhớ hoặc kết nối.",
                "By SQLSTATE class. 08 and 57: the server is away; 53: out of disk, memory or connections.",
            ),
            "short",
            (
                Query(
                    "sum by (sqlstate_class) (increase(scanline_sink_errors_total[$__rate_interval])) or vector(0)",
                    "{{sqlstate_class}}",
                ),
                Query("sum(increase(scanline_sink_fenced_total[$__rate_interval]))", "offset đã dời / fenced"),
            ),
            width=8,
        ),
        Panel(
            Text("Điểm kiểm tra (checkpoint)", "Checkpoints"),
            Text(
                "requested khi đang tải nhiều: tăng max_wal_size.",
                "Many of kind requested under load: raise max_wal_size.",
            ),
            "short",
            (Query("sum by (kind) (increase(scanline_postgres_checkpoints_total[$__rate_interval]))", "{{kind}}"),),
            width=8,
        ),
        Panel(
            Text("WAL mỗi giây", "WAL a second"),
            Text(
                "Những gì kho lưu trữ và máy dự phòng phải mang theo.",
                "What the archive and standbys must carry.",
            ),
            "Bps",
            (Query("max(rate(scanline_postgres_wal_bytes_total[$__rate_interval]))", "WAL"),),
            width=8,
        ),
        Panel(
            Text("WAL chờ lưu trữ", "WAL that waits to be archived"),
            Text(
                "Tăng mãi: kho lưu trữ chậm hoặc từ chối, ổ đĩa sẽ đầy.",
                "Growing: the archive is slow or refuses, and the disk fills up.",
            ),
            "short",
            (
                Query("max(scanline_postgres_archive_pending_files)", "tệp / files"),
                Query("max(increase(scanline_postgres_archive_failures_total[$__rate_interval]))", "lỗi / failures"),
            ),
            width=8,
        ),
        Panel(
            Text("Độ trễ của máy dự phòng", "Lag of standbys"),
            Text(
                "WAL mà máy dự phòng chưa chạy lại. 0 khi theo kịp, hoặc khi không có máy dự phòng.",
                "WAL that a standby has not replayed. 0 where it keeps up, and where there is none.",
            ),
            "bytes",
            (Query("max by (standby) (scanline_postgres_replication_lag_bytes) or vector(0)", "{{standby}}"),),
            width=8,
        ),
        Panel(
            Text("Kết nối tới PostgreSQL", "Connections to PostgreSQL"),
            Text(
                "Của mọi chương trình, theo trạng thái, so với giới hạn của máy chủ.",
                "Of all programs, by state, against the server's limit.",
            ),
            "short",
            (
                Query("sum by (state) (scanline_postgres_connections_count)", "{{state}}"),
                Query("max(scanline_postgres_connections_limit)", "giới hạn / limit"),
            ),
            width=8,
        ),
        Panel(
            Text("Khoá đang chờ, giao dịch lâu nhất", "Locks waited for, longest transaction"),
            Text(
                "Giao dịch trên 300 giây: vacuum không dọn được; pg_stat_activity cho biết là ai.",
                "A transaction above 300 seconds: vacuum cannot clean behind it; pg_stat_activity names it.",
            ),
            "short",
            (
                Query("max(scanline_postgres_locks_waiting_count)", "khoá / locks"),
                Query("max(scanline_postgres_longest_transaction_seconds)", "giây / seconds"),
            ),
            width=8,
        ),
        Panel(
            Text("Ổ đĩa còn trống", "Disk that is free"),
            Text(
                "Của Kafka và PostgreSQL. Gần 0: cả hai dừng.",
                "Of Kafka and of PostgreSQL. Near 0: both stop.",
            ),
            "percentunit",
            (Query("scanline_disk_free_bytes / scanline_disk_size_bytes", "{{path_of}}"),),
            width=12,
        ),
        Panel(
            Text("Kích thước các bảng", "Sizes of tables"),
            Text(
                "Cả chỉ mục; các phân vùng của một bảng cộng lại.",
                "With their indexes; the partitions of a table together.",
            ),
            "bytes",
            (Query("max by (table) (scanline_postgres_table_bytes)", "{{table}}"),),
            kind="bars",
            width=6,
        ),
        Panel(
            Text("Dòng chết", "Dead rows"),
            Text(
                "Chờ vacuum dọn. Tăng mãi: xem autovacuum và các giao dịch lâu.",
                "They wait for vacuum. Growing: look at autovacuum and at long transactions.",
            ),
            "short",
            (Query("max by (table) (scanline_postgres_dead_rows)", "{{table}}"),),
            kind="bars",
            width=6,
        ),
    ),
)
