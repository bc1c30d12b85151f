"""What of Faust is not used: each of these acknowledges, loses or silences (`ops/docs/faust-on-kafka.md`)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFUSED = {"take", "group_by", "through", "Table", "SetTable", "GlobalTable", "changelog_topic"}


def modules() -> list[Path]:
    return [path for path in (ROOT / "streams").rglob("*.py") if "import faust" in path.read_text()]


def test_faust_is_known_to_the_feed_and_the_composition_root_alone() -> None:
    assert {path.name for path in modules()} == {"app.py", "feed.py"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.name)
def test_no_stage_takes_groups_keeps_tables_or_yields(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    assert {node.attr for node in nodes if isinstance(node, ast.Attribute)}.isdisjoint(REFUSED)
    agents = [node for node in nodes if isinstance(node, ast.AsyncFunctionDef) and node.name == "_agent"]
    assert not [inner for agent in agents for inner in ast.walk(agent) if isinstance(inner, ast.Yield)]
    options = {each.arg for node in nodes if isinstance(node, ast.Call) for each in node.keywords}
    assert options.isdisjoint({"processing_guarantee", "value_type", "key_type"})
