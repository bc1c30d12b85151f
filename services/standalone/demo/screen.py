"""Where the demo shows itself: a live picture on a terminal, plain lines anywhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live

from services.standalone.demo.board import Board, Event, Kept, step
from services.standalone.demo.view import Watched, escalation_line, label_line, picture
from streams.domain.records import Escalation, Label

FRAMES = 8  #: a second


class Screen:
    """Holds the board; told of every event."""

    def __init__(self, console: Console, looked_for: Watched, *, live: bool) -> None:
        self.console = console
        self.board: Board = {}
        self._looked_for, self._live = looked_for, live

    def line(self, text: str, style: str = "") -> None:
        """Print a line, above the picture where there is one."""
        self.console.print(text, style=style, markup=False, soft_wrap=not self.console.is_terminal)

    @contextmanager
    def on(self, board: Board) -> Iterator[None]:
        """Show the board while the block runs."""
        self.board = board
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, get_renderable=self._picture, refresh_per_second=FRAMES):
            yield

    def tell(self, event: Event) -> None:
        """Take in an event."""
        before, self.board = self.board, step(self.board, event)
        if not self.console.is_terminal:
            for line in _news(before, event):
                self.console.print(line, markup=False, soft_wrap=True)

    def _picture(self) -> RenderableType:
        return picture(self.board, self._looked_for, live=self._live, width=self.console.width)


def _news(before: Board, event: Event) -> Iterator[RenderableType]:
    """What the event adds to what was known, as a line; a record may come twice."""
    row = before.get(event.call)
    if row is None:
        return
    match event:
        case Label() if event.window_id not in row.labels:
            yield label_line(row.name, event)
        case Escalation() if event.id not in row.escalations:
            yield escalation_line(row.name, event)
        case Kept() if event.over and not row.over:
            yield f"{row.name} is over"
