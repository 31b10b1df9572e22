"""Every problem the HTTP API answers with (RFC 9457): stable code, HTTP status, title and detail in both languages.

Placeholders are filled with names, limits and positions, never with a value that was refused: it may be personal data.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from schemas.errors import Text, field_name
from schemas.numbers import number


class Problem(NamedTuple):
    """One kind of problem. `detail` is a str.format template per language."""

    status: int
    title: Text
    detail: Text


PROBLEMS: Final[dict[str, Problem]] = {
    "json_malformed": Problem(
        400,
        Text("JSON sai cú pháp", "Malformed JSON"),
        Text(
            "Nội dung gửi lên không phải JSON đúng cú pháp, lỗi tại byte thứ {position}. Hãy sửa rồi gửi lại; chưa có gì "
            "được ghi nhận.",
            "The body is not well-formed JSON: the fault is at byte {position}. Mend it and send it again; nothing was "
            "accepted.",
        ),
    ),
    "json_too_deep": Problem(
        400,
        Text("JSON lồng nhau quá sâu", "JSON nested too deeply"),
        Text(
            "Nội dung JSON lồng nhau quá sâu để đọc. Hãy gửi dạng NDJSON để chỉ bản ghi đó bị từ chối, hoặc bỏ phần lồng "
            "nhau.",
            "The JSON is nested too deeply to be read. Send NDJSON so that only that record is rejected, or flatten it.",
        ),
    ),
    "encoding_malformed": Problem(
        400,
        Text("Dữ liệu nén bị hỏng", "Broken compression"),
        Text(
            "Nội dung không giải nén được bằng «{encoding}»: dữ liệu bị hỏng hoặc bị cắt cụt. Hãy nén lại và gửi lại "
            "toàn bộ.",
            "The body could not be inflated as «{encoding}»: it is damaged or cut short. Compress it again and send all "
            "of it.",
        ),
    ),
    "no_records": Problem(
        422,
        Text("Không có bản ghi nào", "No records"),
        Text(
            "Nội dung không có bản ghi nào, nên chưa có gì được ghi nhận và «Idempotency-Key» vẫn dùng được. Hãy kiểm tra "
            "tệp và cách gửi (curl: --data-binary @tệp). Lượt quét đã chạy xong mà không tìm thấy gì được gửi dạng "
            'application/json: {{"records": [], "complete": true}}.',
            "The body holds no record, so nothing was accepted, and the «Idempotency-Key» is still free. Check the file and "
            "how it is sent (curl: --data-binary @file). A scan that ran to its end and found nothing is sent as "
            'application/json: {{"records": [], "complete": true}}.',
        ),
    ),
    "ndjson_malformed": Problem(
        400,
        Text("Không phải NDJSON", "Not NDJSON"),
        Text(
            "Không dòng nào ở đầu nội dung là một đối tượng JSON, nên chưa có gì được ghi nhận. NDJSON có trên mỗi dòng một "
            "bản ghi, là một đối tượng JSON mã hóa UTF-8.",
            "None of the first lines is a JSON object, so nothing was accepted. NDJSON has one record in each line, a JSON "
            "object in UTF-8.",
        ),
    ),
    "several_in_line": Problem(
        400,
        Text("Nhiều đối tượng trên một dòng", "Several objects in one line"),
        Text(
            "Nhiều đối tượng JSON nằm trên cùng một dòng, nên chưa có gì được ghi nhận. Hãy đặt mỗi bản ghi trên một dòng; "
            "với curl, dùng --data-binary @tệp, vì -d bỏ các dấu xuống dòng.",
            "Several objects in one line, so nothing was accepted. Put each record on a line of its own; with curl, use "
            "--data-binary @file, since -d takes the line ends away.",
        ),
    ),
    "number_not_finite": Problem(
        400,
        Text("NaN hoặc Infinity", "NaN or Infinity"),
        Text(
            "Nội dung chứa NaN hoặc Infinity, những số mà JSON không có; chưa có gì được ghi nhận. Hãy viết null, hoặc bỏ "
            "trường đó.",
            "The body holds NaN or Infinity, which JSON does not have; nothing was accepted. Write null, or leave the field "
            "out.",
        ),
    ),
    "json_not_ndjson": Problem(
        415,
        Text("Một tài liệu JSON, không phải NDJSON", "One JSON document, not NDJSON"),
        Text(
            "Nội dung là một tài liệu JSON (mảng, hoặc đối tượng trải trên nhiều dòng), không phải NDJSON với mỗi dòng một "
            'bản ghi; chưa có gì được ghi nhận. Hãy gửi {{"records": [...]}} với «Content-Type: application/json», hoặc '
            "chuyển mảng thành các dòng (jq -c '.[]').",
            "The body is one JSON document (an array, or an object over several lines), not NDJSON with one record in each "
            'line; nothing was accepted. Send {{"records": [...]}} with «Content-Type: application/json», or turn the array '
            "into lines (jq -c '.[]').",
        ),
    ),
    "ndjson_not_json": Problem(
        415,
        Text("NDJSON, không phải một tài liệu JSON", "NDJSON, not one JSON document"),
        Text(
            "Nội dung gồm nhiều đối tượng JSON nối tiếp, không phải một tài liệu; chưa có gì được ghi nhận. Hãy gửi mỗi bản "
            "ghi một dòng với «Content-Type: application/x-ndjson» (curl: --data-binary @tệp, vì -d bỏ các dấu xuống dòng), "
            'hoặc đặt chúng trong {{"records": [...]}}.',
            "The body is several JSON objects, one after another, not one document; nothing was accepted. Send one record "
            "in each line with «Content-Type: application/x-ndjson» (curl: --data-binary @file, since -d takes the line "
            'ends away), or put them into {{"records": [...]}}.',
        ),
    ),
    "charset_unsupported": Problem(
        415,
        Text("Văn bản không phải UTF-8", "The text is not UTF-8"),
        Text(
            "Văn bản được mã hóa bằng {format}; chỉ nhận UTF-8, và chưa có gì được ghi nhận. Hãy chuyển mã (iconv -t UTF-8) "
            "rồi gửi lại.",
            "The text is in {format}; only UTF-8 is taken, and nothing was accepted. Convert it (iconv -t UTF-8) and send "
            "it again.",
        ),
    ),
    "compression_undeclared": Problem(
        415,
        Text("Dữ liệu nén không được khai báo", "Compressed without saying so"),
        Text(
            "Nội dung được nén bằng {format} mà «Content-Encoding» không nói vậy (hoặc đã nén hai lần); chưa có gì được ghi "
            "nhận. Hãy gửi lại kèm «Content-Encoding: {format}», hoặc không nén.",
            "The body is compressed with {format} and «Content-Encoding» does not say so (or it is compressed twice); "
            "nothing was accepted. Send it with «Content-Encoding: {format}», or uncompressed.",
        ),
    ),
    "compression_unsupported": Problem(
        415,
        Text("Kiểu nén không được hỗ trợ", "Unsupported compression"),
        Text(
            "Nội dung được nén bằng {format}; chỉ nhận gzip và zstd, và chưa có gì được ghi nhận. Hãy giải nén rồi gửi lại.",
            "The body is compressed with {format}; only gzip and zstd are taken, and nothing was accepted. Unpack it and "
            "send it again.",
        ),
    ),
    "compression_missing": Problem(
        400,
        Text("Dữ liệu không được nén như đã khai báo", "Not compressed as declared"),
        Text(
            "«Content-Encoding» nói «{encoding}» nhưng nội dung không bắt đầu như dữ liệu «{encoding}»; chưa có gì được ghi "
            "nhận. Hãy bỏ tiêu đề đó, hoặc nén nội dung.",
            "«Content-Encoding» says «{encoding}», but the body does not begin as «{encoding}» does; nothing was accepted. "
            "Leave the header out, or compress the body.",
        ),
    ),
    "zstd_window_too_large": Problem(
        413,
        Text("Cửa sổ zstd quá lớn", "zstd window too large"),
        Text(
            "Để giải nén nội dung cần một cửa sổ zstd lớn hơn giới hạn {limit} byte. Hãy nén lại không có --ultra và --long "
            "(hoặc với --long=23), rồi gửi lại toàn bộ.",
            "To inflate the body takes a zstd window over the limit of {limit} bytes. Compress it again without --ultra and "
            "--long (or with --long=23), and send all of it.",
        ),
    ),
    "format_unsupported": Problem(
        415,
        Text("Không phải JSON", "Not JSON"),
        Text(
            "Nội dung là {format}, không phải JSON; chưa có gì được ghi nhận. Hãy gửi NDJSON (mỗi dòng một bản ghi) hoặc "
            "{{\"records\": [...]}}; với curl: -H 'Content-Type: application/x-ndjson' --data-binary @tệp.",
            "The body is {format}, not JSON; nothing was accepted. Send NDJSON (one record in each line) or "
            "{{\"records\": [...]}}; with curl: -H 'Content-Type: application/x-ndjson' --data-binary @file.",
        ),
    ),
    "idempotency_key_invalid": Problem(
        400,
        Text("Idempotency-Key không hợp lệ", "Invalid Idempotency-Key"),
        Text(
            "«Idempotency-Key» phải là chuỗi ASCII in được, 1 đến 255 ký tự, có thể đặt trong dấu ngoặc kép.",
            "«Idempotency-Key» must be 1 to 255 printable ASCII characters, in double quotes or not.",
        ),
    ),
    "tenant_invalid": Problem(
        404,
        Text("Không có tổ chức này", "No such tenant"),
        Text(
            "Mã tổ chức trong đường dẫn không hợp lệ: 1 đến 64 ký tự trong a-z 0-9 . _ -, bắt đầu và kết thúc bằng chữ "
            "hoặc số.",
            "The tenant id in the path is not valid: 1 to 64 of a-z 0-9 . _ -, beginning and ending with a letter or digit.",
        ),
    ),
    "scan_not_found": Problem(
        404,
        Text("Không có lượt quét này", "No such scan"),
        Text(
            "Tổ chức không có lượt quét với mã này, hoặc nó đã hết thời hạn lưu. Hãy xem danh sách tại {scans_url}.",
            "The tenant has no scan with this id, or it is past its time. See the list at {scans_url}.",
        ),
    ),
    "route_not_found": Problem(
        404,
        Text("Không có địa chỉ này", "No such address"),
        Text(
            "API không có địa chỉ này; các lệnh gọi được mô tả tại /docs.",
            "The API has no such address; /docs lists the calls.",
        ),
    ),
    "slash_at_the_end": Problem(
        404,
        Text("Địa chỉ thừa dấu gạch chéo ở cuối", "A slash too many at the end of the address"),
        Text(
            "API không có địa chỉ kết thúc bằng dấu gạch chéo. Hãy gửi lại đúng yêu cầu này tới {address}.",
            "The API has no address with a slash at its end. Send the same request to {address}.",
        ),
    ),
    "method_not_allowed": Problem(
        405,
        Text("Phương thức không được phép", "Method not allowed"),
        Text(
            "Địa chỉ này không nhận phương thức đã dùng; hãy dùng {allowed}.",
            "This address does not take that method; use {allowed}.",
        ),
    ),
    "upload_too_slow": Problem(
        408,
        Text("Gửi quá chậm", "Upload too slow"),
        Text(
            "Dữ liệu đến quá chậm hoặc đã ngừng: đã chờ {seconds} giây. Lượt quét chưa gửi xong đã bị hủy; hãy gửi lại.",
            "The body came too slowly or stopped: {seconds} seconds were spent waiting. A scan that was still arriving was "
            "cancelled; send it again.",
        ),
    ),
    "head_too_slow": Problem(
        408,
        Text("Phần đầu yêu cầu đến quá chậm", "Request headers too slow"),
        Text(
            "Phần đầu của yêu cầu HTTP không đến đủ trong {seconds} giây, nên kết nối được đóng. Hãy gửi lại.",
            "The head of the HTTP request did not arrive within {seconds} seconds, so the connection is closed. Send again.",
        ),
    ),
    "head_too_large": Problem(
        431,
        Text("Phần đầu yêu cầu quá lớn", "Request headers too large"),
        Text(
            "Địa chỉ và các tiêu đề HTTP vượt giới hạn {limit} byte. Hãy rút ngắn rồi gửi lại.",
            "Address and headers are over the limit of {limit} bytes together. Make them shorter and send again.",
        ),
    ),
    "http_malformed": Problem(
        400,
        Text("Không phải yêu cầu HTTP hợp lệ", "Not a valid HTTP request"),
        Text(
            "Dữ liệu nhận được không đúng ngữ pháp HTTP/1.1, nên kết nối được đóng. Hãy kiểm tra chương trình gửi.",
            "What was received does not follow the grammar of HTTP/1.1, so the connection is closed. Check the sending program.",
        ),
    ),
    "transfer_unsupported": Problem(
        501,
        Text("Cách truyền không được hỗ trợ", "Unsupported way of transfer"),
        Text(
            "API nhận HTTP/1.1 hoặc HTTP/1.0, nội dung có «Content-Length» hoặc (chỉ với HTTP/1.1) «Transfer-Encoding: "
            "chunked» không kèm cách mã hóa nào khác, và không mở đường hầm (CONNECT). Chưa có gì được ghi nhận và kết nối "
            "được đóng. Hãy đổi cách gửi; nội dung nén được khai bằng «Content-Encoding».",
            "The API takes HTTP/1.1 or HTTP/1.0, a body with «Content-Length» or (with HTTP/1.1 alone) «Transfer-Encoding: "
            "chunked» without any other coding, and opens no tunnel (CONNECT). Nothing was accepted, and the connection is "
            "closed. Send it another way; a compressed body is declared by «Content-Encoding».",
        ),
    ),
    "submission_in_progress": Problem(
        409,
        Text("Lần gửi trước còn đang đến", "The first submission is still arriving"),
        Text(
            "Một lượt quét với cùng «Idempotency-Key» còn đang được nhận. Hãy thử lại sau {seconds} giây.",
            "A scan with the same «Idempotency-Key» is still arriving. Try again in {seconds} seconds.",
        ),
    ),
    "scan_finished": Problem(
        409,
        Text("Lượt quét đã kết thúc", "The scan is finished"),
        Text(
            "Lượt quét đã kết thúc nên không hủy được nữa.",
            "The scan is finished and cannot be cancelled any more.",
        ),
    ),
    "scan_cancelled": Problem(
        409,
        Text("Lượt quét đã bị hủy", "The scan is cancelled"),
        Text(
            "Lượt quét đã bị hủy nên không nhận bản ghi sửa lại nữa. Hãy gửi chúng thành một lượt quét mới.",
            "The scan is cancelled and takes no mended records any more. Submit them as a new scan.",
        ),
    ),
    "body_too_large": Problem(
        413,
        Text("Nội dung gửi lên quá lớn", "Body too large"),
        Text(
            "Nội dung gửi lên vượt giới hạn {limit} byte như đã truyền (sau nén). Hãy chia lượt quét hoặc gửi dạng NDJSON.",
            "The body is over the limit of {limit} bytes as sent (compressed). Split the scan, or send NDJSON.",
        ),
    ),
    "inflated_too_large": Problem(
        413,
        Text("Nội dung sau giải nén quá lớn", "Decompressed body too large"),
        Text(
            "Nội dung vượt giới hạn {limit} byte sau giải nén. Hãy chia lượt quét hoặc gửi dạng NDJSON.",
            "The body is over the limit of {limit} bytes once decompressed. Split the scan, or send NDJSON.",
        ),
    ),
    "inflation_too_high": Problem(
        413,
        Text("Tỷ lệ nén quá cao", "Compression ratio too high"),
        Text(
            "Nội dung giải nén ra hơn {limit} lần kích thước đã gửi. Hãy gửi không nén, hoặc chia nhỏ.",
            "The body inflates to more than {limit} times its size. Send it uncompressed, or in parts.",
        ),
    ),
    "too_many_records": Problem(
        413,
        Text("Quá nhiều bản ghi", "Too many records"),
        Text(
            "Lượt quét vượt giới hạn {limit} bản ghi cho lệnh gọi này. Hãy gửi dạng NDJSON hoặc chia thành nhiều lượt quét.",
            "The scan is over the limit of {limit} records for this call. Send NDJSON, or split it into several scans.",
        ),
    ),
    "record_too_large": Problem(
        413,
        Text("Một bản ghi quá lớn", "One record too large"),
        Text(
            "Một bản ghi, thứ {position} trong nội dung gửi lên, vượt giới hạn {limit} byte. Hãy bỏ bớt rồi gửi lại; chưa có gì "
            "được ghi nhận.",
            "One record, number {position} of the body, is over the limit of {limit} bytes. Make it smaller and send "
            "again; nothing was accepted.",
        ),
    ),
    "content_type_unsupported": Problem(
        415,
        Text("Kiểu nội dung không được hỗ trợ", "Unsupported content type"),
        Text(
            "«Content-Type» phải là application/json, application/x-ndjson hoặc application/jsonl, mã hóa UTF-8.",
            "«Content-Type» must be application/json, application/x-ndjson or application/jsonl, in UTF-8.",
        ),
    ),
    "content_encoding_unsupported": Problem(
        415,
        Text("Kiểu nén không được hỗ trợ", "Unsupported content encoding"),
        Text(
            "«Content-Encoding» phải là gzip, zstd hoặc bỏ trống.",
            "«Content-Encoding» must be gzip, zstd, or absent.",
        ),
    ),
    "mend_invalid": Problem(
        422,
        Text("Một dòng không phải là bản ghi sửa lại", "A line is no mended record"),
        Text(
            "Dòng {position} phải là đối tượng JSON có «index» (hoặc «id», nếu «index» là null) và «record». {taken} bản ghi "
            "ở các dòng trước đã được nhận; hãy sửa dòng này rồi gửi lại cả tệp, không bản ghi nào bị tính hai lần.",
            "Line {position} must be a JSON object with «index» (or «id», where «index» is null) and «record». {taken} records "
            "of the lines before it were taken; mend this line and send the whole file again, nothing counts twice.",
        ),
    ),
    "request_invalid": Problem(
        422,
        Text("Yêu cầu không hợp lệ", "Invalid request"),
        Text(
            "Yêu cầu đọc được nhưng không đúng dạng: {reason}. Xem «errors» để biết từng chỗ.",
            "The request can be read but has the wrong shape: {reason}. «errors» names each place.",
        ),
    ),
    "cursor_invalid": Problem(
        422,
        Text("Con trỏ trang không hợp lệ", "Invalid cursor"),
        Text(
            "«cursor» không phải do API này đưa ra cho danh sách này. Hãy bắt đầu lại không có «cursor».",
            "«cursor» was not given out by this API for this list. Begin again without «cursor».",
        ),
    ),
    "idempotency_key_reused": Problem(
        422,
        Text("Idempotency-Key đã dùng cho nội dung khác", "Idempotency-Key used for another body"),
        Text(
            "«Idempotency-Key» này đã dùng cho một lượt quét có nội dung khác. Hãy dùng khóa mới cho nội dung mới.",
            "This «Idempotency-Key» belongs to a scan with another body. Use a new key for a new body.",
        ),
    ),
    "internal_error": Problem(
        500,
        Text("Lỗi nội bộ", "Internal error"),
        Text(
            "Có lỗi ngoài dự kiến trong API; lỗi đã được ghi nhật ký. Hãy gửi lại với cùng «Idempotency-Key», hoặc báo bộ "
            "phận vận hành.",
            "Something unexpected failed in the API and was logged. Send again with the same «Idempotency-Key», or tell "
            "operations.",
        ),
    ),
    "kafka_unavailable": Problem(
        503,
        Text("Hàng đợi tạm thời không sẵn sàng", "The queue is away for now"),
        Text(
            "Không kết nối được hàng đợi (Kafka), nên chưa có gì được ghi nhận. Hãy gửi lại sau {seconds} giây.",
            "The queue (Kafka) cannot be reached, so nothing was accepted. Send again in {seconds} seconds.",
        ),
    ),
    "scan_not_queued": Problem(
        503,
        Text("Không đưa được lượt quét vào hàng đợi", "The scan could not be queued"),
        Text(
            "Hàng đợi (Kafka) ngừng trả lời khi đang đưa lượt quét vào, nên lượt quét đã bị hủy. Hãy gửi lại toàn bộ sau "
            "{seconds} giây.",
            "The queue (Kafka) stopped answering midway, so the scan was cancelled. Send all of it again in {seconds} "
            "seconds.",
        ),
    ),
    "scan_unconfirmed": Problem(
        503,
        Text("Hàng đợi chưa xác nhận lượt quét", "The queue did not confirm the scan"),
        Text(
            "Hàng đợi (Kafka) không xác nhận kịp, nên chưa rõ lượt quét đã vào đủ hay chưa. Hãy gửi lại toàn bộ với cùng "
            "«Idempotency-Key» sau {seconds} giây: không bản ghi nào bị tính hai lần. Nếu không có khóa, hãy xem tình trạng "
            "lượt quét trước khi gửi lại: hoặc đủ, hoặc đã hủy.",
            "The queue (Kafka) did not confirm in time, so it is not known whether the scan is whole. Send all of it again "
            "with the same «Idempotency-Key» in {seconds} seconds: nothing counts twice. Without a key, look at the scan's "
            "status before sending again: it will be whole, or cancelled.",
        ),
    ),
    "mends_not_queued": Problem(
        503,
        Text("Không đưa được bản ghi sửa lại vào hàng đợi", "The mended records could not be queued"),
        Text(
            "Hàng đợi (Kafka) không nhận hết bản ghi sửa lại. Hãy gửi lại cả tệp sau {seconds} giây; không bản ghi nào bị "
            "tính hai lần.",
            "The queue (Kafka) did not take all of the mended records. Send the whole file again in {seconds} seconds; "
            "nothing counts twice.",
        ),
    ),
    "overloaded": Problem(
        503,
        Text("Hệ thống đang quá tải", "Overloaded"),
        Text(
            "API đang giữ quá nhiều dữ liệu chưa đưa vào hàng đợi. Yêu cầu chưa được nhận trọn vẹn;"
            " hãy gửi lại toàn bộ sau {seconds} giây.",
            "The API holds too much data that is not queued yet. The request was not taken as a whole;"
            " send all of it again in {seconds} seconds.",
        ),
    ),
    "backlog_too_long": Problem(
        503,
        Text("Hàng đợi quá dài", "Too much is waiting"),
        Text(
            "Quá nhiều dữ liệu đang chờ được ghi vào cơ sở dữ liệu. Chưa có gì được ghi nhận; hãy gửi lại sau {seconds} giây.",
            "Too much is waiting to be written to the database. Nothing was accepted; send again in {seconds} seconds.",
        ),
    ),
    "too_many_viewers": Problem(
        503,
        Text("Quá nhiều người đang xem", "Too many viewers"),
        Text(
            "Trang vận hành đang có quá nhiều người xem tại tiến trình này. Hãy thử lại sau {seconds} giây.",
            "The operators' page has too many viewers at this process. Try again in {seconds} seconds.",
        ),
    ),
    "too_many_connections": Problem(
        503,
        Text("Quá nhiều kết nối", "Too many connections"),
        Text(
            "API đang giữ quá nhiều kết nối. Chưa có gì được ghi nhận; hãy gửi lại sau {seconds} giây.",
            "The API holds too many connections. Nothing was accepted; send again in {seconds} seconds.",
        ),
    ),
    "restarting": Problem(
        503,
        Text("API đang khởi động lại", "The API is restarting"),
        Text(
            "Tiến trình này phải dừng trước khi yêu cầu kết thúc. Lượt quét chưa gửi xong đã bị hủy; hãy gửi lại toàn bộ "
            "với cùng «Idempotency-Key» sau {seconds} giây.",
            "This process had to end before the request did. A scan that was still arriving was cancelled; send all of it "
            "again with the same «Idempotency-Key» in {seconds} seconds.",
        ),
    ),
    "statuses_unavailable": Problem(
        503,
        Text("Tình trạng chưa sẵn sàng", "Statuses are not ready"),
        Text(
            "API chưa đọc kịp chủ đề tình trạng (Kafka). Hãy thử lại sau {seconds} giây.",
            "The API has not caught up with the status topic (Kafka). Try again in {seconds} seconds.",
        ),
    ),
    "reads_unavailable": Problem(
        503,
        Text("Cơ sở dữ liệu tạm thời không đọc được", "The database cannot be read for now"),
        Text(
            "Cơ sở dữ liệu không trả lời kịp. Gửi lượt quét và xem tình trạng vẫn hoạt động; hãy thử đọc lại sau {seconds} "
            "giây.",
            "The database did not answer in time. Submitting scans and their status still work; read again in {seconds} "
            "seconds.",
        ),
    ),
}

# What is wrong with one field or parameter of a request (not with a record: those are schemas.errors.RECORD_ERRORS).
REQUEST_ERRORS: Final[dict[str, Text]] = {
    "field_missing": Text("thiếu «{field}»", "«{field}» is missing"),
    "parameter_misspelt": Text(
        "lệnh gọi này không có tham số «{field}»; có lẽ là {expected}",
        "this call takes no parameter «{field}»; perhaps {expected} was meant",
    ),
    "parameter_unknown": Text(
        "lệnh gọi này không có tham số «{field}», chỉ có: {allowed}",
        "this call takes no parameter «{field}», only: {allowed}",
    ),
    "parameter_unexpected": Text(
        "lệnh gọi này không nhận tham số nào, nên bỏ «{field}»",
        "this call takes no parameters; leave «{field}» out",
    ),
    "parameter_repeated": Text(
        "tham số «{field}» chỉ được có một lần", "the parameter «{field}» may be given once only"
    ),
    "parameter_in_body": Text(
        "với application/json, «{field}» nằm trong nội dung, cạnh «records», không nằm trong truy vấn",
        "in a submission of application/json «{field}» belongs in the body, beside «records», and not in the query",
    ),
    "parameter_of_pages": Text(
        "«{field}» chỉ dành cho các trang JSON; NDJSON cho tất cả trong một lần trả lời, nên bỏ «{field}»",
        "«{field}» is for pages of JSON; NDJSON holds all of them in one answer, so leave «{field}» out",
    ),
    "field_unexpected": Text("«{field}» không có trong yêu cầu này", "«{field}» is not part of this request"),
    "body_not_object": Text(
        'nội dung phải là một đối tượng JSON: {{"{items}": [...]}}',
        'the body must be a JSON object: {{"{items}": [...]}}',
    ),
    "correction_invalid": Text(
        "«{field}» phải là đối tượng JSON có «index» (hoặc «id», nếu «index» là null) và «record»",
        "«{field}» must be a JSON object with «index» (or «id», where «index» is null) and «record»",
    ),
    "not_list": Text("«{field}» phải là danh sách", "«{field}» must be a list"),
    "not_text": Text("«{field}» phải là văn bản", "«{field}» must be text"),
    "too_long": Text("«{field}» dài hơn {max} ký tự", "«{field}» is longer than {max} characters"),
    "value_refused": Text("«{field}» chứa giá trị không được phép", "«{field}» holds a value that is not allowed"),
    "not_in_list": Text("«{field}» phải là một trong: {allowed}", "«{field}» must be one of: {allowed}"),
    "not_uuid": Text("«{field}» phải là UUID", "«{field}» must be a UUID"),
    "not_date": Text(
        "«{field}» phải là một ngày như 2026-11-20",
        "«{field}» must be a day like 2026-11-20",
    ),
    "not_boolean": Text("«{field}» phải là true hoặc false", "«{field}» must be true or false"),
    "not_within": Text(
        "«{field}» phải là số nguyên từ {min} đến {max}", "«{field}» must be a whole number from {min} to {max}"
    ),
}


def request_error(code: str, field: str, *, parameter: bool = False, **params: str | int | Text) -> dict[str, Any]:
    """One entry of `errors`: where (JSON pointer, or the parameter's name), what, and both texts."""
    place: dict[str, Any] = {"parameter": field} if parameter else {"pointer": f"/{field}" if field else ""}
    return {**place, "code": code, "messages": REQUEST_ERRORS[code].fill({"field": field_name(field), **params})}


def reason_of(errors: Sequence[Mapping[str, Any]]) -> Text:
    """The first of them, to be told in one sentence."""
    first = errors[0]["messages"]
    return Text(first["vi"], first["en"])


def printable(name: str) -> str:
    """A name from outside as it may be shown, cut short."""
    return "".join(character if character.isprintable() else "\ufffd" for character in name[:80])


def quantity(value: int) -> Text:
    """A number as a parameter of a text: 1.000 in Vietnamese, 1,000 in English."""
    return Text(number(value, "vi"), number(value, "en"))
