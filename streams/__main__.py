"""`python -m streams STAGE`: run one stage as a process, told by `UNDERTONE_*` environment variables."""

import os
import sys

from streams.app import NAMES, run
from streams.discreet import discreet
from streams.logs import is_ours
from streams.settings import Settings


def main() -> None:
    """Run the stage named on the command line."""
    discreet()
    if sys.argv[1:] not in [[name] for name in NAMES]:
        sys.exit(f"usage: python -m streams {{{','.join(NAMES)}}}")
    try:
        run(sys.argv[1], Settings.read(os.environ))
    except ValueError as error:  # every user error of the project is one, and names its remedy
        if not is_ours(type(error)):
            raise
        sys.exit(str(error))


if __name__ == "__main__":
    main()
