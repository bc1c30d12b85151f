"""Ports that stacks on one machine share."""

import subprocess
import sys

from services.standalone.places import free_port


def test_a_port_that_was_given_is_given_to_no_other_stack_even_before_anybody_listens() -> None:
    port = free_port()
    other = subprocess.run(
        [sys.executable, "-c", f"from services.standalone.places import free_port; print(free_port({port}))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(other.stdout) != port


def test_no_port_is_given_that_linux_or_macos_lends_to_outgoing_connections() -> None:
    assert max(free_port() for _ in range(50)) < 32_768
