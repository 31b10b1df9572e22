"""Checks where the body of a request ends (RFC 9112, section 6), as far as the parser leaves it to us.

llhttp holds the grammar: two lengths, a length beside chunks, folded or bare line ends and the like are its errors.
What it lets pass and this API does not decode is refused here, before a byte of the body is read: a body whose end or
coding is in doubt must never become a scan. An offer to change the protocol is no reason to refuse: it is ignored (RFC
9110, section 7.8)."""

from collections.abc import Sequence
from typing import Final

from producer_api.http.problems import ApiProblem

_VERSIONS: Final = ("1.0", "1.1")
Headers = Sequence[tuple[bytes, bytes]]  # names in lower case


def check_framing(method: bytes, version: str, headers: Headers) -> None:
    """Raises ApiProblem transfer_unsupported."""
    codings = [value.strip(b" \t").lower() for name, value in headers if name == b"transfer-encoding"]
    chunks = codings in ([], [b"chunked"]) and not (codings and version == "1.0")
    if version not in _VERSIONS or method == b"CONNECT" or not chunks:
        raise ApiProblem("transfer_unsupported")


def head_without_offer(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """The same request without its Upgrade header, to be parsed again."""
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    lines += [b"%b: %b" % header for header in headers if header[0] != b"upgrade"]
    return b"\r\n".join((*lines, b"", b""))
