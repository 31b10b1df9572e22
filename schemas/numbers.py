"""Numbers as people write them in each language. Imports nothing, so that a command that only counts starts quickly."""


def number(value: int, language: str) -> str:
    """1234567 as people write it: 1.234.567 in Vietnamese, 1,234,567 in English."""
    text = f"{value:,}"
    return text.replace(",", ".") if language == "vi" else text
