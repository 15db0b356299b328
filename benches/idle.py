"""A pass over a table that is in sync: requests at each side, CPU, wall time."""

import json
import subprocess

import copying
import measure
import planning
import servers

KEYS = ("requests", "writes")


def spent(server, work):
    """What `work` cost at a sink, and what it returned. The question itself is not counted."""
    before = server.counts()
    done = work()
    after = server.counts()
    cost = {key: after[key] - before[key] for key in KEYS}
    # The first question is counted after its own answer.
    cost["requests"] -= 1
    return cost, done


def publish_log(server, table, prefix):
    """Puts a local log under a table's prefix at a sink."""
    for path in sorted((table / "_delta_log").iterdir()):
        # A body that this process held would count as memory of every tool it starts.
        with path.open("rb") as body:
            key = f"{prefix}/_delta_log/{path.name}"
            copying.put(server, key, body, path.stat().st_size)


def descriptor(head, earliest):
    """What a pass remembers beside a table, as if one had published it."""
    known = {
        "layout": 1,
        "source": f"s3://{servers.BUCKET}/{copying.TABLE}",
        "format": "delta",
        "head": head,
        "earliest_readable": earliest,
        "ours_from_start": True,
        "store_fit": True,
        "epoch": 0,
    }
    return json.dumps(known).encode()


def measured(bench, path, source, target, table):
    """Idle passes: the costs at both sides, and the runs."""
    sides = {}
    series = measure.Series("idle")
    for _ in range(bench.rounds):
        at_source, (at_target, done) = spent(
            source, lambda: spent(target, lambda: copying.sync(bench, path, table, 0))
        )
        sides = {"source": at_source, "target": at_target}
        series.runs.append(done)
    return sides, series


def row(name, sides, series):
    """A row of the report."""
    return [
        name,
        sides["source"]["requests"],
        sides["target"]["requests"],
        sides["source"]["writes"] + sides["target"]["writes"],
        f"{1000 * series.median('cpu_s'):.0f}",
        f"{1000 * series.median('wall_s'):.0f}",
        f"{series.peak():.0f}",
    ]


def small_table(bench):
    """A table that a pass published, without a checkpoint."""
    shape = copying.Shape("10 x 1 KiB", 10, 1 << 10)
    with copying.sinks(bench, shape) as (source, target, _):
        path = copying.config(bench, source=source, target=target)
        copying.sync(bench, path, "idle", shape.files)
        copying.sync(bench, path, "idle", 0)
        return row("one commit", *measured(bench, path, source, target, "idle"))


def million(bench):
    """A table of a million files with a checkpoint and its hint."""
    local = bench.work / "idle-million"
    command = [bench.binaries / "generate-delta", "--kind", "million", "--stats-columns", "0"]
    subprocess.run([*command, local], check=True)
    head = int(planning.log_of(local)[-1].stem)
    base = int(max((local / "_delta_log").glob("*.checkpoint.parquet")).name[:20])
    nothing = copying.Shape("no data", 0, 0)
    with copying.sinks(bench, nothing) as (source, target, _):
        path = copying.config(bench, source=source, target=target)
        publish_log(source, local, copying.TABLE)
        publish_log(target, local, "idle")
        copying.put(target, "_driftless/replicas/idle.json", descriptor(head, base))
        copying.sync(bench, path, "idle", 0)
        return row("1,000,000 files, checkpoint", *measured(bench, path, source, target, "idle"))


def run(bench):
    """All cases of idle passes."""
    bench.log("idle: passes over tables in sync")
    rows = [small_table(bench), million(bench)]
    header = ["table", "requests at source", "requests at target", "writes", "CPU ms", "wall ms"]
    bench.report("Idle pass", measure.markdown([*header, "peak MiB"], rows))
