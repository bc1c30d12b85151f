"""What goes on on the floor: no call, and nobody's name."""

from ops.dashboards.board import Board, Panel, Shown
from ops.dashboards.queries import added, heard, now, quantile, rate

CALLS = Board(
    name="calls",
    title="Calls now",
    explained="How many calls are open, whether they may be heard, and how their customers sound as a whole.",
    rows={
        "Now": [
            Panel("Open calls", {"": now("open_calls")}, shown=Shown.NUMBER, width=6),
            Panel("Heard", {"": now("open_calls", consent="in_force")}, shown=Shown.NUMBER, width=6),
            Panel("Escalations", {"{{severity}}": added("escalations", "severity")}, shown=Shown.NUMBER, width=6),
            Panel("Windows judged", {"": added("labels", outcome="labelled")}, shown=Shown.NUMBER, width=6),
        ],
        "Calls": [
            Panel("Open calls by consent", {"{{consent}}": now("open_calls", "consent")}, shown=Shown.STACKED),
            Panel("What happens to calls", {"{{event}}": rate("calls", "event")}, unit="cps"),
            Panel(
                "What becomes of the customers' audio",
                {"{{fate}}": heard("fate", role="customer")},
                shown=Shown.SHARES,
            ),
        ],
        "Customers": [
            Panel("Valence", {"{{said}}": rate("valence", "said")}, unit="cps", shown=Shown.SHARES, width=12),
            Panel("Arousal", {"{{said}}": rate("arousal", "said")}, unit="cps", shown=Shown.SHARES, width=12),
        ],
        "Escalations": [
            Panel("Raised", {"{{severity}}": rate("escalations", "severity")}, unit="cps", shown=Shown.STACKED),
            Panel(
                "Late, and taken back",
                {"late": rate("escalations_late"), "taken back": rate("retractions"), "sent": rate("relayed")},
                unit="cps",
            ),
            Panel(
                "Speech to escalation",
                {"median": quantile(0.5, "escalation_seconds"), "95 %": quantile(0.95, "escalation_seconds")},
                unit="s",
            ),
        ],
    },
)
