"""What the inference service must be told; read once, from `UNDERTONE_INFERENCE_*` environment variables."""

import os
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from services.emotion.bundle import DEMO
from streams.settings import FromEnvironment

MIB = 1024 * 1024


class InferenceSettings(FromEnvironment):
    """One set for the process."""

    prefix = "UNDERTONE_INFERENCE_"

    bundle: Path = DEMO
    """Folder of the bundle to serve; the built-in `demo` where it is not given."""
    more_bundles: tuple[Path, ...] = ()
    """Folders of bundles to serve beside it, as PATH separates folders; those of one encoder hold its weights once."""
    allow_demo_bundle: bool = False
    """Serve a bundle that is marked as fit for demonstrations only."""
    device: str = "cpu"
    """torch's name of the device that features with weights run on."""
    half: bool = False
    """Compute encoders in bfloat16 on a processor too, as a GPU always does: nearly twice as fast where the processor
    has instructions for it (avx512_bf16 or amx_bf16 in /proc/cpuinfo), slower elsewhere; 999 of 1,000 labels stay."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port to listen on."""
    max_request_bytes: int = Field(default=32 * MIB, ge=1024)
    """Larger requests are refused with 413."""
    max_queued_bytes: int = Field(default=128 * MIB, ge=1024)
    """Requests that would hold more than this in memory together are turned away with 429."""
    max_windows: int = Field(default=1024, ge=1)
    """Requests with more windows are refused with 400."""
    threads: int = Field(default=1, ge=1)
    """Batches judged at the same time, one core each."""
    batch_s: float = Field(default=300.0, gt=0)
    """Seconds of audio judged together at most; a request with more is judged alone."""
    wait_s: float = Field(default=30.0, gt=0)
    """A request that has not had its turn by then is answered with 503: its client has gone, or should come again."""
    body_timeout_s: float = Field(default=30.0, gt=0)
    """A client that has not sent its whole request by then is turned away with 408."""
    liveness: Path | None = None
    """File that the service touches while it is alive; None: none."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """Of all bundles."""
        return self.bundle, *self.more_bundles

    @field_validator("more_bundles", mode="before")
    @classmethod
    def _separated(cls, given: object) -> object:
        return [each for each in given.split(os.pathsep) if each] if isinstance(given, str) else given

    @model_validator(mode="after")
    def _queue_holds_a_request(self) -> Self:
        if self.max_queued_bytes < self.max_request_bytes:
            raise ValueError("max_queued_bytes must be at least max_request_bytes, or the largest requests never fit")
        return self
