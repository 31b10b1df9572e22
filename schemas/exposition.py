"""/metrics of each process: the format and version that were asked for, as prometheus-client chooses them."""

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector


def exposition(registry: Collector, accept: str) -> tuple[bytes, str]:
    """The metrics and their content type; text 0.0.4, which everything reads, for whoever asks for nothing in particular."""
    try:
        encode, kind = choose_encoder(accept)
    except TypeError:  # a version that is no number
        encode, kind = choose_encoder("")
    return encode(registry), kind
