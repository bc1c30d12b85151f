"""What the models say, how sure they are, and whether they hear what they were trained on."""

from ops.dashboards.board import Board, Panel, Shown
from ops.dashboards.queries import mean, now, per_minute, quantile, rate, share

_TENTHS = {"a tenth below": 0.1, "median": 0.5, "nine tenths below": 0.9}

MODEL = Board(
    name="model",
    title="Model",
    explained="The mix of labels, how sure the models are, where they abstain, and what the inference service does.",
    rows={
        "Labels": [
            Panel("Outcomes", {"{{outcome}}": rate("labels", "outcome")}, unit="cps", shown=Shown.SHARES),
            Panel("Valence", {"{{said}}": rate("valence", "said")}, unit="cps", shown=Shown.SHARES),
            Panel("Arousal", {"{{said}}": rate("arousal", "said")}, unit="cps", shown=Shown.SHARES),
        ],
        "Doubt": [
            Panel("Confidence", {legend: quantile(q, "confidence") for legend, q in _TENTHS.items()}, most=1),
            Panel("Abstained, failed or marked", {"{{reason}}": per_minute("unlabelled", "reason")}, unit="cpm"),
            Panel(
                "Unlike anything the bundle was trained on",
                {"": share(rate("unlabelled", reason="distance"), rate("labels"))},
                unit="percentunit",
                most=1,
                remark="Twice the share of the week before is an alert.",
            ),
        ],
        "Inference service": [
            Panel("Requests", {"{{status}}": rate("inference_requests", "status")}, unit="reqps", shown=Shown.STACKED),
            Panel(
                "Windows in a batch",
                {"mean": mean("inference_batch_windows"), "95 % below": quantile(0.95, "inference_batch_windows")},
            ),
            Panel(
                "A batch in the model",
                {"median": quantile(0.5, "model_seconds"), "95 % below": quantile(0.95, "model_seconds")},
                unit="s",
            ),
            Panel(
                "A request, waiting included",
                {"median": quantile(0.5, "inference_seconds"), "95 % below": quantile(0.95, "inference_seconds")},
                unit="s",
            ),
            Panel("Bytes of requests held", {"": now("queued_bytes", component="inference")}, unit="bytes"),
            Panel("GPU memory", {"{{state}}": now("gpu_bytes", "state")}, unit="bytes", shown=Shown.STACKED),
        ],
    },
)
