"""Servers on loopback for the time of a run, each in a process group of its own.

# Invariants
- A server lives no longer than this process: its group is killed on the way out, and the kernel
  ends it where this process is killed.
- Nothing listens on anything but 127.0.0.1.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import s3_server

KEY = s3_server.KEY
SECRET = s3_server.SECRET
REGION = s3_server.REGION
# What engines have: they may read, and nothing else.
READER = "driftless-reader"
READER_SECRET = "reads-and-nothing-else"


def say(text):
    """One line of what the run does."""
    # One write, since threads say things too.
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def process(name, command, scratch, environment=None, ready=None, seconds=180, **more):
    """Runs a server, with its log in `scratch/NAME.log`; yields it once `ready()` is true."""
    log = scratch / f"{name}.log"
    started = time.monotonic()
    with log.open("a", encoding="utf-8") as output:
        server = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *map(str, command)],
            cwd=scratch,
            env={**os.environ, **(environment or {})},
            stderr=output,
            start_new_session=True,
            **{"stdout": output, "stdin": subprocess.DEVNULL, **more},
        )
        try:
            while ready is not None and not ready(server):
                if server.poll() is not None or time.monotonic() - started > seconds:
                    text = log.read_text(encoding="utf-8", errors="replace")[-3000:]
                    raise SystemExit(f"start {name}: it is not ready\n{text}")
                time.sleep(0.2)
            say(f"{name} is up after {time.monotonic() - started:.1f} s")
            yield server
        finally:
            ended(server)


def ended(server, seconds=15):
    """Ends a whole process group."""
    for signal_sent, wait in ((signal.SIGTERM, seconds), (signal.SIGKILL, seconds)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal_sent)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(wait)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)


class Store:
    """One bucket at an S3 server of its own; its objects are files below `folder`."""

    def __init__(self, bucket, folder, endpoint):
        self.bucket = bucket
        self.folder = folder
        self.endpoint = endpoint

    def url(self, path, scheme="s3a"):
        return f"{scheme}://{self.bucket}/{path}"

    def environment(self, prefix):
        """Variables of the shared engine configuration that lead to this store."""
        return {
            f"DRIFTLESS_{prefix}_ENDPOINT": self.endpoint,
            f"DRIFTLESS_{prefix}_REGION": REGION,
            f"DRIFTLESS_{prefix}_KEY": READER,
            f"DRIFTLESS_{prefix}_SECRET": READER_SECRET,
        }

    def options(self):
        """Options as the object_store crate names them, for one who may read."""
        return {
            "aws_endpoint": self.endpoint,
            "aws_region": REGION,
            "aws_access_key_id": READER,
            "aws_secret_access_key": READER_SECRET,
            "aws_allow_http": "true",
        }

    def admit_reader(self, accounts):
        """Lets READER read the bucket: an account, and a policy as the server keeps it."""
        account = {"access": READER, "secret": READER_SECRET, "role": "user"}
        accounts.mkdir()
        document = json.dumps({"accessAccounts": {READER: account}})
        (accounts / "users.json").write_text(document, encoding="utf-8")
        resource = f"arn:aws:s3:::{self.bucket}"
        allowed = {
            "Effect": "Allow",
            "Principal": READER,
            "Action": ["s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation"],
            "Resource": [resource, f"{resource}/*"],
        }
        os.setxattr(self.folder, "user.policy", json.dumps({"Statement": [allowed]}).encode())


def folder_object(folder):
    """Makes a folder of a store an empty object with a slash at its end, as the server keeps it."""
    os.setxattr(folder, "user.etag", hashlib.md5(b"").hexdigest().encode())


@contextlib.contextmanager
def store(bucket, scratch):
    """Runs versitygw over an empty folder that is its only bucket."""
    root = scratch / f"s3-{bucket}"
    (root / bucket).mkdir(parents=True)
    program = shutil.which(s3_server.PROGRAM)
    if program is None:
        raise SystemExit(f"start an S3 server: {s3_server.PROGRAM} not found")
    port = s3_server.free_port()
    found = Store(bucket, root / bucket, f"http://127.0.0.1:{port}")
    accounts = scratch / f"s3-{bucket}-accounts"
    found.admit_reader(accounts)
    command = [program, "--port", f"127.0.0.1:{port}", "--access", KEY, "--secret", SECRET]
    command += ["--iam-dir", accounts, "--quiet", "--keep-alive"]
    command += ["posix", "--default-etag", "none", root]
    with process(f"s3-{bucket}", command, scratch, ready=listens(port)):
        yield found


def listens(port):
    """Whether somebody accepts connections at a port, as `ready` of a process."""

    def ready(_server):
        with contextlib.suppress(OSError):
            s3_server.socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        return False

    return ready


def java_17():
    """The Java of Spark and Hive."""
    found = [shutil.which("java"), *sorted(pathlib.Path("/usr/lib/jvm").glob("*/bin/java"))]
    for candidate in filter(None, found):
        command = [candidate, "-version"]
        answer = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if 'version "17.' in answer.stderr:
            return str(candidate)
    raise SystemExit("find Java: Spark 3.5 and Hive need version 17, and none is here")
