"""Numbers as people write them in each language. A figure that is read in both, in a table or a bar, is written as in
Vietnamese. Imports nothing, so that a command that only counts starts quickly."""

_SWAPPED = str.maketrans(".,", ",.")


def number(value: int, language: str) -> str:
    """1234567 as people write it: 1.234.567 in Vietnamese, 1,234,567 in English."""
    text = f"{value:,}"
    return text.replace(",", ".") if language == "vi" else text


def decimal(value: float, digits: int, language: str) -> str:
    """1234.5 with so many digits after the comma: 1.234,5 in Vietnamese, 1,234.5 in English."""
    text = f"{value:,.{digits}f}"
    return text.translate(_SWAPPED) if language == "vi" else text
