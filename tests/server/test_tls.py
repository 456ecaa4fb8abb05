"""HTTPS and WSS with a certificate of the test's own."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.server.running import running


def test_https_and_wss_serve_and_plain_http_is_refused(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl program to make a certificate with")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes",
         "-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(cafile=str(cert))
    with running(tmp_path, "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        facts = json.loads((server.home / "server.json").read_text())
        assert facts["url"] == f"https://127.0.0.1:{server.port}"
        client = http.client.HTTPSConnection("localhost", server.port, context=context, timeout=10)
        own = {**server.bearer, "Origin": f"https://localhost:{server.port}"}
        client.request("GET", "/api/runs", headers=own)
        assert client.getresponse().read() == b'{"runs":[],"next":null}'
        client.request("POST", "/api/runs", b"x" * (5 << 20), {"Content-Type": "application/json",
                       **server.bearer})  # fmt: skip
        assert client.getresponse().status == 413
        client.close()
        plain = {**server.bearer, "Origin": f"http://localhost:{server.port}"}
        client.request("GET", "/api/runs", headers=plain)
        assert client.getresponse().status == 403
        client.close()
        url = f"wss://localhost:{server.port}/api/live"
        with connect(url, ssl=context, additional_headers=server.bearer) as live:
            live.send('{"follow":[{"runs":{}}]}')
            assert json.loads(live.recv(timeout=10))["runs"] == []
        assert server.raw(b"GET /api/health HTTP/1.1\r\n\r\n") == b""
