"""An S3 server on loopback for the time of a run: versitygw over a folder.

# Invariants
- What the server serves as an object is a file below the folder, its LastModified the time of the
  file. So a copy of a folder inside of the bucket, times and attributes included, is the same
  objects under another prefix, and costs no requests.
"""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import time

BUCKET = "lake"
KEY = "driftless-judge"
SECRET = "not-so-secret-but-looked-for"
REGION = "us-east-1"
PROGRAM = "versitygw"


@contextlib.contextmanager
def serving(folder, log):
    """Runs a server over an empty folder, its only bucket BUCKET; yields the endpoint's URL."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    known = f"{os.environ.get('PATH', '')}{os.pathsep}{cache / 'driftless' / 'bin'}"
    program = shutil.which(PROGRAM, path=known)
    if program is None:
        raise SystemExit(f"start an S3 server: {PROGRAM} not found; ./dev spark --s3 installs it")
    (folder / BUCKET).mkdir(parents=True)
    port = free_port()
    address = f"127.0.0.1:{port}"
    command = [program, "--port", address, "--access", KEY, "--secret", SECRET, "--quiet"]
    command += ["--keep-alive", "posix", "--default-etag", "none", str(folder)]
    with log.open("w", encoding="utf-8") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            await_port(server, port, log)
            yield f"http://{address}"
        finally:
            server.terminate()
            server.wait()


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_port(server, port, log, seconds=60):
    """Returns when the server of a process listens; ends the run where it never does."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    text = log.read_text(encoding="utf-8")[-2000:]
    raise SystemExit(f"start {server.args[0]}: it does not listen on {port}\n{text}")


def environment(endpoint):
    """Variables that lead the usual S3 clients to the server."""
    return {
        "AWS_ENDPOINT": endpoint,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ALLOW_HTTP": "true",
    }


def s3a(endpoint):
    """Settings of Spark that lead its S3A file system to the server."""
    options = {
        "endpoint": endpoint,
        "endpoint.region": REGION,
        "path.style.access": "true",
        "connection.ssl.enabled": "false",
        "access.key": KEY,
        "secret.key": SECRET,
        "aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        "directory.marker.retention": "keep",
    }
    return {f"spark.hadoop.fs.s3a.{key}": value for key, value in options.items()}
