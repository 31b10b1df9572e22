"""The commands of `scanline`: their names, what they are for, and where each is loaded from once it is asked for. A
command's module imports at its top whatever the command needs; no other command waits for that."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer
from typer._click.exceptions import UsageError
from typer._coercion import RuntimeParam, TypeDescriptor, build_runtime_param
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

import cli
from cli.usage import WrongUse
from infra.nearest import nearest

if TYPE_CHECKING:  # typer's own copy of click, which it gives no other name to
    from typer._click.core import Command, Context, Parameter


class Entry(NamedTuple):
    """A command that is not loaded. `function` is "module:name"; `help` is the beginning of its docstring."""

    function: str
    help: str


class Entries(NamedTuple):
    """A group of commands."""

    help: str
    commands: Mapping[str, Entry]


COMMANDS: Final[Mapping[str, Entry | Entries]] = {
    "bench": Entry(
        "cli.bench:bench", "Đo tốc độ so với COPY trong cùng lần chạy. / Measure against COPY in the same run."
    ),
    "chaos": Entry(
        "cli.chaos:chaos", "Phá hệ thống có chủ đích rồi đối soát. / Break the system on purpose, then reconcile."
    ),
    "demo": Entry(
        "cli.demo:demo",
        "Chạy thử toàn bộ hệ thống trên dữ liệu thật. / Run the whole system on real scans and account for every record.",
    ),
    "doctor": Entry(
        "cli.doctor:doctor",
        "Kiểm tra máy: thiếu gì, cài thế nào. / Check the machine: what is missing, and how to get it.",
    ),
    "lag": Entry(
        "cli.lag:lag",
        "Lượng tồn đọng của từng phân vùng. / How many messages of each partition wait to be written.",
    ),
    "statuses": Entry(
        "cli.statuses:statuses",
        "So tình trạng đã phát với PostgreSQL, và phát lại. / Hold published statuses against PostgreSQL, and publish again.",
    ),
    "errors": Entry(
        "cli.corrections:errors",
        "Bản ghi bị từ chối của một lượt quét, dạng NDJSON. / The rejected records of a scan, as NDJSON.",
    ),
    "mend": Entry(
        "cli.corrections:mend",
        "Gửi lại bản ghi đã sửa vào chính lượt quét đó. / Send mended records back into the same scan.",
    ),
    "api": Entry("cli.processes:api", "Chạy API. / Run the API."),
    "worker": Entry("cli.processes:worker", "Chạy một tiến trình xử lý. / Run a worker."),
    "exporter": Entry(
        "cli.processes:exporter",
        "Chạy tiến trình cung cấp chỉ số của máy chủ và độ trễ. / Run the exporter: lag and servers, for Prometheus.",
    ),
    "up": Entry("cli.up:up", "Chạy toàn bộ hệ thống; Ctrl-C để dừng. / Run the whole system; Ctrl-C stops all of it."),
    "publish": Entry(
        "cli.publish:publish", "Gửi một tệp bản ghi thành một lượt quét. / Send a file of records as a scan."
    ),
    "rebuild": Entry(
        "cli.rebuild:rebuild",
        "Dựng lại các bảng từ scan.records.v1 khi mất cơ sở dữ liệu."
        " / Rebuild the tables from the topic: the database was lost.",
    ),
    "replay": Entry(
        "cli.replay:replay",
        "Đọc lại scan.records.v1, không ảnh hưởng đến hệ thống đang chạy. / Read scan.records.v1 again, beside the live system.",
    ),
    "migrate": Entry("cli.servers:migrate", "Đưa các bảng lên phiên bản mới nhất. / Bring the tables up to date."),
    "postgres-conf": Entry(
        "cli.servers:postgres_conf",
        "Cấu hình PostgreSQL hợp với một máy, kèm lý do. / PostgreSQL's settings for a machine, each with its reason.",
    ),
    "topics": Entry(
        "cli.servers:topics",
        "Tạo hoặc điều chỉnh các topic, và cho biết khác biệt. / Create or reconcile the topics; say what differs.",
    ),
    "setup": Entry(
        "cli.servers:setup",
        "Vai trò, bảng và topic trên máy chủ có sẵn. / Roles, tables and topics on servers that exist already.",
    ),
    "soak": Entry(
        "cli.soak:run_soak",
        "Chạy lâu ở nửa tải với sự cố: bộ nhớ, lag, kết nối. / Run for long at half load with faults: memory, lag, connections.",
    ),
    "status": Entry(
        "cli.status:status", "Tình trạng các lượt quét, hoặc của một lượt quét. / Where scans stand, or one of them."
    ),
    "tail": Entry(
        "cli.tail:tail", "Theo dõi trực tiếp các lượt quét; Ctrl-C để dừng. / Follow scans live; Ctrl-C stops."
    ),
    "dlq": Entries(
        "Thông điệp không xử lý được (scan.dlq.v1). / Dead letters (scan.dlq.v1).",
        {
            "list": Entry(
                "cli.dlq:list_letters", "Các thông điệp không xử lý được, và lý do. / What could not be read, and why."
            ),
            "show": Entry(
                "cli.dlq:show_one",
                "Một thông điệp; nội dung chỉ hiện khi yêu cầu, và được ghi nhật ký kiểm toán."
                "\n/ One letter; its content is shown only on demand, and that leaves an audit row.",
            ),
            "retry": Entry(
                "cli.dlq:retry",
                "Gửi lại vào scan.records.v1, mỗi thông điệp một lần. / Send letters again, each once.",
            ),
            "drop": Entry(
                "cli.dlq:drop",
                "Bỏ hẳn: không hiện và không gửi lại nữa; Kafka giữ đến hết hạn. / Put aside for good.",
            ),
            "allow": Entry(
                "cli.dlq:allow",
                "Cho phép các thông điệp không đọc được kế tiếp vào scan.dlq.v1, dù vượt giới hạn."
                "\n/ Let the next messages go to scan.dlq.v1 where they cannot be read, although they are over the limit.",
            ),
        },
    ),
    "offsets": Entries(
        "Vị trí đọc của từng phân vùng. / Where each partition is read on.",
        {
            "reset": Entry(
                "cli.offsets:reset",
                "Đặt lại vị trí đọc khi làn dừng với lý do log_replaced; worker tự tiếp tục, không cần khởi động lại."
                "\n/ Set where a lane goes on that waits with log_replaced; the worker notices by itself.",
            ),
        },
    ),
}


_SIMPLE: Final = frozenset({str, bool, int, float})
_TRIALS: Final = frozenset({"bench", "chaos", "demo", "soak"})  # they need the package of this name


@dataclass(frozen=True)
class _OnDemand(RuntimeParam):
    """What an option's value becomes. Typer would load pydantic for every option, given or not, which takes as long as all
    else that a small command needs. Here that waits for a value that is not already what it should be."""

    descriptor: TypeDescriptor

    def _coerce_value(self, value: Any, param: Any, ctx: "Context") -> Any:
        if type(value) is self.annotation and self.annotation in _SIMPLE and self.parameter_info.parser is None:
            return value
        return build_runtime_param(self.descriptor)._coerce_value(value, param=param, ctx=ctx)


def _on_demand(parameter: "Parameter") -> "Parameter":
    if isinstance(parameter, TyperOption | TyperArgument):
        kind = parameter.type_descriptor
        parameter._runtime_param = _OnDemand(kind.parameter_info, kind.annotation, kind)
    return parameter


class _Command(TyperCommand):
    """A command that is loaded."""

    def get_params(self, ctx: "Context") -> "list[Parameter]":
        """Its options and arguments."""
        return [_on_demand(each) for each in super().get_params(ctx)]

    def invoke(self, ctx: "Context") -> Any:
        """Runs it. What it imports is there now, so that a Ctrl-C meets no import half done."""
        cli.listen()
        return super().invoke(ctx)

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        """What is wrong with an option's value is told without its command."""
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            error.ctx = error.ctx or ctx
            raise


class Commands(TyperGroup):
    """Lists its commands without loading them, and loads the one that is run."""

    def __init__(self, name: str, help: str, entries: Mapping[str, Entry | Entries]) -> None:
        self._functions = {each: entry.function for each, entry in entries.items() if isinstance(entry, Entry)}
        commands: dict[str, Command] = {
            each: TyperCommand(each, help=entry.help)
            if isinstance(entry, Entry)
            else Commands(each, entry.help, entry.commands)
            for each, entry in entries.items()
        }
        super().__init__(name=name, help=help, commands=commands, no_args_is_help=True)

    def get_params(self, ctx: "Context") -> "list[Parameter]":
        """Its own options."""
        return [_on_demand(each) for each in super().get_params(ctx)]

    def load(self, name: str) -> "Command":
        """One of its commands, with all its options."""
        if name not in self._functions:
            return self.commands[name]
        module, function = self._functions[name].split(":")
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        single.command(name, cls=_Command)(getattr(import_module(module), function))
        return typer.main.get_command(single)

    def resolve_command(self, ctx: "Context", args: list[str]) -> "tuple[str | None, Command | None, list[str]]":
        """The command that is to be run, and its arguments."""
        name, *rest = args
        if name in self.commands:
            return name, self.load(name), rest
        vi, en = nearest(name, self.commands)
        raise WrongUse(f"Không có lệnh «{name}».{vi}", f"There is no command «{name}».{en}", name, ctx.command_path)


def all_commands(*, trials: bool) -> Commands:
    """All commands; without `trials`, those of the production image, which has no such package."""
    return Commands(
        "scanline",
        "Scanline: kết quả quét vào PostgreSQL, mỗi bản ghi đúng một lần. / Scan results into PostgreSQL, exactly once.",
        {name: entry for name, entry in COMMANDS.items() if trials or name not in _TRIALS},
    )


app: Final = all_commands(trials=find_spec("trials") is not None)
