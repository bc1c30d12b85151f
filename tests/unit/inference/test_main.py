import os
import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.emotion.bundle import DEMO
from services.emotion.manifest import BundleError
from services.inference.served import open_bundles
from services.inference.settings import InferenceSettings
from streams.settings import SettingsError


def test_the_demo_bundle_is_refused_unless_a_setting_allows_it() -> None:
    with pytest.raises(BundleError, match=r"must not score real customers.*UNDERTONE_INFERENCE_ALLOW_DEMO_BUNDLE=true"):
        open_bundles(InferenceSettings())
    ((folder, bundle),) = open_bundles(InferenceSettings(allow_demo_bundle=True)).items()
    assert (folder, bundle.manifest.name) == (DEMO, "demo")


def test_two_bundles_of_one_name_are_not_served(tmp_path: Path) -> None:
    copy = shutil.copytree(DEMO, tmp_path / "copy")
    with pytest.raises(BundleError, match=rf"^{copy}: holds bundle 'demo', and so does {DEMO}; name one"):
        open_bundles(InferenceSettings(allow_demo_bundle=True, more_bundles=(copy,)))


def test_more_bundles_are_folders_separated_as_a_path_separates_them() -> None:
    given = os.pathsep.join(["one", "", "two"])
    assert InferenceSettings.read({"UNDERTONE_INFERENCE_MORE_BUNDLES": given}).folders == (
        DEMO,
        Path("one"),
        Path("two"),
    )


def test_a_queue_that_cannot_hold_the_largest_request_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_queued_bytes must be at least max_request_bytes"):
        InferenceSettings(max_request_bytes=2048, max_queued_bytes=1024)


def test_settings_come_from_the_environment_and_a_stage_s_are_passed_over() -> None:
    environ = {"UNDERTONE_INFERENCE_PORT": "9000", "UNDERTONE_INFERENCE": "http://here", "UNDERTONE_KAFKA": "a:1"}
    assert InferenceSettings.read(environ).port == 9000


def test_a_setting_that_cannot_be_used_or_that_nothing_reads_is_named() -> None:
    with pytest.raises(SettingsError, match=r"^UNDERTONE_INFERENCE_PORT: must be a valid integer"):
        InferenceSettings.read({"UNDERTONE_INFERENCE_PORT": "eighty"})
    with pytest.raises(SettingsError, match=r"^UNDERTONE_INFERENCE_BUNDEL: .* write UNDERTONE_INFERENCE_BUNDLE$"):
        InferenceSettings.read({"UNDERTONE_INFERENCE_BUNDEL": "ours"})
    with pytest.raises(SettingsError, match=r"^UNDERTONE_INFERENCE_\*: max_queued_bytes must be at least"):
        InferenceSettings.read({"UNDERTONE_INFERENCE_MAX_QUEUED_BYTES": "1024"})
