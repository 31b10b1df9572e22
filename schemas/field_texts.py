"""What each field of the contract means, in both languages. schemas.documents publishes it; a test keeps it whole."""

from typing import Final

from schemas.errors import Text

RECORD: Final[dict[str, Text]] = {
    "activity_key": Text(
        "Khóa ổn định do tổ chức đặt; duy nhất trong một lượt quét, bản ghi thứ hai cùng khóa được tính là trùng lặp.",
        "The tenant's own stable key; unique within a scan, a second record with the same key counts as a duplicate.",
    ),
    "name": Text("Tên hoạt động xử lý dữ liệu.", "Name of the processing activity."),
    "source_system": Text("Hệ thống nguồn.", "The system the data was found in."),
    "asset": Text("Nơi chứa dữ liệu, ví dụ crm.public.khach_hang.", "Where the data lies, e.g. crm.public.khach_hang."),
    "data_fields": Text(
        "Các cột hoặc trường đã thấy; không bao giờ là giá trị mẫu.", "Columns or fields seen; never sample values."
    ),
    "data_categories": Text(
        "Loại dữ liệu cá nhân: cơ bản (Nghị định 356/2025/NĐ-CP, Điều 3) và nhạy cảm (Điều 4). Tính nhạy cảm do "
        "Scanline suy ra từ đây.",
        "Categories of personal data: basic (Decree 356/2025/ND-CP, Article 3) and sensitive (Article 4). "
        "Sensitivity is derived from them.",
    ),
    "data_subjects": Text("Nhóm chủ thể dữ liệu cá nhân.", "Groups of data subjects."),
    "purpose": Text("Một mục đích xử lý cụ thể.", "One specific purpose."),
    "legal_basis": Text(
        "Căn cứ pháp lý: sự đồng ý, hoặc một trường hợp của Điều 19.1 Luật 91/2025/QH15: urgent_interest (a), "
        "emergency_security (b), "
        "state_agency (c), agreement (d), other_by_law (đ); undetermined khi máy quét không biết.",
        "Legal basis: consent, or a case of Article 19.1 of Law 91/2025/QH15: urgent_interest (a), "
        "emergency_security (b), "
        "state_agency (c), agreement (d), other_by_law (đ); undetermined where a scanner cannot know.",
    ),
    "storage_country": Text("Quốc gia lưu trữ, ISO 3166-1 alpha-2.", "Country of storage, ISO 3166-1 alpha-2."),
    "discovered_at": Text(
        "Thời điểm phát hiện, RFC 3339 có múi giờ; không quá 5 phút trước đồng hồ hệ thống và không trước năm 1900. "
        "Có thể thiếu giây (:00); giây nhuận ghi là 59; độ lệch UTC chưa đến 16 giờ.",
        "When it was found, RFC 3339 with an offset; not more than 5 minutes ahead of the clock and not before 1900. "
        "Seconds may be left out (:00); a leap second is written as 59; the offset is less than 16 hours.",
    ),
    "controller_role": Text(
        "Vai trò: bên kiểm soát, bên xử lý, bên kiểm soát và xử lý, bên thứ ba.",
        "Role: controller, processor, controller-processor, third party.",
    ),
    "recipients": Text("Các bên nhận dữ liệu.", "Recipients of the data."),
    "provider_country": Text(
        "Quốc gia của nhà cung cấp dịch vụ đám mây, nếu có; nhà cung cấp nước ngoài là xuyên biên giới dù máy "
        "chủ đặt tại Việt Nam.",
        "Country of the cloud provider, where there is one; a foreign one means cross-border even with servers "
        "in Vietnam.",
    ),
    "transfer": Text(
        "Chuyển dữ liệu cá nhân xuyên biên giới (Điều 20).", "Cross-border transfer of personal data (Article 20)."
    ),
    "retention_days": Text("Thời hạn lưu trữ, tính bằng ngày.", "Retention period in days."),
    "subject_count": Text("Số chủ thể dữ liệu cá nhân, ước tính.", "Estimated number of data subjects."),
    "confidence": Text("Độ tin cậy của máy quét, từ 0 đến 1.", "The scanner's confidence, 0 to 1."),
    "attributes": Text(
        "Thông tin thêm tự do, tối đa 4.096 byte JSON, kể cả khoảng trắng, khi mọi số được viết đủ chữ số; lồng nhau tối "
        "đa 32 cấp, mỗi số tối đa 350 chữ số. Số được giữ nguyên từng chữ số.",
        "Free-form extras, at most 4,096 bytes of JSON with its white space and every number written out; nested at most "
        "32 levels, each number at most 350 digits. Numbers are kept digit by digit.",
    ),
}

TRANSFER: Final[dict[str, Text]] = {
    "country": Text("Quốc gia nhận, ISO 3166-1 alpha-2.", "Receiving country, ISO 3166-1 alpha-2."),
    "recipient": Text("Bên nhận dữ liệu.", "Who receives the data."),
    "mechanism": Text(
        "Cách chuyển: đám mây, nội bộ tập đoàn, bên xử lý ở nước ngoài, nền tảng ở nước ngoài, khác.",
        "How: cloud storage, within a group, a processor abroad, a platform abroad, other.",
    ),
    "exemption": Text("Trường hợp được miễn, nếu có.", "The exemption that applies, if one does."),
    "dossier_ref": Text(
        "Số hồ sơ đánh giá tác động chuyển dữ liệu cá nhân xuyên biên giới.",
        "Reference of the cross-border transfer impact assessment dossier.",
    ),
    "first_transferred_on": Text(
        "Ngày chuyển đầu tiên; hạn nộp hồ sơ là 60 ngày sau ngày này.",
        "Day of the first transfer; the dossier is due 60 days after it.",
    ),
}

OPENED: Final[dict[str, Text]] = {
    "source": Text("Máy quét hoặc hệ thống gửi.", "The scanner or system that sends."),
    "records_total": Text(
        "Số bản ghi dự kiến, nếu biết; thông điệp đóng mới là số quyết định.",
        "How many records are expected, where known; the closed message decides.",
    ),
    "language": Text("Ngôn ngữ của người gửi.", "The sender's language."),
    "notify": Text("Nơi nhận thông báo khi lượt quét kết thúc.", "Where to tell of the scan's end."),
    "request_digest": Text("SHA-256 của yêu cầu, dạng hex.", "SHA-256 of the request, hex."),
    "submitted_at": Text("Thời điểm gửi, có múi giờ.", "When it was submitted, with an offset."),
}

CLOSED: Final[dict[str, Text]] = {
    "records_total": Text("Tổng số bản ghi của lượt quét.", "How many records the scan has in all."),
    "request_digest": OPENED["request_digest"],
}

CANCELLED: Final[dict[str, Text]] = {
    "reason": Text(
        "Lý do hủy: một mã, hoặc lời của bên gửi.", "Why it is cancelled: a code, or the publisher's own word."
    ),
}

ERROR_SAMPLE: Final[dict[str, Text]] = {
    "index": Text(
        "Thứ tự của bản ghi trong lượt quét, đếm từ 0; null khi bên gửi không đánh số.",
        "The record's zero-based index within the scan; null where the publisher did not number it.",
    ),
    "activity_key": Text("Khóa của bản ghi, nếu đọc được.", "The record's key, where it could be read."),
    "code": Text("Mã lỗi ổn định.", "Stable error code."),
    "pointer": Text("JSON pointer (RFC 6901) tới trường bị lỗi.", "JSON pointer (RFC 6901) to the field at fault."),
    "messages": Text("Lý do bằng hai ngôn ngữ, vi và en.", "The reason in both languages, vi and en."),
}

SCAN_STATUS: Final[dict[str, Text]] = {
    "scan_id": Text("Mã lượt quét, UUID.", "The scan's id, a UUID."),
    "tenant_id": Text("Mã tổ chức.", "The tenant's id."),
    "status": Text(
        "Trạng thái: đang chờ, đang xử lý, hoàn tất, hoàn tất có lỗi, thất bại, đã hủy.",
        "State: queued, processing, completed, completed with errors, failed, cancelled.",
    ),
    "source": OPENED["source"],
    "records_total": Text("Tổng số bản ghi, khi đã biết.", "How many records there are, once known."),
    "records_stored": Text("Số bản ghi đã lưu.", "Records stored."),
    "records_rejected": Text("Số bản ghi bị từ chối.", "Records rejected."),
    "records_duplicate": Text("Số bản ghi trùng lặp.", "Duplicate records."),
    "records_sensitive": Text("Số bản ghi đã lưu có dữ liệu nhạy cảm.", "Stored records with sensitive data."),
    "records_cross_border": Text("Số bản ghi đã lưu xuyên biên giới.", "Stored records that cross the border."),
    "messages_unreadable": Text(
        "Số thông điệp không xử lý được của lượt quét.", "Messages of the scan that could not be read at all."
    ),
    "progress": Text("Tiến độ từ 0 đến 1; 0 khi chưa biết tổng số.", "Progress, 0 to 1; 0 while the total is unknown."),
    "errors_sample": Text("Tối đa 20 bản ghi bị từ chối đầu tiên.", "The first rejected records, at most 20."),
    "submitted_at": Text("Thời điểm gửi.", "When it was submitted."),
    "started_at": Text("Thời điểm bắt đầu xử lý.", "When processing began."),
    "finished_at": Text("Thời điểm kết thúc.", "When it ended."),
    "version": Text(
        "Tăng một ở mỗi thay đổi; sau sự cố cơ sở dữ liệu có thể lùi lại, nên thông điệp cuối cùng mới là sự thật.",
        "Grows by one per change; after a database crash it may step back, so the last message is the truth.",
    ),
    "message": Text("Một câu về tình trạng, bằng hai ngôn ngữ.", "One sentence on where it stands, in both languages."),
    "request_digest": OPENED["request_digest"],
    "cancel_reason": Text(
        "Vì sao bị hủy: một mã, hoặc lời của bên gửi; null nếu không bị hủy.",
        "Why it was cancelled: a code, or the publisher's own word; null where it was not.",
    ),
    "paused": Text(
        "Đang chờ, như «message» cho biết: cơ sở dữ liệu, người vận hành, hoặc một lần ghi kéo dài; số đếm là của lúc trước khi "
        "chờ.",
        "It waits, as `message` says: for the database, for an operator, or for writing that takes long; the counts are those "
        "of before.",
    ),
}

STRUCTS: Final[dict[str, tuple[Text, dict[str, Text]]]] = {
    "Record": (
        Text(
            "Bản ghi phiên bản 1: một hoạt động xử lý dữ liệu do một lượt quét tìm thấy. Văn bản được chuẩn hóa "
            "NFC và bỏ ký tự độ rộng "
            "bằng không trước khi đo độ dài; NUL, surrogate đơn lẻ, ký tự điều khiển khác (trừ tab và xuống "
            "dòng) và ký tự đảo chiều bị từ chối.",
            "Record version 1: one processing activity found by one scan. Text is brought to NFC and zero-width "
            "characters are stripped "
            "before it is measured; NUL, lone surrogates, other control characters (but tab and line feed) and "
            "bidirectional overrides are refused.",
        ),
        RECORD,
    ),
    "Transfer": (
        Text(
            "Chuyển dữ liệu cá nhân xuyên biên giới (Luật 91/2025/QH15, Điều 20; Nghị định 356/2025/NĐ-CP, Điều 17).",
            "A cross-border transfer of personal data (Law 91/2025/QH15, Article 20; Decree 356/2025/ND-CP, "
            "Article 17).",
        ),
        TRANSFER,
    ),
    "Opened": (
        Text(
            "Thông tin về lượt quét. Có thể thiếu mọi trường, và không bắt buộc phải gửi.",
            "Scan metadata. Every field may be missing, and it need not be sent at all.",
        ),
        OPENED,
    ),
    "Closed": (Text("Lượt quét không còn bản ghi nào nữa.", "No more records of the scan follow."), CLOSED),
    "Cancelled": (
        Text(
            "Lượt quét bị hủy; bản ghi đã lưu được giữ lại.", "The scan is cancelled; what is stored already is kept."
        ),
        CANCELLED,
    ),
    "ScanStatus": (
        Text("Tình trạng của một lượt quét.", "The status of a scan."),
        SCAN_STATUS,
    ),
    "ErrorSample": (Text("Một bản ghi bị từ chối.", "One rejected record."), ERROR_SAMPLE),
}
