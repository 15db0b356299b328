"""Real Trino judges replicas: what it reads from them is what Spark read from the source.

Usage: trino.py --server DIRECTORY --java JAVA --driftless BINARY

Replicas of Hudi and Delta tables lie in an S3 server; a metastore of files beside them names them.

# Invariants
- Trino is compared with expected.json, never with itself.
- Merge-on-read tables are read in their read-optimized view, the only one that Trino has.
"""

import argparse
import contextlib
import datetime
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

import hudi_judge
import rowhash
import s3_server
from pyspark.sql import types as t

DELTA = ["history", "partitions", "deletion_vectors", "checkpoint_v2_parquet"]
# Name of a table, and options of its replication: Trino 476 fails where it consults the archived
# history of version 8 and 9.
HUDI = {
    "cow_v6": [],
    "cow_v8": ["--hudi-history", "omit"],
    "cow_v9": ["--hudi-history", "omit"],
    "cow_v8_restore": ["--hudi-history", "omit"],
    "cow_v8_clustering": ["--hudi-history", "omit"],
    "mor_v6": [],
    "mor_v8": [],
    "mor_v9": [],
    "mor_v8_archived": [],
}
CATALOGS = {"hive": "hive", "hudi": "hudi", "delta_lake": "delta"}
METASTORE = "metastore"
NOT_YET = "No nodes available"
SCHEMA = "judge"
TYPES = {
    "bigint": t.LongType(),
    "integer": t.IntegerType(),
    "varchar": t.StringType(),
    "real": t.FloatType(),
    "double": t.DoubleType(),
    "boolean": t.BooleanType(),
    "date": t.DateType(),
}
HUDI_FORMAT = {
    "serDe": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
    "inputFormat": "org.apache.hudi.hadoop.HoodieParquetInputFormat",
    "outputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
}
JVM = (
    "-Xmx1G -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256M "
    "-Djdk.attach.allowAttachSelf=true --enable-native-access=ALL-UNNAMED "
    "--sun-misc-unsafe-memory-access=allow -XX:+EnableDynamicAgentLoading -Duser.timezone=UTC"
)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True, type=pathlib.Path)
    parser.add_argument("--java", required=True)
    parser.add_argument("--driftless", required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="driftless-trino-") as folder:
        scratch = pathlib.Path(folder)
        with s3_server.serving(scratch / "s3", scratch / "s3.log") as endpoint:
            place = hudi_judge.Place(scratch / "s3" / s3_server.BUCKET, endpoint)
            replicas = replicate(args.driftless, scratch, place)
            with serving(args, scratch, endpoint) as trino:
                trino.run(f"CREATE SCHEMA hive.{SCHEMA}")
                wrong = [
                    name
                    for name, known in replicas.items()
                    if not judged(trino, place, name, known)
                ]
    print(f"FAILED: {', '.join(wrong)}" if wrong else "Trino read every replica right")
    return int(bool(wrong))

def replicate(driftless, scratch, place):
    """Replicates every table into the bucket; returns for each what Spark read at its head."""
    known = {}
    for name in DELTA:
        source = hudi_judge.FIXTURES.parent / "delta" / name / "table"
        synced(driftless, place, source, place.folder / "delta" / name, [])
        expected = json.loads((source.parent / "expected.json").read_text(encoding="utf-8"))
        known[f"delta.{name}"] = expected["versions"][max(expected["versions"], key=int)]
    for name, options in HUDI.items():
        source = scratch / "sources" / name
        source.mkdir(parents=True)
        history = hudi_judge.history_of(name)
        # A pass after each instant, so that the replica holds older slices that must not be read.
        for _ in hudi_judge.replayed(history, hudi_judge.FIXTURES / name / "objects", source):
            synced(driftless, place, source, place.folder / "hudi" / name, options)
        text = (hudi_judge.FIXTURES / name / "expected.json").read_text(encoding="utf-8")
        last = [entry for entry in json.loads(text)["instants"] if "rows" in entry][-1]
        known[f"hudi.{name}"] = last.get("read_optimized", last["rows"])
    return known


def synced(driftless, place, source, target, options):
    """One pass of the real program, which must end well."""
    command = [driftless, "sync", source, place.url(target, "s3"), "--quiet", *options]
    subprocess.run(command, env=place.environment, stdout=subprocess.DEVNULL, check=True)


class Trino:
    """A running server, and the one user of its REST interface."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        self.patience = time.monotonic() + 300

    def run(self, statement):
        """Columns as (name, type), and rows as lists of what JSON gives for them."""
        page = self._ask(f"{self.url}/v1/statement", statement.encode())
        columns, rows = [], []
        while True:
            if "error" in page:
                # A server takes queries before its catalogs know that it is a node of theirs.
                if NOT_YET in page["error"]["message"] and time.monotonic() < self.patience:
                    time.sleep(0.5)
                    return self.run(statement)
                raise RuntimeError(f"{statement}: {page['error']['message']}")
            columns = page.get("columns") or columns
            rows += page.get("data") or []
            if "nextUri" not in page:
                return [(column["name"], column["type"]) for column in columns], rows
            page = self._ask(page["nextUri"])

    def _ask(self, url, data=None):
        request = urllib.request.Request(url, data=data, headers={"X-Trino-User": "judge"})
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)

    def started(self):
        """Whether the server takes queries."""
        try:
            return not self._ask(f"{self.url}/v1/info")["starting"]
        except OSError:
            return False


@contextlib.contextmanager
def serving(args, scratch, endpoint, seconds=300):
    """Runs Trino on loopback with three catalogs over one metastore of files."""
    port = s3_server.free_port()
    configure(args.server, scratch, endpoint, port)
    flags = {
        "node.environment": "judge",
        "node.id": "judge",
        "node.data-dir": scratch / "trino",
        "node.bind-ip": "127.0.0.1",
        "config": scratch / "etc" / "config.properties",
        "log.levels-file": scratch / "etc" / "log.properties",
        "catalog.config-dir": scratch / "etc" / "catalog",
    }
    command = [args.java, *JVM.split(), *(f"-D{key}={value}" for key, value in flags.items())]
    command += ["-cp", f"{args.server}/lib/*", "io.trino.server.TrinoServer"]
    log = scratch / "trino.log"
    with log.open("w", encoding="utf-8") as output:
        server = subprocess.Popen(command, cwd=scratch, stdout=output, stderr=output)
        try:
            trino, until = Trino(port), time.monotonic() + seconds
            while not trino.started():
                if server.poll() is not None or time.monotonic() > until:
                    text = log.read_text(encoding="utf-8")[-3000:]
                    raise SystemExit(f"start Trino: it takes no queries\n{text}")
                time.sleep(0.5)
            yield trino
        finally:
            server.terminate()
            server.wait()


def configure(server, scratch, endpoint, port):
    """Writes the files that a server reads when it starts."""
    etc = scratch / "etc"
    (etc / "catalog").mkdir(parents=True)
    settings = {
        "coordinator": "true",
        "node-scheduler.include-coordinator": "true",
        "http-server.http.port": port,
        "node.internal-address": "127.0.0.1",
        "discovery.uri": f"http://127.0.0.1:{port}",
        "plugin.dir": server / "plugin",
        "query.max-memory": "256MB",
        "query.max-memory-per-node": "256MB",
        "memory.heap-headroom-per-node": "256MB",
    }
    write(etc / "config.properties", settings)
    write(etc / "log.properties", {"io.trino": "WARN"})
    store = {
        "fs.native-s3.enabled": "true",
        "s3.endpoint": endpoint,
        "s3.region": s3_server.REGION,
        "s3.path-style-access": "true",
        "s3.aws-access-key": s3_server.KEY,
        "s3.aws-secret-key": s3_server.SECRET,
        "hive.metastore": "file",
        "hive.metastore.catalog.dir": f"s3://{s3_server.BUCKET}/{METASTORE}",
    }
    hive = {"hive.non-managed-table-writes-enabled": "true"}
    delta = {"delta.register-table-procedure.enabled": "true"}
    for connector, more in (("hive", hive), ("hudi", {}), ("delta_lake", delta)):
        settings = {"connector.name": connector, **store, **more}
        write(etc / "catalog" / f"{CATALOGS[connector]}.properties", settings)


def write(file, settings):
    file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))


def judged(trino, place, name, known):
    """Registers one replica, reads it, and says how that went; whether it is as Spark read it."""
    started = time.monotonic()
    catalog, table = name.split(".")
    try:
        if catalog == "delta":
            location = place.url(place.folder / "delta" / table, "s3")
            trino.run(f"CALL delta.system.register_table('{SCHEMA}', '{table}', '{location}')")
        else:
            register_hudi(trino, place, table)
        answer = digest(*trino.run(f'SELECT * FROM {catalog}.{SCHEMA}."{table}"'))
    except RuntimeError as error:
        answer = {"unreadable": str(error)}
    text = hudi_judge.text(answer)
    took = time.monotonic() - started
    right = answer == known
    verdict = "right" if right else f"FAILED, instead of {hudi_judge.text(known)}"
    print(f"Trino, {name}: {text}: {verdict}; {took:.0f} s", flush=True)
    return right


def register_hudi(trino, place, table):
    """A Hudi table in the metastore, as Hudi's own synchronisation of the metastore writes it.

    Trino creates no Hudi tables, so a Hive table is made and its document turned into one of a Hudi
    table, partitions included.
    """
    location = place.url(place.folder / "hudi" / table, "s3")
    columns = "id bigint, name varchar, amount real, day date, ts bigint, p varchar"
    trino.run(
        f"CREATE TABLE hive.{SCHEMA}.{table} ({columns}) WITH (external_location = '{location}', "
        f"format = 'PARQUET', partitioned_by = ARRAY['p'])"
    )
    trino.run(f"CALL hive.system.sync_partition_metadata('{SCHEMA}', '{table}', 'ADD')")
    for file in (place.folder / METASTORE / SCHEMA / table).rglob(".trinoSchema"):
        document = json.loads(file.read_text(encoding="utf-8"))
        document["originalStorageFormat"] = HUDI_FORMAT
        document.pop("storageFormat", None)
        file.write_text(json.dumps(document), encoding="utf-8")


def digest(columns, rows):
    """Count and row hash of an answer, over the table's own columns."""
    own = [n for n, (name, _) in enumerate(columns) if not name.startswith("_hoodie_")]
    fields = [t.StructField(columns[n][0], TYPES[columns[n][1]]) for n in own]
    schema = t.StructType(fields)
    converted = [[value(row[n], TYPES[columns[n][1]]) for n in own] for row in rows]
    return {"count": len(rows), "hash": rowhash.table_hash(converted, schema)}


def value(found, data_type):
    """The value that PySpark would have collected."""
    if found is None:
        return None
    if isinstance(data_type, t.DateType):
        return datetime.date.fromisoformat(found)
    if isinstance(data_type, (t.FloatType, t.DoubleType)):
        return float(found)
    return found


if __name__ == "__main__":
    sys.exit(main())
