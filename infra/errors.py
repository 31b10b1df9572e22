"""Errors of setting up, running and operating, in both languages. Their texts are in infra/error_texts.py."""

from typing import Self

from infra.error_texts import TEXTS


class InfraError(Exception):
    """An error for the operator: what happened, where, and what to do. `code` names it for programs."""

    def __init__(self, vi: str, en: str, code: str) -> None:
        super().__init__(f"{vi}\n{en}")
        self.vi = vi
        self.en = en
        self.code = code

    @classmethod
    def of(cls, code: str, **values: object) -> Self:
        """One of the catalogue, its text filled with the values. A value that has a text in each language (`vi` and
        `en`) gives the one that fits."""
        vi, en = (
            template.format(**{name: getattr(value, language, value) for name, value in values.items()})
            for language, template in zip(("vi", "en"), TEXTS[code], strict=True)
        )
        return cls(vi, en, code)


class Interrupted(InfraError):
    """Ctrl-C, or SIGTERM, where there is something to say about it."""
