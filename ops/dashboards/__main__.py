"""`python -m ops.dashboards`: write Grafana's dashboards into the chart; a test compares."""

from pathlib import Path

from ops.dashboards.board import as_json
from ops.dashboards.calls import CALLS
from ops.dashboards.compliance import COMPLIANCE
from ops.dashboards.model import MODEL
from ops.dashboards.pipeline import PIPELINE

FOLDER = Path(__file__).parents[2] / "helm" / "undertone" / "files" / "dashboards"
BOARDS = (CALLS, PIPELINE, MODEL, COMPLIANCE)


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    for board in BOARDS:
        (FOLDER / f"{board.name}.json").write_text(as_json(board))


if __name__ == "__main__":
    main()
