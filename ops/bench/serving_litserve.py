"""LitServe: FastAPI in front, and a process that batches. It takes JSON, so that a body is text."""

import base64
from typing import Any

from litserve import LitAPI, LitServer
from serving import BATCH, WAIT_S, answers


class Infer(LitAPI):  # type: ignore[misc]  # untyped where it is not installed
    """JSON in, JSON out."""

    work: str

    def setup(self, device: str) -> None:
        """Nothing: the bundle is loaded."""

    def decode_request(self, request: dict[str, Any]) -> tuple[bytes, int]:
        """A request and the length of its JSON."""
        return base64.b64decode(request["body"]), request["size"]

    def predict(self, x: list[tuple[bytes, int]]) -> list[bytes]:
        """Judge a batch."""
        return answers(self.work, x)

    def encode_response(self, output: bytes) -> dict[str, str]:
        """As text."""
        return {"reply": output.decode()}


def serve(work: str, port: int) -> None:
    """Serve until it is told to stop."""
    api = Infer(max_batch_size=BATCH, batch_timeout=WAIT_S)
    api.work = work
    LitServer(api, accelerator="cpu", timeout=60).run(port=port, log_level="error", generate_client_file=False)
