"""Errors of setting up and running, in both languages."""


class InfraError(Exception):
    """What happened, where, and what to do, for the operator."""

    code: str | None = None  # the API's, where the API refused

    def __init__(self, vi: str, en: str) -> None:
        super().__init__(f"{vi}\n{en}")
        self.vi = vi
        self.en = en


class Interrupted(InfraError):
    """Ctrl-C, or SIGTERM, where there is something to say about it."""

    code = "interrupted"
