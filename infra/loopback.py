"""HTTP to this machine itself: never through the proxy that the environment names for the way out."""

import ipaddress
import urllib.request
from http.client import HTTPResponse
from typing import Final
from urllib.parse import urlsplit

_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_loopback(url: str) -> bool:
    """True where the URL's host is this machine, as far as its name shows."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761


def opened(url: str, seconds: float) -> HTTPResponse:
    """The answer to a GET, as urlopen gives it. Raises OSError, urllib.error.HTTPError for a status that is no
    success."""
    answer: HTTPResponse = _OPENER.open(url, timeout=seconds)
    return answer
