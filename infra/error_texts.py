"""The catalogue of operators' errors: a code, and its text in Vietnamese and in English, as templates of str.format. What the API
answers has a catalogue of its own (producer_api), which tenants see."""

from collections.abc import Mapping
from typing import Final

TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "api_answer_unknown": (
        "{url} trả lời {status}, không phải câu trả lời của API.",
        "{url} answered {status}, and not as the API would.",
    ),
    "api_no_answer": (
        "API tại {url} không trả lời ({reason}). Hãy kiểm tra SCANLINE_API_URL, hoặc chạy `scanline up`.",
        "The API at {url} does not answer ({reason}). Check SCANLINE_API_URL, or run `scanline up`.",
    ),
    "api_url_invalid": (
        "Không dùng được SCANLINE_API_URL hoặc proxy trong HTTP_PROXY, HTTPS_PROXY, ALL_PROXY: cần http:// hoặc "
        "https://.",
        "SCANLINE_API_URL, or the proxy in HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, cannot be used: http:// or "
        "https:// is needed.",
    ),
    "bench_case_unknown": (
        "Không có phép đo {unknown}. Có: {known}.",
        "There is no case {unknown}. There are: {known}.",
    ),
    "bench_flood_tenants": (
        "Phép đo flood cần hai tổ chức chung một phân vùng và các tổ chức khác ở phân vùng khác.",
        "The case flood needs two tenants on one partition, and others on other partitions.",
    ),
    "bench_replay_not_begun": (
        "Phát lại không bắt đầu được: {reason}",
        "The replay did not begin: {reason}",
    ),
    "bench_scan_not_completed": (
        "Lượt quét không hoàn tất: {document}.",
        "A scan was not completed: {document}.",
    ),
    "bench_topic_not_filled": (
        "Không nạp đủ topic: {reason}",
        "The topic was not filled: {reason}",
    ),
    "chaos_disk_needs_root": (
        "Cần quyền root để gắn một ổ đĩa nhỏ (tmpfs).",
        "Mounting a small disk (tmpfs) takes root's rights.",
    ),
    "chaos_disk_not_mounted": (
        "Không gắn được ổ đĩa thử tại {folder}: {reason}. Việc này cần quyền root.",
        "No disk for the test could be mounted at {folder}: {reason}. It takes root's rights.",
    ),
    "chaos_fault_unknown": (
        "Không có sự cố {unknown}. Có: {known}.",
        "There is no fault {unknown}. There are: {known}.",
    ),
    "chaos_go_missing": (
        "Máy không có Go để dựng Toxiproxy, và không tải được: {reason} Hãy cài Go 1.23 trở lên (apt-get install "
        "golang).",
        "There is no Go to build Toxiproxy with, and none could be fetched: {reason} Install Go 1.23 or newer "
        "(apt-get install golang).",
    ),
    "chaos_link_not_started": (
        "Toxiproxy của liên kết «{name}» không khởi động được; xem {log}.",
        "The Toxiproxy of link «{name}» did not start; see {log}.",
    ),
    "chaos_link_refused": (
        "Toxiproxy của liên kết «{name}» từ chối {method} {path}: {reason}",
        "The Toxiproxy of link «{name}» refused {method} {path}: {reason}",
    ),
    "chaos_no_compiler": (
        "Cần trình biên dịch C (gói gcc và libc6-dev) để chỉnh đồng hồ của tiến trình.",
        "Moving a process's clock takes a C compiler (packages gcc and libc6-dev).",
    ),
    "chaos_result_unknown": (
        "{names}: không phải kết quả của `chaos`.",
        "{names}: no result of `chaos`.",
    ),
    "chaos_toxiproxy_not_built": (
        "Không dựng được Toxiproxy {version}: {reason} Cần Go 1.23 trở lên (apt-get install golang) và mạng.",
        "Toxiproxy {version} could not be built: {reason} It takes Go 1.23 or newer (apt-get install golang) and "
        "a network.",
    ),
    "data_dir_in_use": (
        "Thư mục dữ liệu {folder} đang được tiến trình {owner} sử dụng. Hãy dừng tiến trình đó trước.",
        "The data folder {folder} is in use by process {owner}. Stop that process first.",
    ),
    "demo_api_no_answer": (
        "API không trả lời ({reason}).",
        "The API did not answer ({reason}).",
    ),
    "demo_not_published": (
        "Không gửi được «{name}» vào Kafka: {reason}",
        "«{name}» could not be published to Kafka: {reason}",
    ),
    "demo_scan_refused": (
        "API từ chối lượt quét của {tenant}: {status} {reason}",
        "The API refused the scan of {tenant}: {status} {reason}",
    ),
    "disk_full": (
        "Đĩa đầy. {reason}.",
        "The disk is full. {reason}.",
    ),
    "dlq_allowance_failed": (
        "PostgreSQL không nhận được cho phép ({reason}). Hãy kiểm tra SCANLINE_POSTGRES_WRITE_URL và `scanline "
        "migrate`.",
        "PostgreSQL did not take the allowance ({reason}). Check SCANLINE_POSTGRES_WRITE_URL and `scanline migrate`.",
    ),
    "dlq_because_length": (
        "--because cần từ 1 đến 500 ký tự.",
        "--because takes 1 to 500 characters.",
    ),
    "dlq_busy": (
        "Một lệnh `scanline dlq retry` hoặc `drop` khác đang chạy. Hãy chờ lệnh đó xong.",
        "Another `scanline dlq retry` or `drop` is running. Wait until it has ended.",
    ),
    "dlq_content_not_kept": (
        "Nội dung gốc của {letter} quá lớn và không được giữ lại.",
        "The content of {letter} was too large and was not kept.",
    ),
    "dlq_kafka_refuses": (
        "Kafka tại {bootstrap} không trả lời hoặc từ chối: {reason}. Hãy kiểm tra SCANLINE_KAFKA_BOOTSTRAP, rồi "
        "chạy lại: việc dở dang được làm tiếp, không gửi hai lần.",
        "Kafka at {bootstrap} does not answer or refuses: {reason}. Check SCANLINE_KAFKA_BOOTSTRAP and run the "
        "command again: it goes on where it was, nothing is sent twice.",
    ),
    "dlq_letter_id_invalid": (
        "Mã thông điệp có dạng phân vùng:offset, ví dụ 0:17; xem `scanline dlq list`.",
        "A dead letter's id is partition:offset, for example 0:17; see `scanline dlq list`.",
    ),
    "dlq_letter_unknown": (
        "Không có thông điệp {place} trong scan.dlq.v1 (Kafka giữ 30 ngày); xem `scanline dlq list --all`.",
        "There is no dead letter {place} in scan.dlq.v1 (Kafka keeps them for 30 days); see `scanline dlq list --all`.",
    ),
    "dlq_not_acknowledged": (
        "Kafka không xác nhận {count} thông điệp: {reason}. Hãy chạy lại khi Kafka hoạt động: những gì đã đến nơi "
        "được nhận ra và không gửi hai lần.",
        "Kafka did not acknowledge {count} message(s): {reason}. Run it again when Kafka is back: what did arrive "
        "is recognised and not sent twice.",
    ),
    "dlq_not_confirmed": (
        "Không có gì bị bỏ; --yes để không hỏi.",
        "Nothing was dropped; --yes to not be asked.",
    ),
    "dlq_nothing_chosen": (
        "Hãy nêu mã thông điệp hoặc một bộ lọc, hoặc --everything cho tất cả.",
        "Name letters or give a filter, or say --everything.",
    ),
    "dlq_postgres_refuses": (
        "PostgreSQL không trả lời hoặc từ chối (SQLSTATE {sqlstate}). Hãy kiểm tra máy chủ và "
        "SCANLINE_POSTGRES_WRITE_URL, rồi chạy lại: việc dở dang được làm tiếp, không gửi hai lần.",
        "PostgreSQL does not answer or refuses (SQLSTATE {sqlstate}). Check the server and "
        "SCANLINE_POSTGRES_WRITE_URL, and run the command again: it goes on where it was, nothing is sent twice.",
    ),
    "dlq_raw_to_terminal": (
        "Không ghi byte thô ra màn hình. Hãy dùng --output TỆP hoặc chuyển hướng.",
        "Raw bytes are not written to a terminal. Use --output FILE, or redirect.",
    ),
    "dlq_reason_unknown": (
        "--reason không nhận «{reason}»: không thông điệp nào mang lý do này; các lý do: {known}.{near}",
        "--reason does not take «{reason}»: no dead letter has this reason; the reasons are: {known}.{near}",
    ),
    "dlq_table_missing": (
        "PostgreSQL chưa có bảng dead_letter_actions. Hãy chạy `scanline migrate`.",
        "PostgreSQL has no table dead_letter_actions yet. Run `scanline migrate`.",
    ),
    "dlq_time_invalid": (
        "Thời điểm phải theo RFC 3339 có múi giờ, ví dụ 2026-01-31T09:30:00+07:00, hoặc khoảng lùi lại: 30s, 15m, "
        "2h, 7d.",
        "A time is RFC 3339 with an offset, for example 2026-01-31T09:30:00+07:00, or so long ago: 30s, 15m, 2h, 7d.",
    ),
    "file_array_incomplete": (
        "Tệp {path} không phải một mảng JSON trọn vẹn.",
        "The file {path} is no complete JSON array.",
    ),
    "file_body_refused": (
        "{path}: {detail}",
        "{path}: {detail}",
    ),
    "file_damaged": (
        "Không đọc được tệp {path}: dữ liệu bị hỏng hoặc bị cắt cụt.",
        "The file {path} cannot be read: it is damaged or cut short.",
    ),
    "file_missing": (
        "Không có tệp {file}.",
        "There is no file {file}.",
    ),
    "file_not_opened": (
        "Không mở được tệp {path}: {reason}.",
        "The file {path} cannot be opened: {reason}.",
    ),
    "file_not_sent": (
        'Tệp {path} không gửi được: {why}. Tệp phải là NDJSON (mỗi dòng một bản ghi) hoặc JSON ({{"records": '
        "[...]}} hay [...]), mã hóa UTF-8, có thể nén gzip.",
        'The file {path} was not sent: {why}. It must be NDJSON (one record in each line) or JSON ({{"records": '
        "[...]}} or [...]), in UTF-8, compressed by gzip or not.",
    ),
    "file_not_written": (
        "Không ghi được {output}: {reason}.",
        "{output} could not be written: {reason}.",
    ),
    "file_without_records": (
        "Tệp {path} không có bản ghi nào, nên không gửi gì. Lượt quét đã chạy xong mà không tìm thấy gì được viết "
        "là {found_nothing}.",
        "The file {path} holds no record, so nothing was sent. A scan that ran to its end and found nothing is "
        "written as {found_nothing}.",
    ),
    "interrupted_stopped": (
        "Đã dừng; mọi tiến trình đã tắt.",
        "Interrupted; everything is stopped.",
    ),
    "java_missing": (
        "Không tìm thấy Java 17 trở lên. Hãy chạy `make setup`, hoặc `apt-get install openjdk-17-jre-headless`.",
        "No Java 17 or newer was found. Run `make setup`, or `apt-get install openjdk-17-jre-headless`.",
    ),
    "kafka_cluster_not_whole": (
        "Cụm Kafka chưa đầy đủ; xem nhật ký trong {folder}.",
        "The Kafka cluster is not whole; see the logs below {folder}.",
    ),
    "kafka_format_failed": (
        "Không định dạng được vùng lưu trữ của Kafka: {reason}",
        "Kafka's storage could not be formatted: {reason}",
    ),
    "kafka_jars_missing": (
        "Không tìm thấy các tệp jar của Kafka trong {folder}. Hãy chạy `make setup`.",
        "The Kafka jars are not in {folder}. Run `make setup`.",
    ),
    "kafka_no_answer": (
        "Kafka tại {bootstrap} không trả lời: {reason}. Hãy kiểm tra SCANLINE_KAFKA_BOOTSTRAP, hoặc chạy "
        "`scanline up`.",
        "Kafka at {bootstrap} does not answer: {reason}. Check SCANLINE_KAFKA_BOOTSTRAP, or run `scanline up`.",
    ),
    "kafka_not_acknowledged": (
        "Kafka không nhận đủ thông điệp: {reason}.",
        "Kafka did not take every message: {reason}.",
    ),
    "kafka_not_running": (
        "Kafka chưa chạy.",
        "Kafka is not running.",
    ),
    "kafka_offsets_unknown": (
        "Kafka tại {bootstrap} không cho biết offset: {reason}. Hãy kiểm tra SCANLINE_KAFKA_BOOTSTRAP.",
        "Kafka at {bootstrap} does not tell its offsets: {reason}. Check SCANLINE_KAFKA_BOOTSTRAP.",
    ),
    "kafka_partitions_unknown": (
        "Kafka chưa công bố đủ phân vùng của {topics} sau {seconds:.0f} giây.",
        "After {seconds:.0f} s Kafka still does not tell of all partitions of {topics}.",
    ),
    "kafka_refuses": (
        "Kafka từ chối hoặc không trả lời: {reason}. Hãy kiểm tra SCANLINE_KAFKA_BOOTSTRAP.",
        "Kafka refuses or does not answer: {reason}. Check SCANLINE_KAFKA_BOOTSTRAP.",
    ),
    "kafka_start_failed": (
        "Kafka đã dừng khi khởi động; xem {log}.",
        "Kafka ended while starting; see {log}.",
    ),
    "kafka_start_slow": (
        "Kafka không trả lời sau {seconds:.0f} giây; xem {log}.",
        "Kafka gave no answer within {seconds:.0f} s; see {log}.",
    ),
    "kafka_topic_missing": (
        "Kafka tại {bootstrap} không có {topic}. Hãy chạy `scanline topics`.",
        "Kafka at {bootstrap} has no {topic}. Run `scanline topics`.",
    ),
    "kafka_topics_failed": (
        "Kafka tại {bootstrap} không thực hiện được: {reason}. Hãy kiểm tra địa chỉ và trạng thái của máy chủ.",
        "Kafka at {bootstrap} could not do it: {reason}. Check the address and whether the broker runs.",
    ),
    "library_missing": (
        "Thiếu thư viện Python «{library}». Hãy kiểm tra các SCANLINE_POSTGRES_*_URL, hoặc chạy `make setup`.",
        "The Python library «{library}» is missing. Check the SCANLINE_POSTGRES_*_URL settings, or run `make setup`.",
    ),
    "offsets_not_stored": (
        "PostgreSQL không nhận được offset mới ({reason}). Hãy kiểm tra SCANLINE_POSTGRES_WRITE_URL.",
        "PostgreSQL did not take the new offset ({reason}). Check SCANLINE_POSTGRES_WRITE_URL.",
    ),
    "offsets_partition_or_all": (
        "Cần đúng một trong --partition và --all.",
        "Give exactly one of --partition and --all.",
    ),
    "offsets_partition_unknown": (
        "{topic} không có phân vùng {partition}; chưa thay đổi gì.",
        "{topic} has no partition {partition}; nothing was changed.",
    ),
    "offsets_target_invalid": (
        "--to {to}: cần earliest, latest hoặc một offset từ {begin} đến {end} (phân vùng {partition}).",
        "--to {to}: give earliest, latest or an offset from {begin} to {end} (partition {partition}).",
    ),
    "offsets_topic_missing": (
        "Kafka tại {bootstrap} không có {topic}; chưa thay đổi gì. Hãy chạy `scanline topics`.",
        "Kafka at {bootstrap} has no {topic}; nothing was changed. Run `scanline topics`.",
    ),
    "offsets_unknown": (
        "Kafka tại {bootstrap} không cho biết offset của {topic} ({reason}); chưa thay đổi gì.",
        "Kafka at {bootstrap} does not tell the offsets of {topic} ({reason}); nothing was changed.",
    ),
    "offsets_unread": (
        "Phân vùng {partition}: {count} offset có thể chưa được đọc sẽ bị bỏ qua; chưa thay đổi gì. Nếu đúng ý, "
        "hãy thêm --yes.",
        "Partition {partition}: {count} offsets that may not have been read would be passed over; nothing was "
        "changed. If that is meant, add --yes.",
    ),
    "partition_never_read": (
        "Phân vùng {partition} chưa từng được đọc trong pipeline «{pipeline}»; xem `scanline lag`.",
        "Partition {partition} was never read in pipeline «{pipeline}»; see `scanline lag`.",
    ),
    "path_not_utf8": (
        "Đường dẫn {path} không phải UTF-8.",
        "The path {path} is no UTF-8.",
    ),
    "pipeline_unknown": (
        "Không có pipeline «{pipeline}» nào được ghi trong PostgreSQL; có: {known}.{near} Hãy sửa "
        "--pipeline hoặc SCANLINE_STREAM_PIPELINE.",
        "PostgreSQL knows no pipeline «{pipeline}», only: {known}.{near} Correct --pipeline or SCANLINE_STREAM_PIPELINE.",
    ),
    "port_taken": (
        "Cổng đã có tiến trình khác dùng. {reason}.",
        "Another process has the port. {reason}.",
    ),
    "postgres_binaries_missing": (
        "Không tìm thấy máy chủ PostgreSQL. Hãy chạy `make setup`, hoặc `apt-get install postgresql` bằng quyền root.",
        "No PostgreSQL server was found. Run `make setup`, or `apt-get install postgresql` as root.",
    ),
    "postgres_cluster_failed": (
        "Không tạo được cụm PostgreSQL: {reason}",
        "The PostgreSQL cluster could not be made: {reason}",
    ),
    "postgres_folder_closed": (
        "Người dùng «{user}» không vào được thư mục {folder}. Hãy đặt SCANLINE_DATA_DIR ở nơi khác.",
        "The user «{user}» cannot enter the folder {folder}. Set SCANLINE_DATA_DIR to another place.",
    ),
    "postgres_not_running": (
        "PostgreSQL chưa chạy.",
        "PostgreSQL is not running.",
    ),
    "postgres_pooled": (
        "{name} dẫn qua một bộ gom kết nối (pooler); việc này cần phiên riêng. Hãy đặt {name} dẫn thẳng tới PostgreSQL.",
        "{name} leads through a connection pooler, and this needs a session of its own. Let {name} lead to PostgreSQL itself.",
    ),
    "postgres_refuses": (
        "PostgreSQL từ chối hoặc không trả lời ({reason}). Hãy kiểm tra các SCANLINE_POSTGRES_*_URL.",
        "PostgreSQL refuses or does not answer ({reason}). Check the SCANLINE_POSTGRES_*_URL settings.",
    ),
    "postgres_start_failed": (
        "PostgreSQL đã dừng khi khởi động; xem {log}.",
        "PostgreSQL ended while starting; see {log}.",
    ),
    "postgres_start_slow": (
        "PostgreSQL không trả lời sau {seconds:.0f} giây; xem {log}.",
        "PostgreSQL gave no answer within {seconds:.0f} s; see {log}.",
    ),
    "postgres_unusable": (
        "Không làm việc được với PostgreSQL tại {address}: {reason}",
        "PostgreSQL at {address} could not be used: {reason}",
    ),
    "postgres_url_invalid": (
        "{name} không phải là URL của SQLAlchemy.",
        "{name} is not a SQLAlchemy URL.",
    ),
    "postgres_url_missing": (
        "Thiếu {name}; hãy đặt biến này, hoặc chạy `scanline up`.",
        "{name} is missing; set it, or run `scanline up`.",
    ),
    "postgres_user_missing": (
        "PostgreSQL không chạy bằng quyền root và không có người dùng «postgres» hay «nobody».",
        "PostgreSQL does not run as root, and there is no user «postgres» or «nobody».",
    ),
    "postgres_version_other": (
        "Dữ liệu do PostgreSQL {version} tạo, nhưng máy chỉ có phiên bản khác. Hãy cài phiên bản đó hoặc xóa dữ liệu.",
        "The data was made by PostgreSQL {version}, and this machine has only others. Install that one or remove "
        "the data.",
    ),
    "process_ended": (
        "«{name}» đã dừng với mã {returncode}; xem {log}.",
        "«{name}» ended with code {returncode}; see {log}.",
    ),
    "process_not_ready": (
        "«{name}» chưa sẵn sàng sau {seconds:.0f} giây; xem {log}.",
        "«{name}» was not ready within {seconds:.0f} s; see {log}.",
    ),
    "process_start_failed": (
        "«{name}» đã dừng khi khởi động (mã {returncode}); xem {log}.",
        "«{name}» ended while starting (code {returncode}); see {log}.",
    ),
    "publish_gzip_with_kafka": (
        "--gzip chỉ dùng khi gửi qua HTTP; thông điệp Kafka luôn được nén.",
        "--gzip is for HTTP; messages to Kafka are compressed anyway.",
    ),
    "publish_interrupted": (
        "Đã dừng. {again}",
        "Interrupted. {again}",
    ),
    "rebuild_process_ended": (
        "«{name}» đã dừng (mã {returncode}); xem {log}, rồi chạy lại với --continue.",
        "«{name}» ended (code {returncode}); see {log}, then run again with --continue.",
    ),
    "rebuild_table_not_empty": (
        "Bảng {table} đã có dữ liệu: không dựng lại từ đầu. Nếu đây là lần dựng lại bị ngắt, hoặc các tiến trình "
        "xử lý đã bắt đầu ghi, hãy dùng --continue.",
        "The table {table} holds rows: nothing is rebuilt over them. If a rebuild was interrupted, or workers "
        "have begun to write already, use --continue.",
    ),
    "replay_busy": (
        "Tiến trình {owner} đang phát lại với {checkpoint}. Hãy chờ hoặc dừng tiến trình đó, rồi chạy lại.",
        "Process {owner} is replaying with {checkpoint}. Wait for it or stop it, then run this again.",
    ),
    "replay_checkpoint_of_another": (
        "{path} thuộc về một lần phát lại khác: {known}. Hãy xóa nó để bắt đầu lại.",
        "{path} belongs to another replay: {known}. Delete it to start anew.",
    ),
    "replay_checkpoint_unusable": (
        "Không dùng được tệp ghi nhớ {path}: {reason}",
        "The checkpoint {path} cannot be used: {reason}",
    ),
    "replay_interrupted": (
        "Đã ngắt; chạy lại cùng lệnh để làm tiếp.",
        "Interrupted; the same command again goes on.",
    ),
    "replay_interrupted_for_good": (
        "Đã ngắt, không làm tiếp được: lần sau hãy dùng -o TỆP hoặc --resume-from TỆP.",
        "Interrupted, and cannot be gone on with: next time use -o FILE or --resume-from FILE.",
    ),
    "replay_kafka_silent": (
        "Kafka tại {bootstrap} không trả lời trong {seconds:.0f} giây. Hãy chạy lại cùng lệnh để làm tiếp.",
        "Kafka at {bootstrap} gave no answer for {seconds:.0f} s. Run the same command again to go on.",
    ),
    "replay_output_option": (
        "-o chỉ dùng với --to-ndjson.",
        "-o goes with --to-ndjson only.",
    ),
    "replay_partition_unknown": (
        "{topic} có các phân vùng 0 đến {last}.",
        "{topic} has the partitions 0 to {last}.",
    ),
    "replay_place_invalid": (
        "«{text}» không có dạng phân_vùng:offset, ví dụ 3:1200.",
        "«{text}» is not of the form partition:offset, e.g. 3:1200.",
    ),
    "replay_postgres_no_answer": (
        "PostgreSQL không trả lời: {reason}. Hãy kiểm tra SCANLINE_POSTGRES_READ_URL.",
        "PostgreSQL does not answer: {reason}. Check SCANLINE_POSTGRES_READ_URL.",
    ),
    "replay_result_exists": (
        "{result} đã có kết quả. Hãy chọn nơi khác, hoặc dùng --overwrite.",
        "{result} holds a result already. Choose another place, or use --overwrite.",
    ),
    "replay_result_not_written": (
        "Không ghi được kết quả: {reason}. Hãy kiểm tra đĩa và quyền, rồi chạy lại cùng lệnh.",
        "The result cannot be written: {reason}. Check disk and rights, then run the same command again.",
    ),
    "replay_scan_id_invalid": (
        "Mã lượt quét «{text}» không phải là UUID.",
        "The scan id «{text}» is no UUID.",
    ),
    "replay_schema_ahead": (
        "Phân vùng {partition} kết thúc ở {end}, nhưng lược đồ đã ghi đến {written}. Hãy phát lại vào một lược đồ "
        "khác.",
        "Partition {partition} ends at {end}, but the schema is written up to {written}. Replay into another schema.",
    ),
    "replay_schema_busy": (
        "Một lần phát lại khác đang ghi vào lược đồ {name}.",
        "Another replay is writing into the schema {name}.",
    ),
    "replay_schema_failed": (
        "Không chuẩn bị được lược đồ {name} tại {host}:{port}/{database}: {reason}",
        "The schema {name} at {host}:{port}/{database} could not be made ready: {reason}",
    ),
    "replay_schema_foreign": (
        "Lược đồ {name} chứa những thứ không do phát lại tạo ra. Hãy chọn tên khác.",
        "The schema {name} holds things that no replay made. Choose another name.",
    ),
    "replay_schema_name_invalid": (
        "«{name}» không dùng được làm tên lược đồ. Hãy dùng chữ thường, chữ số và gạch dưới; trừ public, pg_… và "
        "information_schema.",
        "«{name}» cannot be the schema. Use lower-case letters, digits and underscores; not public, pg_… or "
        "information_schema.",
    ),
    "replay_schema_not_allowed": (
        "Vai trò {role} không tạo được lược đồ {name}: {reason}. Cần GRANT CREATE ON DATABASE.",
        "The role {role} may not make the schema {name}: {reason}. It needs GRANT CREATE ON DATABASE.",
    ),
    "replay_schema_of_another": (
        "Lược đồ {name} chứa một lần phát lại khác: {known}. Hãy chọn tên khác, hoặc dùng --overwrite.",
        "The schema {name} holds another replay: {known}. Choose another name, or use --overwrite.",
    ),
    "replay_schema_options": (
        "--to-schema không đi cùng --verify hay --resume-from: offset nằm trong chính lược đồ đó.",
        "--to-schema goes without --verify and --resume-from: its offsets stand in the schema itself.",
    ),
    "replay_schema_refuses": (
        "PostgreSQL không nhận dữ liệu (SQLSTATE {sqlstate}). Hãy chạy lại cùng lệnh để làm tiếp.",
        "PostgreSQL takes nothing (SQLSTATE {sqlstate}). Run the same command again to go on.",
    ),
    "replay_schema_refuses_all": (
        "PostgreSQL từ chối mọi lần ghi (SQLSTATE {sqlstate}), kể cả khi không có thông điệp nào. Hãy xem ràng "
        "buộc và trigger của lược đồ.",
        "PostgreSQL refuses everything (SQLSTATE {sqlstate}), even without any message. Look at the schema's "
        "constraints and triggers.",
    ),
    "replay_schema_topic_replaced": (
        "{topic} đã được tạo lại sau khi lược đồ {name} được ghi. Hãy chọn tên khác, hoặc dùng --overwrite.",
        "{topic} was made anew after the schema {name} was written. Choose another name, or use --overwrite.",
    ),
    "replay_schema_url_missing": (
        "--to-schema cần SCANLINE_POSTGRES_REPLAY_URL hoặc SCANLINE_POSTGRES_MIGRATE_URL.",
        "--to-schema needs SCANLINE_POSTGRES_REPLAY_URL or SCANLINE_POSTGRES_MIGRATE_URL.",
    ),
    "replay_schema_written_by_others": (
        "Có ai khác đã ghi vào lược đồ {name}. Hãy chạy lại cùng lệnh.",
        "Somebody else has written into the schema {name}. Run the same command again.",
    ),
    "replay_target_missing": (
        "Hãy chọn đúng một nơi nhận: --to-ndjson, --to-parquet THƯ_MỤC hoặc --to-schema TÊN; hoặc chỉ --verify.",
        "Choose one target: --to-ndjson, --to-parquet DIR or --to-schema NAME; or --verify alone.",
    ),
    "replay_tenant_invalid": (
        "«{tenant}» không phải mã tổ chức.",
        "«{tenant}» is no tenant id.",
    ),
    "replay_time_invalid": (
        "«{text}» không phải là thời điểm; ví dụ: 2026-07-01, 2026-07-01T08:30, 2026-07-01T08:30:00+07:00.",
        "«{text}» is no time; examples: 2026-07-01, 2026-07-01T08:30, 2026-07-01T08:30:00+07:00.",
    ),
    "replay_topic_missing": (
        "Không có {topic}. Hãy chạy `scanline topics`.",
        "There is no {topic}. Run `scanline topics`.",
    ),
    "replay_topic_not_read": (
        "Không đọc được {topic} tại {bootstrap}: {reason}.",
        "{topic} at {bootstrap} cannot be read: {reason}.",
    ),
    "replay_topic_replaced": (
        "{topic} đã được tạo lại sau khi lần phát lại này bị ngắt. Hãy xóa {path} để bắt đầu lại.",
        "{topic} was made anew after this replay was interrupted. Delete {path} to start anew.",
    ),
    "role_without_name": (
        "URL của PostgreSQL ({host}/{database}) không có tên người dùng; vai trò cần tạo phải có tên: "
        "postgresql://TÊN:MẬT_KHẨU@...",
        "The URL of PostgreSQL ({host}/{database}) names no user; the role that is to be made must have a name: "
        "postgresql://NAME:PASSWORD@...",
    ),
    "scan_id_invalid": (
        "Mã lượt quét phải là một UUID.",
        "A scan id is a UUID.",
    ),
    "server_ended": (
        "{name} đã dừng; xem {log}.",
        "{name} ended; see {log}.",
    ),
    "settings_wrong": (
        "Cấu hình không đúng: {reason}.",
        "Settings are wrong: {reason}.",
    ),
    "soak_no_matplotlib": (
        "Chưa cài matplotlib nên không vẽ được hình; hãy chạy `make setup`.",
        "matplotlib is not installed, so there is no picture; run `make setup`.",
    ),
    "soak_not_drained": (
        "Hệ thống chưa xử lý hết sau {seconds:.0f} giây; xem {folder}.",
        "The system had not drained after {seconds:.0f} s; see {folder}.",
    ),
    "soak_result_unknown": (
        "{file} không phải kết quả của `soak`.",
        "{file} is no result of `soak`.",
    ),
    "status_topic_not_read": (
        "Không đọc được {topic} tại {bootstrap}: {reason}. Hãy kiểm tra địa chỉ, và chạy `scanline topics`.",
        "{topic} at {bootstrap} cannot be read: {reason}. Check the address, and run `scanline topics`.",
    ),
    "statuses_not_published": (
        "Kafka không nhận đủ các tình trạng ({reason}); hãy chạy lại lệnh này.",
        "Kafka did not take every status ({reason}); run this again.",
    ),
    "statuses_too_early": (
        "Còn {count} thông điệp chưa được ghi, nên khác biệt chưa nói lên điều gì. Hãy xem `scanline lag` và chạy lại sau.",
        "{count} messages are not written yet, so that a difference means nothing. See `scanline lag`, and run this later.",
    ),
    "system_refuses": (
        "Hệ thống từ chối: {reason}. Hãy kiểm tra đường dẫn và quyền.",
        "The system refuses: {reason}. Check the path and the rights.",
    ),
    "tenant_id_invalid": (
        "Mã tổ chức không hợp lệ: 1 đến 64 ký tự trong a-z 0-9 . _ -, bắt đầu và kết thúc bằng chữ hoặc số.",
        "This is no tenant id: 1 to 64 of a-z 0-9 . _ -, beginning and ending with a letter or digit.",
    ),
    "topics_differ": (
        "Có khác biệt không thể tự điều chỉnh (không thể giảm số phân vùng).",
        "Some differences cannot be mended: Kafka cannot take partitions away.",
    ),
}
