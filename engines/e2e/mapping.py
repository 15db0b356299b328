"""Keys of each project: Trino takes them from Driftless, and reads with no others.

Two projects have readers at a site, each with keys that the site's store lets read the project's
folder and nothing else; a third has none. A process of Driftless that asks for tokens holds the
keys; Trino has a catalog for each project, with a token of that project.
"""

import contextlib
import json
import os
import subprocess
import time
import urllib.request

import driftless
import s3_server
import services
import trino

OWN, OTHER, BARE = driftless.PROJECT, "mart", "bare"
NAMESPACE, TABLE = "delta", "history"
# How long Trino keeps an answer of the service here, and how long a change may take to be seen,
# both in seconds.
REFRESH, PATIENCE = 1, 60


class Keys:
    """What Trino needs for catalogs that have no keys of their own: their texts, and variables."""

    def __init__(self, here, api):
        self.client, self.api = here.service.client, api
        (self.site,) = here.sites
        self.catalogs, self.environment = {}, {}

    def read_with(self, project, store):
        """Has a project read at the site with the keys of a store."""
        readers = {self.site.bucket: store} if store else {}
        self.client.ask("PUT", f"/v1/projects/{project}", {"readers": readers})


def account(project):
    return f"{project}-reader", f"reads-{project}-alone"


def variable(project, what):
    return f"DRIFTLESS_STORE_{project.upper()}_READER_{what}"


def admitted(site, accounts):
    """Gives each project with readers an account, which may read its folder and nothing else."""
    file = accounts / "users.json"
    known = json.loads(file.read_text(encoding="utf-8"))
    policy = json.loads(os.getxattr(site.folder, "user.policy"))
    resource = f"arn:aws:s3:::{site.bucket}"
    for project in (OWN, OTHER):
        name, secret = account(project)
        known["accessAccounts"][name] = {"access": name, "secret": secret, "role": "user"}
        for action, what in (
            ("s3:GetObject", f"{resource}/{project}/*"),
            ("s3:ListBucket", resource),
        ):
            allowed = {"Effect": "Allow", "Principal": name, "Action": [action], "Resource": [what]}
            policy["Statement"].append(allowed)
    file.write_text(json.dumps(known), encoding="utf-8")
    os.setxattr(site.folder, "user.policy", json.dumps(policy).encode())


def source_of(here, known):
    """Where the table lies that each project replicates."""
    (path,) = [table.path for table in known if table.site_name == f"{NAMESPACE}.{TABLE}"]
    return f"{here.lake.bucket}:{path}"


@contextlib.contextmanager
def serving(here, source):
    """Makes the projects, each with a replica of that table; serves their keys and their names."""
    service, client = here.service, here.service.client
    (site,) = here.sites
    admitted(site, here.scratch / f"s3-{site.bucket}-accounts")
    for project in (OTHER, BARE):
        client.ask("PUT", f"/v1/projects/{project}", {})
    for project in (OWN, OTHER):
        options = site.options() | {
            "aws_access_key_id": {"env": variable(project, "KEY")},
            "aws_secret_access_key": {"env": variable(project, "SECRET")},
        }
        document = {"url": f"s3://{site.bucket}", "projects": [project], "options": options}
        client.ask("PUT", f"/v1/stores/{project}-readers", document)
    # Open to the other project by mistake: the site's store has the last word.
    document["projects"] = [OTHER]
    document["options"] |= {
        "aws_access_key_id": {"env": variable(OWN, "KEY")},
        "aws_secret_access_key": {"env": variable(OWN, "SECRET")},
    }
    client.ask("PUT", "/v1/stores/mistaken", document)
    for project in (OTHER, BARE):
        client.register(f"{NAMESPACE}.{TABLE}", source, [site], {}, project)
    data = ["--data", here.scratch / "driftless-data"]
    api = driftless.Driftless(s3_server.free_port())
    command = [service.binary, "catalogd", *data, "--listen", api.url.removeprefix("http://")]
    secrets = dict(service.environment)
    for project in (OWN, OTHER):
        secrets[variable(project, "KEY")], secrets[variable(project, "SECRET")] = account(project)
    ports = {project: s3_server.free_port() for project in (OTHER, BARE)}
    naming = [service.binary, "metastored", *data]
    for project, port in ports.items():
        naming += ["--metastore", f"{project}@{site.bucket}=127.0.0.1:{port}"]

    def named(server):
        return all(services.listens(port)(server) for port in ports.values())

    keys = Keys(here, api)
    with (
        services.process("catalogd", command, here.scratch, secrets, ready=api.started),
        services.process("naming", naming, here.scratch, service.environment, ready=named),
    ):
        metastores = {p: f"thrift://127.0.0.1:{port}" for p, port in ports.items()}
        metastores[OWN] = service.metastore(site)
        for project, metastore in metastores.items():
            token = f"DRIFTLESS_{project.upper()}_TOKEN"
            keys.environment[token] = issued(service, data, project)
            text = configured(service, client, api, site, metastore)
            text = text.replace("DRIFTLESS_ENGINE_TOKEN", token)
            keys.catalogs[f"mapped_{project}"] = text
        yield keys


def issued(service, data, project):
    """A token for an engine that reads one project."""
    command = ["token", "create", "--name", f"{project}-engine", "--role", "engine"]
    return said(service, [*command, "--project", project, *data])["secret"]


def configured(service, client, api, site, metastore):
    """The catalog of Delta tables as `driftless engines` prints it."""
    command = ["engines", "trino", site.bucket, "--security-mapping", "--metastore", metastore]
    found = said(service, [*command, "--server", client.url])
    (text,) = [one["content"] for one in found["files"] if one["name"].endswith("delta.properties")]
    # The service that is asked for the site here needs no token; the one with the keys does.
    text = text.replace(client.url, api.url)
    return text.replace("refresh-period=10m", f"refresh-period={REFRESH}s")


def said(service, arguments):
    command = [service.binary, *map(str, arguments), "--output", "json"]
    environment = {**os.environ, **service.environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{arguments[0]} {arguments[1]}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def missing(client, keys):
    """What Trino read with keys that are not the project's, or did not read with them."""
    rows = sorted(map(json.dumps, read(client, "delta")))
    own, other, bare = f"mapped_{OWN}", f"mapped_{OTHER}", f"mapped_{BARE}"
    wrong = []

    def expect(catalog, what, right):
        answer, until = None, time.monotonic() + PATIENCE
        while not (done := right(answer := answered(client, catalog))):
            if time.monotonic() > until:
                break
            time.sleep(REFRESH)
        if not done:
            wrong.append(f"{catalog}: not {what}, but {str(answer)[:300]}")

    def refused(words):
        return lambda answer: isinstance(answer, str) and words in answer

    def whole(answer):
        return not isinstance(answer, str) and rows == sorted(map(json.dumps, answer))

    keys.read_with(OWN, f"{OWN}-readers")
    expect(own, "read with its keys", whole)
    expect(other, "refused without readers", refused("No matching S3 security mapping"))
    # The first one's keys open the first one's folder alone.
    keys.read_with(OTHER, "mistaken")
    expect(other, "refused to another's keys", refused("Status Code: 403"))
    keys.read_with(OTHER, f"{OTHER}-readers")
    expect(other, "read with its keys", whole)
    expect(own, "read with its keys", whole)
    expect(bare, "refused without readers", refused("No matching S3 security mapping"))
    for text in wrong:
        services.say(f"FAILED {text}")
    services.say(f"Trino read two projects with the keys of each; {len(wrong)} reads went wrong")
    return wrong


def answered(client, catalog):
    """The rows, or a text with all that Trino says of why there are none."""
    try:
        return read(client, catalog)
    except trino.TrinoError:
        return reasons(client)


def read(client, catalog):
    return client.run(f"SELECT * FROM {catalog}.{NAMESPACE}.{TABLE}")[1]


def reasons(client):
    """The messages of the query that failed last: the first one alone names no cause."""

    def ask(path):
        request = urllib.request.Request(f"{client.url}/v1/query{path}", headers=trino.HEADERS)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)

    last = max(query["queryId"] for query in ask("?state=FAILED"))
    cause, found = ask(f"/{last}")["failureInfo"], []
    while cause:
        found.append(str(cause.get("message")))
        cause = cause.get("cause")
    return ", ".join(found)
