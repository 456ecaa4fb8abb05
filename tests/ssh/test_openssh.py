"""Plain OpenSSH through a tunnel: all that it can do, over a network that breaks."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.ssh.world import World, needs_ssh

pytestmark = [needs_ssh, pytest.mark.slow, pytest.mark.timeout(180)]


def test_a_command_runs_and_its_exit_code_comes_back(world: World) -> None:
    done = world.ssh("cat; echo oops >&2; exit 3", data=b"typed")
    assert (done.returncode, done.stdout) == (3, b"typed")
    assert done.stderr.strip().endswith(b"oops")


def test_the_verb_logs_in_without_any_configuration(world: World) -> None:
    assert world.outlast("ssh", "local", "echo", "$((6 * 7))") == "42\n"


def test_a_target_that_is_not_there_is_said_with_those_that_are(world: World) -> None:
    words = [sys.executable, "-m", "outlast", "ssh", "127.0.0.1"]
    done = subprocess.run(
        words, env=world.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "no target '127.0.0.1'" in done.stderr
    assert "one of: local" in done.stderr


def test_a_terminal_is_opened(world: World) -> None:
    done = world.ssh("tty; stty size", options=("-tt",), data=b"")
    assert b"/dev/" in done.stdout


def test_what_is_typed_echoes_and_control_c_arrives(world: World) -> None:
    shell = world.popen("cat", options=("-tt",))
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(b"hello\r")
    shell.stdin.flush()
    # Once from the terminal, once from cat: it runs, and nothing else does.
    assert [shell.stdout.readline().strip() for _ in range(2)] == [b"hello", b"hello"]
    out, _ = shell.communicate(b"\x03", timeout=20)
    assert out.startswith(b"^C")
    assert shell.returncode != 0


@pytest.fixture(scope="module")
def big(world: World) -> Path:
    path = world.folder / "big"
    path.write_bytes(os.urandom(1 << 20) * 40)
    return path


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def run(world: World, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        words, env=world.environ, input=data, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_scp_and_sftp_carry_files_both_ways(world: World, big: Path) -> None:
    there, back = world.folder / "there", world.folder / "back"
    run(world, *world.words("scp", "-q"), str(big), f"{world.host}:{there}")
    commands = f"get {there} {back}\n".encode()
    run(world, *world.words("sftp", "-q", "-b", "-"), world.host, data=commands)
    assert digest(there.read_bytes()) == digest(back.read_bytes()) == digest(big.read_bytes())


def test_a_transfer_goes_on_over_cuts_and_a_killed_server(world: World, big: Path) -> None:
    there = world.folder / "cut"
    words = [*world.words("scp", "-q"), str(big), f"{world.host}:{there}"]
    copying = subprocess.Popen(words, env=world.environ, stderr=subprocess.PIPE)
    for number in range(6):
        world.network.when_passed(3 << 20)
        if number == 3:
            world.restart_server()
        else:
            world.network.cut()
    _, said = copying.communicate(timeout=120)
    assert copying.returncode == 0, said
    assert digest(there.read_bytes()) == digest(big.read_bytes())


@pytest.mark.longest
def test_a_download_goes_on_when_the_network_swallows_it_silently(world: World, big: Path) -> None:
    getting = world.popen(f"cat {big}")
    got = bytearray()
    reader = threading.Thread(target=lambda: got.extend(getting.communicate()[0]))
    reader.start()
    for _ in range(2):
        world.network.when_passed(4 << 20)
        world.network.swallow()
        time.sleep(0.2)  # what is on its way is lost
        world.network.come_back()
    reader.join(120)
    assert getting.returncode == 0
    assert digest(bytes(got)) == digest(big.read_bytes())


def test_an_outage_is_told_once_and_the_session_goes_on(world: World) -> None:
    shell = world.popen("cat")
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(b"before\n")
    shell.stdin.flush()
    assert shell.stdout.readline() == b"before\n"
    world.network.go_down()
    shell.stdin.write(b"meanwhile\n")
    shell.stdin.flush()
    time.sleep(4)
    world.network.come_back()
    assert shell.stdout.readline() == b"meanwhile\n"
    out, said = shell.communicate(timeout=30)
    assert (shell.returncode, out) == (0, b"")
    assert said.count(b"offline") == 1
    assert said.count(b"back after") == 1


def test_ports_are_forwarded_both_ways_and_by_socks(world: World) -> None:
    with echo_server() as port:
        ports = [free_port() for _ in range(3)]
        options = (
            "-o", "ExitOnForwardFailure=yes", "-L", f"{ports[0]}:127.0.0.1:{port}",
            "-R", f"{ports[1]}:127.0.0.1:{port}", "-D", str(ports[2]),
        )  # fmt: skip
        shell = world.popen("echo ready; cat", options=options)
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"ready\n"
        world.network.cut()  # they go on over this as well
        try:
            for number in ports[:2]:
                with socket.create_connection(("127.0.0.1", number), 20) as one:
                    assert echoed(one, b"x" * 100_000)
            with socks(ports[2], port) as one:
                assert echoed(one, b"through socks")
        finally:
            shell.communicate(timeout=20)


def test_one_connection_carries_a_long_channel_and_dynamic_forwards(world: World) -> None:
    """As VS Code's Remote-SSH does it: a script on stdin, then all through one SOCKS port."""
    with echo_server() as port:
        socks_port = free_port()
        script = b"echo begin; while read line; do echo got $line; done\n"
        shell = world.popen("sh", options=("-T", "-D", str(socks_port), "-o", "ConnectTimeout=15"))
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write(script)
        shell.stdin.flush()
        assert shell.stdout.readline() == b"begin\n"
        streams = [socks(socks_port, port) for _ in range(4)]
        try:
            for number in range(3):
                world.network.cut()
                shell.stdin.write(b"%d\n" % number)
                shell.stdin.flush()
                for stream in streams:
                    assert echoed(stream, os.urandom(200_000))
                assert shell.stdout.readline() == b"got %d\n" % number
        finally:
            for stream in streams:
                stream.close()
        shell.communicate(timeout=20)
        assert shell.returncode == 0


def test_the_agent_is_forwarded(world: World, tmp_path: Path) -> None:
    key = tmp_path / "key"
    run(world, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    agent = run(world, "ssh-agent", "-s").stdout.decode()
    told = dict(part.split("=", 1) for part in agent.split(";") if "=" in part)
    variables = {name.strip(): value for name, value in told.items()}
    before = dict(world.environ)
    world.environ.update(variables)
    try:
        run(world, "ssh-add", "-q", str(key))
        done = world.ssh("ssh-add -L", options=("-A",))
        assert done.stdout.split()[1] == key.with_suffix(".pub").read_bytes().split()[1]
    finally:
        world.environ.clear()
        world.environ.update(before)
        os.kill(int(variables["SSH_AGENT_PID"]), signal.SIGTERM)


def test_many_at_once(world: World) -> None:
    shells = [world.popen("cat") for _ in range(5)]
    for number, shell in enumerate(shells):
        out, said = shell.communicate(b"%d" % number * 100_000, timeout=60)
        assert out == b"%d" % number * 100_000, said


def test_what_was_started_in_the_background_stays_and_the_tunnel_ends(world: World) -> None:
    done = world.ssh("nohup sleep 60 >/dev/null 2>&1 & echo $!")
    pid = int(done.stdout)
    try:
        wait_for_tunnels(world)
        os.kill(pid, 0)
    finally:
        os.kill(pid, signal.SIGKILL)


def wait_for_tunnels(world: World) -> None:
    """Until every tunnel is Completed."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        rows = world.server.ask("GET", "/api/runs?kind=tunnel&limit=200").json["runs"]
        statuses = {row["status"] for row in rows}
        if statuses == {"Completed"}:
            return
        time.sleep(0.2)
    raise AssertionError([(row["id"], row["status"], row["message"]) for row in rows])


def test_an_ssh_that_is_killed_while_offline_leaves_no_tunnel(world: World) -> None:
    shell = world.popen("cat")
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(b"x\n")
    shell.stdin.flush()
    assert shell.stdout.readline() == b"x\n"
    world.network.go_down()
    shell.kill()
    shell.wait(10)
    world.network.come_back()
    wait_for_tunnels(world)
    shell.communicate(timeout=20)


# --- tools ---


class echo_server:  # used as a function
    """Sends back what it gets, on a port of its own."""

    def __enter__(self) -> int:
        self.listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        port: int = self.listening.getsockname()[1]
        return port

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    def __exit__(self, *_error: object) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()


def echoed(stream: socket.socket, data: bytes) -> bool:
    """Does all of it come back?"""
    stream.settimeout(30)
    sender = threading.Thread(target=stream.sendall, args=(data,))
    sender.start()
    got = b""
    while len(got) < len(data) and (piece := stream.recv(65536)):
        got += piece
    sender.join(10)
    return got == data


def socks(port: int, target_port: int) -> socket.socket:
    """A connection to a port of the node's loopback, by SOCKS 5."""
    stream = socket.create_connection(("127.0.0.1", port), 20)
    stream.settimeout(20)
    stream.sendall(b"\x05\x01\x00")
    assert stream.recv(2) == b"\x05\x00"
    stream.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + target_port.to_bytes(2, "big"))
    assert stream.recv(10)[1] == 0
    return stream


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
