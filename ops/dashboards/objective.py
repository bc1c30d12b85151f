"""The service level objective, as the rules have it (helm/undertone/files/rules.yaml)."""

from ops.dashboards.queries import under

WITHIN_S = 2.0  #: of the last sample of a window, beyond the silence or speech that the window rule itself waits for
GOAL = 0.99  #: the share of windows, over 30 days


def burn(over: str) -> str:
    """How many times as fast as it may the error budget is spent."""
    return f"(1 - {under(WITHIN_S, 'label_seconds', over)}) / {1 - GOAL:.2f}"
