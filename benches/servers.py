"""Object stores on loopback: versitygw, a real one, and the project's own cheap sink."""

import contextlib
import json
import socket
import subprocess
import time
import urllib.request

ACCESS_KEY = "benchmark"
SECRET_KEY = "benchmark-secret"
BUCKET = "bench"

START_SECONDS = 20


def free_port():
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server process with an S3 face."""

    def __init__(self, name, port, process):
        self.name = name
        self.endpoint = f"http://127.0.0.1:{port}"
        self.port = port
        self.process = process

    def wait_until_up(self):
        """Returns when the port accepts connections."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} did not start; see its log")

    def counts(self):
        """Requests and bytes so far; the sink only."""
        with urllib.request.urlopen(f"{self.endpoint}/?counts", timeout=10) as answer:
            return json.load(answer)

    def stop(self):
        """Ends the process."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def store_options(self):
        """Lines of driftless's configuration for a store here."""
        return {
            "aws_endpoint": self.endpoint,
            "aws_region": "us-east-1",
            "aws_access_key_id": ACCESS_KEY,
            "aws_secret_access_key": SECRET_KEY,
            "aws_allow_http": "true",
            "aws_virtual_hosted_style_request": "false",
        }

    def rclone(self, remote):
        """Environment that gives rclone a remote here."""
        prefix = f"RCLONE_CONFIG_{remote.upper()}_"
        values = {
            "TYPE": "s3",
            "PROVIDER": "Other",
            "ENDPOINT": self.endpoint,
            "REGION": "us-east-1",
            "ACCESS_KEY_ID": ACCESS_KEY,
            "SECRET_ACCESS_KEY": SECRET_KEY,
            "FORCE_PATH_STYLE": "true",
            # Without it rclone pages with version 1, and a server that knows only version 2
            # keeps it busy for ever.
            "LIST_VERSION": "2",
        }
        return {prefix + name: value for name, value in values.items()}


@contextlib.contextmanager
def started(name, port, command, log_path, env=None):
    """A server that ends with the block."""
    with open(log_path, "wb") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
        )
    server = Server(name, port, process)
    try:
        yield server.wait_until_up()
    finally:
        server.stop()


@contextlib.contextmanager
def versitygw(work, name, env):
    """versitygw over a folder with one bucket, connections kept alive."""
    root = work / name
    (root / BUCKET).mkdir(parents=True)
    port = free_port()
    env = {**env, "ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
    command = ["versitygw", "--port", f"127.0.0.1:{port}", "--keep-alive", "--quiet"]
    command += ["posix", root]
    with started(name, port, command, work / f"{name}.log", env) as server:
        server.folder = root / BUCKET
        yield server


@contextlib.contextmanager
def sink(work, binaries, name, objects=0, size=0, prefix=""):
    """The cheap sink; logs and our own objects are kept, data is made up and thrown away."""
    port = free_port()
    command = [binaries / "sink-server", "--listen", f"127.0.0.1:{port}", "--bucket", BUCKET]
    command += ["--objects", objects, "--size", size, "--prefix", prefix]
    command += ["--keep", "_delta_log/", "--keep", "_driftless/"]
    with started(name, port, command, work / f"{name}.log") as server:
        yield server
