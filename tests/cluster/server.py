"""An API server and its etcd on loopback, as `make test-cluster` builds them; no controller, scheduler or node."""

import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.standalone.places import free_port
from services.standalone.processes import Program, last_lines, running

PATIENCE_S = 120


@contextmanager
def api_server(folder: Path) -> Iterator[Path]:
    """Yield the kubeconfig of somebody who may do anything, once the server takes requests."""
    store, peers, port = free_port(), free_port(), free_port()
    token = secrets.token_hex(16)
    server = _server(folder, port, token, store)
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(_kubeconfig(folder, port, token)))
    with running(_etcd(folder, store, peers)), running(server) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not _ready(kubeconfig):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("\n".join(last_lines(server.log)))
            time.sleep(0.5)
        yield kubeconfig


def _etcd(folder: Path, port: int, peers: int) -> Program:
    argv = (
        *("etcd", f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn"),
        *(f"--listen-client-urls=http://127.0.0.1:{port}", f"--advertise-client-urls=http://127.0.0.1:{port}"),
        *(f"--listen-peer-urls=http://127.0.0.1:{peers}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}"),
        f"--initial-cluster=default=http://127.0.0.1:{peers}",
    )
    return Program("etcd", argv, log=folder / "etcd.log")


def _server(folder: Path, port: int, token: str, store: int) -> Program:
    """Every admission plugin that is on by default is on; Pod Security does what a namespace's labels say."""
    tokens = folder / "tokens.csv"
    tokens.write_text(f'{token},admin,admin,"system:masters"\n')
    key = folder / "accounts.pem"
    made = ec.generate_private_key(ec.SECP256R1())
    key.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    argv = (
        *("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{store}", f"--cert-dir={folder}"),
        *("--bind-address=127.0.0.1", f"--secure-port={port}", "--endpoint-reconciler-type=none"),
        *("--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.0.0.0/16"),
        *(f"--service-account-signing-key-file={key}", f"--service-account-key-file={key}"),
        *("--authorization-mode=RBAC", f"--token-auth-file={tokens}"),
    )
    return Program("kube-apiserver", argv, log=folder / "kube-apiserver.log")


def _kubeconfig(folder: Path, port: int, token: str) -> dict[str, object]:
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(folder / "apiserver.crt")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
        "current-context": "here",
    }


def _ready(kubeconfig: Path) -> bool:
    command = [shutil.which("kubectl") or "kubectl", f"--kubeconfig={kubeconfig}", "get", "--raw", "/readyz"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
