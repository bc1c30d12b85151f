"""What a stack tells its programs, and leaves in its folder for the commands in other terminals."""

from collections.abc import Mapping
from pathlib import Path

from streams.settings import Settings

HERE = Path(".undertone")  #: the folder of a stack that is told no other
_FILE = "env"


def told(settings: Settings) -> dict[str, str]:
    """The settings that the stack decides, and the use cases that its clients need too, as environment variables."""
    use_cases = settings.use_cases
    return {
        "UNDERTONE_KAFKA": settings.kafka,
        "UNDERTONE_KAFKA_SECURITY": settings.kafka_security,
        "UNDERTONE_POSTGRES": settings.postgres.get_secret_value(),
        "UNDERTONE_INFERENCE": settings.inference,
        "UNDERTONE_EPOCHS": str(settings.epochs),
        "UNDERTONE_PARTITIONS": str(settings.partitions),
        **({"UNDERTONE_USE_CASES": str(use_cases.resolve())} if use_cases else {}),
    }


def leave(folder: Path, environment: Mapping[str, str]) -> None:
    """Write the variables down, for the folder's owner alone: a password is among them."""
    file = folder / _FILE
    file.touch(mode=0o600)
    file.write_text("".join(f"{name}={value}\n" for name, value in environment.items()))


def left(folder: Path) -> dict[str, str]:
    """The variables as a stack wrote them down; none where none has run in this folder."""
    file = folder / _FILE
    lines = file.read_text().splitlines() if file.exists() else ()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}
