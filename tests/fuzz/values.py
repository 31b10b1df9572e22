"""What may stand where a value of JSON is expected: one of each class, right, wrong and broken, as bytes."""

from typing import Final

_DEPTHS: Final = (20, 300, 1_500, 5_000)

TEXTS: Final = [
    b'""', b'"VN"', b'"consent"', b'"basic_name"', b'"2026-11-20T09:30:00+07:00"', b'"2026-11-20"',
    b'"\\u0000"', b'"\\u0001"', b'"\\u202e"', b'"\\u200b"', b'"e\\u0301"', '"\u0958"'.encode(), '"\U0001d15e"'.encode(),
    b'"\\ud83d\\ude00"', b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\ud83d\\ude00\\udc00"', b'"2026-11-20T09:30:00\\ud800"',
    b'"2026-11-20\\udc00"', b'"' + b"x" * 600 + b'"', b'"' + "😀".encode() * 501 + b'"', b'"\\\\ud800"',
]  # fmt: skip
NUMBERS: Final = [
    b"0", b"-0", b"-0.0", b"1", b"1.0", b"1E0", b"-1", b"0.5", b"1e999", b"-1e999", b"1e-999", b"1e400", b"365.0",
    b"9007199254740993", b"9223372036854775808", b"18446744073709551616", b"1" * 5_000, b"-" + b"1" * 5_000,
    b"1" * 5_000 + b".5", b"0." + b"1" * 5_000, b"1e" + b"9" * 400,
]  # fmt: skip
OTHERS: Final = [b"true", b"false", b"null"]
CONTAINERS: Final = [
    b"[]", b"{}", b"[null]", b"[1]", b'["VN"]', b"[[]]", b'{"a":1}', b'{"a":1,"a":2}', b'{"":null}', b'{"\\ud800":1}',
    b'["\\ud800"]', b'{"a":["\\udc00"]}', b"[1e999]", b"[" + b"1" * 5_000 + b"]", b'{"\\u0000":"\\u0000"}', b'{"country":"VN"}',
    *(b"[" * depth + b"]" * depth for depth in _DEPTHS),
    *(b'{"a":' * depth + b"1" + b"}" * depth for depth in _DEPTHS),
]  # fmt: skip
BROKEN: Final = [
    b"", b"NaN", b"Infinity", b"-Infinity", b"nul", b"True", b"01", b"+1", b"1.", b".5", b"1e", b"0x1", b"--1", b'"', b"'a'",
    b'"\\q"', b'"\\u12"', b'"\\ud800', b'"\x00"', b'"\x1f"', b'"\n"', b'"\xff"', b'"\x80"', b'"\xc0\xaf"', b'"\xe1\xba"',
    b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xf8\x88\x80\x80\x80"', b"\xef\xbb\xbf1", b"\xff\xfe1\x00", b"\x00",
    b"[", b"]", b"{", b"}", b"[1,]",
    b'{"a"}', b'{"a":}', b"{a:1}", b"{1:1}", b'{null:1}', b"1 2",
    b"/**/1", b",", b":", b"[" * 5_000, b'{"a":' * 5_000,
]  # fmt: skip
WELL_FORMED: Final = [*TEXTS, *NUMBERS, *OTHERS, *CONTAINERS]
ALL: Final = [*WELL_FORMED, *BROKEN]
# half a character, an unknown name: they make the bytes around a value take another way through the code
SURROUNDINGS: Final = [
    (b"", b""),
    (b'"varchar"', b'"\\ud800"'),
    (b'"name"', b'"\\ud800"'),
    (b'"name"', b'"name\\u0000"'),
]
