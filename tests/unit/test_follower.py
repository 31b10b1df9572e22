"""Runs tests/follower_errors.py in a process of its own: API and worker have metrics of the same names."""

import subprocess
import sys


def test_one_message_that_fails_keeps_the_api_from_nothing_else() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "tests/follower_errors.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout
