"""What goes on on the floor: no call, and nobody's name."""

from ops.dashboards.board import Board, Panel, Shown
from ops.dashboards.queries import added, heard, now, per_minute, quantile, rate

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
            Panel("What happens to calls", {"{{event}}": per_minute("calls", "event")}, unit="cpm"),
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
            Panel("Raised", {"{{severity}}": per_minute("escalations", "severity")}, unit="cpm", shown=Shown.STACKED),
            Panel(
                "Late, and taken back",
                {
                    "late": per_minute("escalations_late"),
                    "taken back": per_minute("retractions"),
                    "sent": per_minute("relayed"),
                },
                unit="cpm",
            ),
            Panel(
                "Speech to escalation",
                {"median": quantile(0.5, "escalation_seconds"), "95 %": quantile(0.95, "escalation_seconds")},
                unit="s",
            ),
        ],
    },
)
