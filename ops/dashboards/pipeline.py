"""Whether the stream keeps up: latency, lag, throughput, dead letters, restarts."""

from ops.dashboards.board import Board, Panel, Shown
from ops.dashboards.objective import GOAL, WITHIN_S, burn
from ops.dashboards.queries import BORN, RATE, added, now, per_minute, quantile, rate, under

#: Where the time goes, in the order of the flow.
_STEPS = {
    "calls.v1 to segment": "ingest_seconds",
    "speech to windows.v1": "window_seconds",
    "windows.v1 to the request": "queue_seconds",
    "request": "inference_seconds",
    "model": "model_seconds",
    "speech to label": "label_seconds",
}

PIPELINE = Board(
    name="pipeline",
    title="Pipeline",
    explained="How long each step takes, what waits, what is refused and what was started again.",
    rows={
        "Objective": [
            Panel(
                f"Labelled within {WITHIN_S:.0f} s",
                {"": under(WITHIN_S, "label_seconds")},
                unit="percentunit",
                most=1,
                width=12,
                remark=f"The objective is {GOAL:.0%} over 30 days; see ops/runbook.md.",
            ),
            Panel(
                "Speed at which the error budget is spent",
                {"5 minutes": burn("5m"), "1 hour": burn("1h")},
                width=12,
                remark="1 spends all of it in 30 days, 14.4 in two.",
            ),
        ],
        "Latency": [
            Panel("Median", {step: quantile(0.5, name) for step, name in _STEPS.items()}, unit="s"),
            Panel("95 % are below", {step: quantile(0.95, name) for step, name in _STEPS.items()}, unit="s"),
            Panel(
                "Transactions, 95 % are below",
                {"{{component}}": quantile(0.95, "commit_seconds", "component")},
                unit="s",
            ),
        ],
        "What waits": [
            Panel(
                "Oldest record not handled",
                {"{{component}}": now("oldest_unhandled_seconds", "component", how="max")},
                unit="s",
            ),
            Panel(
                "Lag",
                {"{{component}}": now("lag", "component")},
                remark="An open turn holds the commit back for up to 50 s of records: at rest it is not 0.",
            ),
            Panel("Oldest open turn", {"": now("oldest_open_turn_seconds", how="max")}, unit="s"),
            Panel("Bytes fetched and not handled", {"{{component}}": now("queued_bytes", "component")}, unit="bytes"),
            Panel(
                "Waits for",
                {"{{component}} for {{dependency}}": now("waiting", "component", "dependency", how="max")},
                most=1,
            ),
            Panel("Event loop late", {"{{component}}": now("loop_lag_seconds", "component", how="max")}, unit="s"),
        ],
        "Throughput": [
            Panel("Records", {"{{type}}": rate("records", "type")}, unit="cps", shown=Shown.STACKED, width=6),
            Panel(
                "Windows and labels",
                {
                    "windows": per_minute("windows"),
                    "labels": per_minute("labels"),
                    "escalations sent": per_minute("relayed"),
                },
                unit="cpm",
                width=6,
            ),
            Panel(
                "Checkpoints and commits",
                {
                    "checkpoints": per_minute("checkpoints"),
                    "commits of {{component}}": per_minute("commits", "component"),
                },
                unit="cpm",
                width=6,
            ),
            Panel(
                "Committed",
                {"{{component}} {{partition}}": now("committed_offset", "component", "partition", how="max")},
                width=6,
                remark="A line that stands still while records come is a partition that stalls.",
            ),
        ],
        "What goes wrong": [
            Panel(
                "Dead letters", {"{{reason}}": per_minute("dead_letters", "reason")}, unit="cpm", shown=Shown.STACKED
            ),
            Panel(
                "Dead letters' share",
                {
                    "{{component}} {{partition}}": now("dead_letter_share", "component", "partition", how="max"),
                },
                unit="percentunit",
                remark="Over 5 % somebody is woken.",
            ),
            Panel(
                "Lost, missing, unreadable",
                {
                    "lost to retention, {{component}}": per_minute("offsets_lost", "component"),
                    "never published": per_minute("records_missing"),
                    "states that no key opens": per_minute("states_unreadable"),
                },
                unit="cpm",
            ),
        ],
        "Processes": [
            Panel("Live", {"{{component}}": now("live", "component", how="min")}, most=1, width=6),
            Panel("Ready", {"{{component}}": now("ready", "component", how="min")}, most=1, width=6),
            Panel(
                "Restarts",
                {
                    "{{component}}": f"sum by (component) (changes({BORN}[{RATE}]))",
                    "{{program}} (standalone)": added("restarts", "program", over=RATE),
                },
                width=6,
            ),
            Panel(
                "Rebalances, refused commits",
                {
                    "rebalances, {{component}}": per_minute("rebalances", "component"),
                    "refused, {{component}}": per_minute("commits_refused", "component"),
                },
                unit="cpm",
                width=6,
            ),
            Panel(
                "Client certificate ends",
                {"{{component}}": f"1000 * {now('certificate_end_seconds', 'component', how='max')}"},
                unit="dateTimeAsIso",
                shown=Shown.NUMBER,
                width=24,
                remark="1970: there is none.",
            ),
        ],
    },
)
