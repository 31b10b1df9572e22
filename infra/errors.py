"""Errors of setting up and running, in both languages."""


class InfraError(Exception):
    """What happened, where, and what to do, for the operator."""

    def __init__(self, vi: str, en: str) -> None:
        super().__init__(f"{vi}\n{en}")
        self.vi = vi
        self.en = en
