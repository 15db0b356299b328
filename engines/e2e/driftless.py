"""The real `driftless serve` and `driftless metastored`."""

import contextlib
import json
import time
import urllib.error
import urllib.request

import s3_server
import services

PROJECT = "lake"
EXISTS = 409
# How long a service that is started again may not answer, in seconds.
PATIENCE = 30
# What a replica is in when it holds all that its source has.
DONE = "ok"


class Driftless:
    """A client of its REST interface."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def started(self, _server):
        try:
            return self.ask("GET", "/readyz") is not None
        except OSError:
            return False

    def ask(self, method, path, document=None):
        data = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as reply:
            text = reply.read()
            return json.loads(text) if text.startswith((b"{", b"[")) else text

    def configure(self, source, sites):
        """Names the stores, a project, and for each store of a site that site."""
        for store in (source, *sites):
            options = store.options() | {
                "aws_access_key_id": {"env": f"{secret(store)}_KEY"},
                "aws_secret_access_key": {"env": f"{secret(store)}_SECRET"},
            }
            document = {"url": f"s3://{store.bucket}", "options": options}
            self.ask("PUT", f"/v1/stores/{store.bucket}", document)
        self.ask("PUT", f"/v1/projects/{PROJECT}", {})
        for site in sites:
            self.ask("PUT", f"/v1/sites/{site.bucket}", {"url": f"{site.bucket}:"})

    def register(self, name, source, sites, policy, project=PROJECT):
        """Registers `namespace.table`."""
        document = {
            "name": f"{project}.{name}",
            "source": source,
            "sites": [site.bucket for site in sites],
            "policy": policy,
        }
        until, again = time.monotonic() + PATIENCE, False
        while True:
            try:
                return self.ask("POST", "/v1/tables", document)
            except urllib.error.HTTPError as error:
                # An answer that was lost with the server may have been a yes.
                if again and error.code == EXISTS:
                    return None
                raise SystemExit(f"register {name}: {error.read().decode()}") from error
            except OSError:
                if time.monotonic() > until:
                    raise
                again = True
                time.sleep(0.2)

    def states(self):
        """For each table, registered at one site, its state there."""
        found, token = {}, ""
        while token is not None:
            page = self.ask("GET", f"/v1/tables?page_size=500{token}")
            for table in page["tables"]:
                (site,) = table["sites"]
                found[table["name"].removeprefix(f"{PROJECT}.")] = site["status"]
            following = page.get("next_page_token")
            token = following and f"&page_token={following}"
        return found

    def settled(self, seconds=300):
        """Waits until every table is in step or needs a person; the states as they are then."""
        started = time.monotonic()
        while True:
            states = self.states()
            moving = [name for name, state in states.items() if state not in (DONE, "blocked")]
            if not moving or time.monotonic() - started > seconds:
                took = time.monotonic() - started
                services.say(f"{len(states) - len(moving)} of {len(states)} tables in {took:.0f} s")
                return states
            time.sleep(0.5)


def place(name):
    """Where the replica of `namespace.table` lies, below the root of its site."""
    return f"{PROJECT}/{name.replace('.', '/')}"


def secret(store):
    """Names of the variables that hold the keys of a store begin so."""
    return f"DRIFTLESS_STORE_{store.bucket.upper()}"


class Service:
    """`driftless serve` in a folder of its own, with a metastore for each site beside it.

    The daemon has metastores of its own as well, which end and begin with it.
    """

    def __init__(self, binary, scratch, source, sites):
        self.binary, self.scratch = binary, scratch
        self.source, self.sites = source, sites
        self.client = Driftless(s3_server.free_port())
        self.process = None
        self.thrift = {site.bucket: s3_server.free_port() for site in sites}
        self.inner = {site.bucket: s3_server.free_port() for site in sites}
        self.environment = {"XDG_CONFIG_HOME": str(scratch / "no-configuration")}
        for store in (source, *sites):
            self.environment[f"{secret(store)}_KEY"] = services.KEY
            self.environment[f"{secret(store)}_SECRET"] = services.SECRET

    def metastore(self, site):
        return f"thrift://127.0.0.1:{self.thrift[site.bucket]}"

    def both(self, site):
        """The daemon's own metastore, and the one beside it: an engine takes either."""
        return f"thrift://127.0.0.1:{self.inner[site.bucket]},{self.metastore(site)}"

    @contextlib.contextmanager
    def serving(self):
        """The API and the daemon, whose process is `process`. Started again, they go on."""
        command = [self.binary, "serve", "--no-auth", "--data", self.scratch / "driftless-data"]
        command += ["--listen", self.client.url.removeprefix("http://"), "--lease", "2s"]
        command += listeners(self.inner)
        with services.process(
            "driftless", command, self.scratch, self.environment, ready=self.client.started
        ) as self.process:
            yield

    def naming(self):
        """The metastores, in a process that outlives a kill of the daemon."""
        command = [self.binary, "metastored", "--data", self.scratch / "driftless-data"]
        command += listeners(self.thrift)

        def ready(server):
            return all(services.listens(port)(server) for port in self.thrift.values())

        return services.process("metastored", command, self.scratch, self.environment, ready=ready)


def listeners(ports):
    """Options of metastores, by site and port."""
    named = [(f"{PROJECT}@{site}", port) for site, port in ports.items()]
    return [part for name, port in named for part in ("--metastore", f"{name}=127.0.0.1:{port}")]
