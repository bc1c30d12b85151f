import pytest
from pydantic import ValidationError

from services.emotion.manifest import BundleError
from services.inference.served import open_bundle
from services.inference.settings import InferenceSettings
from streams.settings import SettingsError


def test_the_demo_bundle_is_refused_unless_a_setting_allows_it() -> None:
    with pytest.raises(BundleError, match=r"must not score real customers.*UNDERTONE_INFERENCE_ALLOW_DEMO_BUNDLE=true"):
        open_bundle(InferenceSettings())
    assert open_bundle(InferenceSettings(allow_demo_bundle=True)).manifest.name == "demo"


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
