"""Columns of progress bars with their figures as everything for people has them: 1.348/1.348, 259,7/259,7 kB."""

from typing import Final

from rich.progress import DownloadColumn, ProgressColumn, Task
from rich.text import Text

from schemas.numbers import number

_SWAPPED: Final = str.maketrans(".,", ",.")


class CountColumn(ProgressColumn):
    """How many of how many; those that nobody knows yet are a question mark."""

    def render(self, task: Task) -> Text:
        done = number(int(task.completed), "vi")
        total = "?" if task.total is None else number(int(task.total), "vi")
        return Text(f"{done:>{len(total)}}/{total}", style="progress.download")


class BytesColumn(DownloadColumn):
    """How many of how many bytes, in a unit that fits."""

    def render(self, task: Task) -> Text:
        shown = super().render(task)
        return Text(shown.plain.translate(_SWAPPED), style="progress.download")
