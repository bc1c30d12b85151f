"""The `undertone` command: which commands there are, and how each of them ends."""

import logging.config
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from services.commands.faults import explain
from streams.discreet import no_cores

#: Command -> the module that has it as `app`, and the first paragraph of its help.
COMMANDS = {
    "demo": ("services.commands.demo", "Play calls through the whole stream on this machine, and watch."),
    "up": (
        "services.commands.up",
        "Run Kafka, PostgreSQL, the inference service and the workers on this machine until Ctrl-C.",
    ),
    "doctor": ("services.commands.up", "Say what is missing on this machine, and the command that mends it."),
    "publish": ("services.commands.publish", "Publish recordings as calls, one each and all at the same time."),
    "trial": ("services.commands.trial", "Publish a sample call, wait for its labels, and erase it again."),
    "subscribe": ("services.commands.subscribe", "Follow escalations as they are raised, until Ctrl-C."),
    "label": (
        "services.label_command",
        "Label a recording as the live stream would, without Kafka or a database. Nothing is stored.",
    ),
    "status": ("services.commands.status", "Show how far each stage is, and what needs looking after."),
    "topics": ("services.commands.topics", "Show the topics, or make the broker have them."),
    "pseudonym": (
        "services.commands.calls",
        "Print the pseudonyms of a call, by which PostgreSQL and the topics know it.",
    ),
    "erase": ("services.commands.calls", "Erase everything of a call from PostgreSQL, at once and for good."),
    "audit": ("services.commands.audit", "Verify that the audit trail is what was written."),
    "corpus": (
        "services.training.commands.corpus",
        "Prepare calls for annotators, import what they say, check it and count it.",
    ),
    "study": ("services.study_command", "Let a listener and a reader judge the same calls, and compare what they say."),
    "train": (
        "services.training.commands.train",
        "Train a bundle on labelled speech, scored on speakers that it never heard.",
    ),
    "experiment": (
        "services.training.commands.experiment",
        "Run the paper's experiments on annotated corpora, and judge a bundle on one.",
    ),
}
USER_ERROR = 2
INTERRUPTED = 130


class Commands(TyperGroup):
    """Imports a command's module when it is called: help is quick, and an extra is missed by its own commands alone."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - typer's own
        super().__init__(**attributes)
        for name, (_, line) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=line))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - typer keeps these types to itself
        """The command itself in place of its entry in the list."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed and load(listed.name or ""), rest


def load(name: str) -> Any:  # noqa: ANN401 - as above
    """The command of this name, its module imported."""
    module = import_module(COMMANDS[name][0])
    module.app.rich_markup_mode = app.rich_markup_mode  # or the lines of its help would be broken twice
    group = get_group(module.app)  # never the bare command, which would bring completion's options along
    found = group.commands.get(name, group)
    found.name = name
    return found


app = typer.Typer(cls=Commands, rich_markup_mode="markdown", context_settings={"help_option_names": ["-h", "--help"]})


@app.callback(invoke_without_command=True)
def undertone(
    context: typer.Context,
    *,
    said: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Listens to contact-centre calls and raises an escalation when a customer's voice turns very negative.

    New here? `undertone demo` shows all of it on this machine; nothing else needs to be running.

    Commands work on the servers that UNDERTONE_KAFKA and UNDERTONE_POSTGRES name; where neither is set, on the stack
    that `undertone up` runs in UNDERTONE_FOLDER, or in `.undertone` of this folder.
    """
    if said:
        typer.echo(version("undertone"))
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(args: list[str]) -> int:
    """Run one command line; its exit status. A user's mistake is one line on stderr and 2."""
    try:
        return int(get_command(app).main(args, prog_name="undertone", standalone_mode=False) or 0)
    except typer.TyperException as error:
        return _refuse(_usage(error))
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        return _refuse(line)


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    message = " ".join(error.format_message().split())
    return f"{message} See `{context.command_path} --help`." if context else message


def _refuse(line: str) -> int:
    typer.secho(line, fg="red", err=True)
    return USER_ERROR


def main() -> None:
    """Entry point."""
    no_cores()
    _log_quietly()
    sys.exit(run(sys.argv[1:]))


def _log_quietly() -> None:
    """Warnings of our own; aiokafka says at length and in errors what the command then says in a line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


if __name__ == "__main__":
    main()
