"""Store to store, against rclone: the same objects, the same servers, the same run."""

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import urllib.request

import measure
import servers

TRANSFERS = 16
TABLE = "table"


@dataclasses.dataclass(frozen=True)
class Shape:
    """Objects of one case."""

    name: str
    files: int
    size: int

    @property
    def gib(self):
        """All bytes."""
        return self.files * self.size / measure.GIB


SMALL = Shape("2,000 x 128 KiB", 2_000, 128 << 10)
LARGE = Shape("40 x 64 MiB", 40, 64 << 20)
ONE = Shape("1 x 4 GiB", 1, 4 << 30)
HUGE = Shape("1 x 50 GiB", 1, 50 << 30)


def put(server, key, body, size=None):
    """Writes one object to a sink, which asks for no signature. `body` may be an open file."""
    url = f"{server.endpoint}/{servers.BUCKET}/{key}"
    headers = {"Content-Length": str(len(body) if size is None else size)}
    request = urllib.request.Request(url, data=body, headers=headers, method="PUT")
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def commit_of(shape, prefix):
    """Version 0 of a table whose files are named as the sink names them."""
    actions = [
        {"commitInfo": {"timestamp": 0, "operation": "WRITE"}},
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {
            "metaData": {
                "id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9",
                "format": {"provider": "parquet", "options": {}},
                "schemaString": '{"type":"struct","fields":[]}',
                "partitionColumns": [],
                "configuration": {},
            }
        },
    ]
    for number in range(shape.files):
        actions.append(
            {
                "add": {
                    "path": f"{prefix}{number:08}",
                    "partitionValues": {},
                    "size": shape.size,
                    "modificationTime": 0,
                    "dataChange": True,
                }
            }
        )
    return "".join(json.dumps(action) + "\n" for action in actions).encode()


def call_fit(server):
    """Remembers a probe that the sink cannot pass: it throws away what it would have to prove."""
    report = {"store": f"s3://{servers.BUCKET}", "probed_ms": 0, "checks": [], "verdict": "fit"}
    put(server, "_driftless/probe.json", json.dumps(report).encode())


def config(bench, **stores):
    """A configuration file with a named store for each server."""
    lines = []
    for name, server in stores.items():
        lines += [f"[stores.{name}]", f'url = "s3://{servers.BUCKET}"', f"[stores.{name}.options]"]
        lines += [f'{key} = "{value}"' for key, value in server.store_options().items()]
    path = bench.work / "driftless.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def sync(bench, path, target, files=None):
    """One `driftless sync` of the table; fails unless it copied so many files."""
    command = [bench.binaries / "driftless", "--config", path, "sync", f"source:{TABLE}"]
    command += [f"target:{target}", "--transfers", str(TRANSFERS), "--output", "json", "--quiet"]
    done = measure.run(command)
    report = json.loads(done.output)["targets"][0]
    if report["state"] != "ok" or (files is not None and report["copied_files"] != files):
        raise measure.Failed(done.output)
    return done


def verify(bench, path, target):
    """Every byte of a replica against its source; a benchmark of wrong copies is none."""
    command = [bench.binaries / "driftless", "--config", path, "verify", f"source:{TABLE}"]
    measure.run([*command, f"target:{target}", "--level", "bytes", "--output", "json"])


def rclone(environment, target):
    """One `rclone copy` of the table's folder, log included."""
    command = ["rclone", "--config", "", "copy"]
    command += [f"source:{servers.BUCKET}/{TABLE}", f"target:{servers.BUCKET}/{target}"]
    command += ["--transfers", str(TRANSFERS), "--checkers", "32", "--fast-list"]
    return measure.run(command, environment)


@contextlib.contextmanager
def sinks(bench, shape):
    """Source and target are sinks; the source makes its files up."""
    prefix = f"{TABLE}/part-"
    with contextlib.ExitStack() as stack:
        start = lambda name, **spec: stack.enter_context(
            servers.sink(bench.work, bench.binaries, name, **spec)
        )
        source = start("source", objects=shape.files, size=shape.size, prefix=prefix)
        target = start("target")
        call_fit(target)
        put(source, f"{TABLE}/_delta_log/{0:020}.json", commit_of(shape, "part-"))
        source.keeps_bytes = False
        yield source, target, lambda name: None


@contextlib.contextmanager
def gateways(bench, shape):
    """Source and target are versitygw; the table is uploaded first."""
    local = bench.work / "local"
    command = [bench.binaries / "generate-delta", "--kind", "copyset"]
    command += ["--files", str(shape.files), "--size", str(shape.size), local]
    subprocess.run(command, check=True)
    with contextlib.ExitStack() as stack:
        start = lambda name: stack.enter_context(
            servers.versitygw(bench.work, name, dict(os.environ))
        )
        source, target = start("source"), start("target")
        upload = ["rclone", "--config", "", "copy", local, f"source:{servers.BUCKET}/{TABLE}"]
        measure.run(upload, source.rclone("source"))
        shutil.rmtree(local)
        source.keeps_bytes = True
        try:
            yield source, target, lambda name: shutil.rmtree(target.folder / name)
        finally:
            shutil.rmtree(source.folder)
            shutil.rmtree(target.folder)


def compare(bench, shape, site, name):
    """Both tools over the same objects; a row of the report for each."""
    bench.log(f"copy: {shape.name}, {name}")
    with site(bench, shape) as (source, target, remove):
        path = config(bench, source=source, target=target)
        environment = {**source.rclone("source"), **target.rclone("target")}

        def ours(number):
            table = f"ours-{number}"
            done = sync(bench, path, table, shape.files)
            if number == 0 and source.keeps_bytes:
                verify(bench, path, table)
            remove(table)
            return done

        def theirs(number):
            table = f"rclone-{number}"
            done = rclone(environment, table)
            remove(table)
            return done

        series = measure.interleaved(bench.rounds, {"driftless": ours, "rclone": theirs}, bench.log)
    peer = series["rclone"]
    rows = []
    for tool, run in series.items():
        cpu = run.median("cpu_s")
        low, high = run.spread("cpu_s")
        rows.append(
            [
                shape.name,
                name,
                tool,
                f"{cpu:.2f} ({low:.2f}-{high:.2f})",
                f"{cpu / shape.gib:.2f}",
                f"{1e6 * cpu / shape.files:,.0f}",
                f"{run.median('wall_s'):.1f}",
                f"{run.peak():.0f}",
                f"**{measure.ratio(run, peer):.2f}**",
            ]
        )
    return rows


def one_object(bench, shape):
    """Memory of a copy of one huge object between sinks."""
    bench.log(f"copy: {shape.name}, sink to sink")
    with sinks(bench, shape) as (source, target, _):
        path = config(bench, source=source, target=target)
        done = sync(bench, path, "ours", shape.files)
    row = [
        shape.name,
        f"{done.cpu_s:.2f}",
        f"{done.cpu_s / shape.gib:.2f}",
        f"{done.wall_s:.1f}",
        f"{done.rss_mib:.0f}",
    ]
    bench.log(f"  {row}")
    return row


HEADER = ["objects", "servers", "tool", "CPU-s (range)", "CPU-s/GiB", "CPU us/object"]
HEADER += ["wall s", "peak MiB", "CPU ratio"]


def run(bench):
    """All cases of copying."""
    rows = []
    for shape in (SMALL, LARGE):
        rows += compare(bench, shape, sinks, "sink to sink")
        rows += compare(bench, shape, gateways, "versitygw to versitygw")
    bench.report("Store to store", measure.markdown(HEADER, rows))
    header = ["object", "CPU-s", "CPU-s/GiB", "wall s", "peak MiB"]
    rows = [one_object(bench, shape) for shape in ([ONE, HUGE] if bench.huge else [ONE])]
    bench.report("One huge object, sink to sink", measure.markdown(header, rows))
