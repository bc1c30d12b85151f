"""Whether what must not be heard is not heard, and what was taken back is gone."""

from ops.dashboards.board import Board, Panel, Shown
from ops.dashboards.queries import added, heard, now, per_minute, rate, share

COMPLIANCE = Board(
    name="compliance",
    title="Compliance",
    explained="What was not heard for want of consent, what was taken back and erased, and which reviews are due.",
    rows={
        "In the time shown": [
            Panel("Withdrawals", {"": added("calls", event="withdrawn")}, shown=Shown.NUMBER, width=5),
            Panel("Escalations taken back", {"": added("retractions")}, shown=Shown.NUMBER, width=5),
            Panel("Erasures", {"{{state}}": now("erasures", "state", how="max")}, shown=Shown.NUMBER, width=4),
            Panel(
                "Reviews of use cases",
                {"{{state}}": now("reviews", "state", how="max")},
                shown=Shown.NUMBER,
                width=5,
                remark="Due from 30 days ahead of `review_by`; `undated` name no day. The relay's log says which.",
            ),
            Panel(
                "Refused: not certainly the customer",
                {"": added("dead_letters", reason="not_customer")},
                shown=Shown.NUMBER,
                width=5,
                remark="One is an alert: scoring an agent is unlawful in the EU.",
            ),
        ],
        "Consent": [
            Panel(
                "Customers' audio not heard for want of consent",
                {"": share(rate("audio_ms", role="customer", fate="no_consent"), rate("audio_ms", role="customer"))},
                unit="percentunit",
                most=1,
            ),
            Panel("Open calls by consent", {"{{consent}}": now("open_calls", "consent")}, shown=Shown.STACKED),
            Panel("Grants that open nothing", {"": per_minute("grants_refused")}, unit="cpm"),
        ],
        "Taken back": [
            Panel("Calls withdrawn", {"": per_minute("calls", event="withdrawn")}, unit="cpm"),
            Panel(
                "Windows not scored or not written", {"{{component}}": per_minute("not_open", "component")}, unit="cpm"
            ),
            Panel("Erasures on record", {"{{state}}": now("erasures", "state", how="max")}, shown=Shown.STACKED),
        ],
        "Who is heard": [
            Panel(
                "Channels in windows, by role",
                {"{{role}}": heard("role", fate="window")},
                shown=Shown.STACKED,
                remark="Anyone but `customer` is a fault.",
            ),
            Panel(
                "Channels not scored",
                {"{{fate}}": heard("fate", fate=("agent", "leak", "unknown_role", "overlap", "dead"))},
                shown=Shown.STACKED,
            ),
            Panel("Calls with both on one channel", {"": per_minute("calls", event="mixed")}, unit="cpm"),
        ],
    },
)
