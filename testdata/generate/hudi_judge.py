"""Real Spark judges Hudi replicas: what it reads from them is what it read from the source.

Usage: hudi_judge.py --jars JARS --driftless BINARY [--s3] [--metadata mirror] [--all | NAME ...]

A table of testdata/hudi is replayed into a source folder and replicated in several modes; the
replica is kept as it is after each pass, times included. Then each Hudi bundle, in a process of
its own, reads every replica it can, in every view. With --s3 the replicas lie in an S3 server and
are read through S3A.

# Invariants
- A replica is compared with the answer of the instant that the pass reports as its head, so a
  pass that holds or is blocked is judged too: it must leave the state before.
- Where Hudi versions answer differently at the source, either answer is right: they disagree
  about logs that were rolled back, which a replica does not have.
- Nothing is judged that cannot fail: the replicas of HAZARDS must be read wrongly.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import s3_server

TABLES = [
    "cow_v6",
    "cow_v8",
    "cow_v9",
    "cow_v8_restore",
    "mor_v6",
    "mor_v6_archived",
    "mor_v6_pending_compaction",
    "mor_v6_clustering",
    "v6_by_1_0",
    "mor_v8",
    "mor_v8_archived",
    "mor_v8_pending_compaction",
    "mor_v9",
    "mor_v9_metadata",
    "cow_v8_indexes",
    "mor_v9_indexes",
]
# What a store can change: the times of objects, and how they are listed and replaced.
S3_TABLES = [
    "cow_v6",
    "cow_v9",
    "cow_v8_restore",
    "mor_v6",
    "mor_v6_pending_compaction",
    "mor_v6_clustering",
    "mor_v8",
    "mor_v9",
]
# once: one pass over the finished table. follow: a pass after each instant, at a target whose
# times are later than all of them, which is how a replica catches up.
MODES = ("once", "follow")
# follow, with the target's times shortly after each instant: a replica that keeps up.
LIVE = "live"
# Replicas that readers of 1.x must misread: one for 0.x only, and what `cp -r` makes.
HAZARDS = ("--hudi-readers=0.x", "cp -r")
HAZARD_TABLE = "mor_v6"
LIVE_LAG = 0.2
# Why passes of a table may end blocked: all that version 6 cannot replace in one write.
BLOCKED = {
    # The times at the target are never older than the source's next commit, so the pass waits
    # for a file that the cleaner then removes.
    ("mor_v6_clustering", "follow"): "history_lost",
    ("mor_v6_restore", "follow"): "history_lost",
    ("mor_v6_restore", LIVE): "history_lost",
}
# Exit code of the process of one bundle where a replica is read wrongly.
WRONG = 3
BUNDLES = {6: ("0.15.0", "1.0.2", "1.1.1"), 8: ("1.0.2", "1.1.1"), 9: ("1.1.1",)}
VIEWS = {"rows": "snapshot", "read_optimized": "read_optimized"}
# Points and ranges that readers look up in the indexes of a table, where it has them.
LOOKUPS = [
    "id = 3",
    "id IN (1, 7, 40, 99)",
    "id BETWEEN 2 AND 6",
    "name = 'd-3'",
    "name IN ('A-1', 'C-1', 'b-8')",
    "month(day) = 1",
    "month(day) > 1",
    "lower(name) = 'c-6'",
    "p = 'p1' AND name >= 'b'",
]
# What a reader has by default, and with every index asked for.
INDEXED = {
    "hoodie.enable.data.skipping": "true",
    "hoodie.metadata.record.index.enable": "true",
    "hoodie.metadata.global.record.level.index.enable": "true",
    "hoodie.metadata.index.column.stats.enable": "true",
    "hoodie.metadata.index.partition.stats.enable": "true",
    "hoodie.metadata.index.secondary.enable": "true",
    "hoodie.metadata.index.expression.enable": "true",
}
# Readers fail where the metadata table lacks an expression index that the definitions name.
UNMIRRORED = {"cow_v8_indexes", "mor_v9_indexes"}
FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "hudi"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jars", required=True, type=pathlib.Path)
    parser.add_argument("--driftless", type=pathlib.Path)
    parser.add_argument("--bundle", help="read with this Hudi version, in this process")
    parser.add_argument("--replicas", type=pathlib.Path, help="what to read, with --bundle")
    parser.add_argument("--s3", action="store_true", help="replicas lie in an S3 server")
    parser.add_argument("--metadata", choices=["drop", "mirror"], default="drop")
    parser.add_argument("--all", action="store_true", help="every table")
    parser.add_argument("names", nargs="*", help="tables; those that tell most when none is given")
    args = parser.parse_args()

    # Before Spark starts: PySpark converts collected timestamps in the process's zone.
    os.environ["TZ"] = "UTC"
    time.tzset()

    if args.bundle:
        return judge(args.jars, args.bundle, json.loads(args.replicas.read_text()))
    if args.metadata == "mirror":
        require(args.driftless, "--hudi-metadata")
    known = sorted(folder.name for folder in FIXTURES.iterdir())
    unknown = sorted(set(args.names) - set(known))
    if unknown:
        parser.error(f"unknown tables {unknown}; there are {known}")
    names = known if args.all else args.names or defaults(args, known)
    with tempfile.TemporaryDirectory(prefix="driftless-judge-") as folder:
        scratch = pathlib.Path(folder)
        if not args.s3:
            return run(args, names, scratch, Place(scratch / "replicas"))
        with s3_server.serving(scratch / "s3", scratch / "s3.log") as endpoint:
            return run(args, names, scratch, Place(scratch / "s3" / s3_server.BUCKET, endpoint))


def require(driftless, option):
    """Ends the run where the program has no such option: all its passes would fail."""
    text = subprocess.run([driftless, "sync", "--help"], stdout=subprocess.PIPE, check=True).stdout
    if option.encode() not in text:
        raise SystemExit(f"replicate with {option}: {driftless} has no such option")


def defaults(args, known):
    """The tables of a run that names none."""
    if args.metadata == "mirror":
        return [name for name in known if "metadata" in history_of(name)["features"]]
    return S3_TABLES if args.s3 else TABLES


def history_of(name):
    return json.loads((FIXTURES / name / "history.json").read_text(encoding="utf-8"))


class Place:
    """Where the replicas of a run lie: a folder, or the bucket of the server that serves it."""

    def __init__(self, folder, endpoint=None):
        self.folder = folder
        self.endpoint = endpoint
        # No configuration of whoever runs this.
        self.environment = {**os.environ, "XDG_CONFIG_HOME": str(folder / "no-configuration")}
        if endpoint:
            self.environment |= s3_server.environment(endpoint)

    def url(self, folder, scheme):
        """What a client is told: the path of a folder, or its prefix in the bucket."""
        if self.endpoint is None:
            return str(folder)
        return f"{scheme}://{s3_server.BUCKET}/{folder.relative_to(self.folder)}"


def run(args, names, scratch, place):
    """Replicates everything, then lets each bundle read it; returns the exit code."""
    options = ["--hudi-metadata", "mirror"] if args.metadata == "mirror" else []
    jobs = [job for name in names for job in jobs_of(name)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        replicated = pool.map(
            lambda job: replicate([args.driftless, "sync", *options], scratch, place, *job), jobs
        )
        passes = [one for found in replicated for one in found]
    failed = report(passes)
    if options:
        failed |= unmirrored(passes)
    replicas = [one for one in passes if one["answers"]]
    file = scratch / "replicas.json"
    document = {"endpoint": place.endpoint, "replicas": replicas}
    file.write_text(json.dumps(document), encoding="utf-8")
    command = [sys.executable, __file__, "--jars", args.jars, "--replicas", file]
    for bundle in BUNDLES[6]:
        if any(bundle in replica["bundles"] for replica in replicas):
            failed |= judged([*command, "--bundle", bundle], scratch / "stderr")
    print("FAILED" if failed else "every replica was read right")
    return int(failed)


def judged(command, log):
    """Runs the judge of one bundle; Spark's own words are shown only when it breaks."""
    with open(log, "w", encoding="utf-8") as stderr:
        done = subprocess.run(command, stderr=stderr)
    if done.returncode not in (0, WRONG):
        print(log.read_text(encoding="utf-8")[-3000:], file=sys.stderr)
    return done.returncode != 0


def jobs_of(name):
    """Pairs of table and mode."""
    history = history_of(name)
    timed = history["table_version"] == 6 and history["type"] == "MERGE_ON_READ"
    modes = [*MODES, *([LIVE] if timed else []), *(HAZARDS if name == HAZARD_TABLE else [])]
    return [(name, mode) for mode in modes]


def replicate(command, scratch, place, name, mode):
    """Replays one table and replicates it in one mode; returns what each pass left."""
    history = history_of(name)
    expected = json.loads((FIXTURES / name / "expected.json").read_text(encoding="utf-8"))
    sources, folder = scratch / "sources" / name / mode, place.folder / name / mode
    source, target = sources / "source", folder / "replica"
    source.mkdir(parents=True)
    target.mkdir(parents=True)
    numbered = enumerate(replayed(history, FIXTURES / name / "objects", source))
    if mode == "once":
        *_, last = numbered
        numbered = [last]
    passes, kept = [], None
    for number, event in numbered:
        known = expected["instants"][: number + 1]
        if mode == "cp -r":
            shutil.rmtree(target)
            shutil.copytree(source, target, copy_function=shutil.copyfile)
            found = {"state": "ok", "head": known[-1]["instant"], "code": None}
        else:
            options = [mode] if mode in HAZARDS else []
            found = sync([*command, *options, source, place.url(target, "s3")], place.environment)
        if mode == LIVE:
            date(target, event["modified_ms"] / 1000 + LIVE_LAG)
        found |= {"table": name, "mode": mode, "after": known[-1]["instant"], "answers": {}}
        found["mirror"] = has_metadata_table(target)
        # A pass that changed nothing has nothing new to judge.
        if (now := (found["head"], state(target))) != kept:
            kept = now
            found |= {
                "answers": answers(known, found["head"], mode),
                "bundles": bundles(history["table_version"], mode),
                "read": history["read"],
                "lookups": "indexes" in history["features"] and mode not in HAZARDS,
                "folder": place.url(shutil.copytree(target, folder / f"{number}"), "s3a"),
                "source": str(shutil.copytree(source, sources / f"{number}")),
            }
        passes.append(found)
    return passes


def has_metadata_table(target):
    """Whether readers of this table list through its metadata table."""
    properties = target / ".hoodie" / "hoodie.properties"
    if not properties.exists():
        return False
    found = re.search(r"^hoodie\.table\.metadata\.partitions=(.*)", properties.read_text(), re.M)
    return found is not None and "files" in found[1]


def bundles(version, mode):
    """Hudi versions that read this: where times are what matters, those that look at them."""
    timeless = mode == LIVE or mode in HAZARDS
    return [b for b in BUNDLES[version] if not (timeless and b.startswith("0."))]


def state(folder):
    """What a reader can tell: names, sizes and times of all files."""
    files = [(str(f), f.stat()) for f in sorted(folder.rglob("*")) if f.is_file()]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]


def replayed(history, objects, folder):
    """Replays into `folder` and yields after each completed instant its event."""
    import hudi_recorder
    import hudi_session

    for step in history["steps"]:
        for event in step["events"]:
            if "delete" in event:
                (folder / event["delete"]).unlink()
                continue
            hudi_recorder.materialize({event["put"]: event}, objects, folder)
            if hudi_session.COMPLETED.match(event["put"]):
                yield event


def sync(command, environment):
    """One pass of the real program; what it reports of its target."""
    command = [*command, "--output", "json", "--quiet"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
    document = json.loads(done.stdout or "{}")
    if "targets" not in document:
        return {"state": f"exit code {done.returncode}", "head": None, "code": str(document)}
    found = document["targets"][0]
    code = (found["blocked"] or found["error"] or {}).get("code")
    head = found["head"] and found["head"].split("_")[-1]
    return {"state": found["state"], "head": head, "code": code}


def date(target, seconds):
    """Gives what the last pass wrote the times it has where replication keeps up."""
    for file in target.rglob("*"):
        # Recorded histories end before now by more than any pass takes.
        if file.is_file() and file.stat().st_mtime > time.time() - 60:
            os.utime(file, (seconds, seconds))


def answers(instants, head, mode):
    """For each view the answers at `head`, those that other Hudi versions give included."""
    found = [entry for entry in instants if entry["instant"] == head and "rows" in entry]
    if not found:
        return {}
    others = found[-1].get("otherwise", {}).values()
    # Only logs are misplaced, which the read-optimized view never opens.
    views = ["rows"] if mode == LIVE or mode in HAZARDS else VIEWS
    return {
        key: [found[-1][key], *(other[key] for other in others if key in other)]
        for key in views
        if key in found[-1]
    }


def report(passes):
    """Prints how the passes ended where not all were plain; returns whether one failed."""
    failed = False
    for (name, mode), group in grouped(passes):
        ends = collections.Counter(
            one["state"] + (f" ({one['code']})" if one["code"] else "") for one in group
        )
        wrong = not any(one["head"] for one in group)
        for one in group:
            plain = one["code"] is None and one["state"] in ("ok", "catching_up")
            wrong |= not plain and one["code"] != BLOCKED.get((name, mode))
        if wrong or set(ends) != {"ok"}:
            text = ", ".join(f"{count} {end}" for end, count in ends.items())
            print(f"{name} {mode}: {'FAILED: ' if wrong else ''}passes ended {text}", flush=True)
        failed |= wrong
    return failed


def unmirrored(passes):
    """Prints the tables whose replicas end without a metadata table; returns whether any does."""
    found = False
    for (name, mode), group in grouped(passes):
        mirrors = [one["mirror"] for one in group]
        print(f"{name} {mode}: {sum(mirrors)} of {len(mirrors)} passes left a mirror", flush=True)
        if mode != "cp -r" and not mirrors[-1] and name not in UNMIRRORED:
            print(f"{name} {mode}: FAILED: the replica ends without a metadata table", flush=True)
            found = True
    return found


def grouped(replicas):
    """Replicas by table and mode, in order."""
    groups = {}
    for replica in replicas:
        groups.setdefault((replica["table"], replica["mode"]), []).append(replica)
    return groups.items()


def judge(jars, bundle, document):
    """Reads with one bundle and prints a line for each table; the exit code."""
    import hudi_session

    replicas, endpoint = document["replicas"], document["endpoint"]

    # Java libraries print on standard output: theirs goes where errors go.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    failed = False
    with tempfile.TemporaryDirectory(prefix="driftless-judge-") as folder:
        jar = jars / "hudi" / f"hudi-spark3.5-bundle_2.12-{bundle}.jar"
        more = sorted((jars / "s3a").glob("*.jar")) if endpoint else []
        settings = s3_server.s3a(endpoint) if endpoint else {}
        spark = hudi_session.reading([jar, *more], pathlib.Path(folder), settings)
        tables = {}
        for (name, mode), group in grouped(r for r in replicas if bundle in r["bundles"]):
            tables.setdefault(name, []).append((mode, group))
        try:
            for name, modes in tables.items():
                started = time.monotonic()
                verdicts = [verdict(spark, mode, group) for mode, group in modes]
                failed |= not all(right for right, _ in verdicts)
                line = "; ".join(text for _, text in verdicts)
                took = time.monotonic() - started
                print(f"Hudi {bundle}, {name}: {line}; {took:.0f} s", file=out, flush=True)
        finally:
            spark.stop()
    return WRONG if failed else 0


def verdict(spark, mode, replicas):
    """Whether the replicas of one mode are read as they must be, and a text that says so."""
    reads = [(difference, replica, key) for replica in replicas for key in replica["answers"]]
    if mode in HAZARDS:
        # The first misread says it all.
        misread = next(filter(None, (difference(spark, *read[1:]) for read in reads)), None)
        if misread:
            return True, f"{mode} misread as it must be ({misread})"
        return False, f"FAILED: {mode} {len(reads)} right, but it must be misread"
    looked_up = [replica for replica in replicas if replica["lookups"]][-1:]
    reads += [(lookup, replica, options) for replica in looked_up for options in ({}, INDEXED)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda read: read[0](spark, *read[1:]), reads)
        differing = [text for text in found if text]
    text = f"{mode} {len(reads) - len(differing)} of {len(reads)} right"
    if differing:
        return False, "\n  ".join([f"FAILED: {text}", *differing])
    return bool(reads), text if reads else f"FAILED: {mode} left nothing to read"


def difference(spark, replica, key):
    """What one view of one replica answers otherwise, or None."""
    known = replica["answers"][key]
    answer = read(spark, replica, key, replica["folder"])
    if answer in known:
        return None
    source = read(spark, replica, key, replica["source"])
    return (
        f"{key} at {replica['head']} after {replica['after']}: {text(answer)} instead of "
        f"{' or '.join(map(text, known))}; the source then: {text(source)}"
    )


def lookup(spark, replica, options):
    """Look-ups whose rows are not those that a read of the whole table has, or None."""
    import hudi_session

    frame = hudi_session.frame(spark, replica["folder"], "snapshot")
    whole = spark.createDataFrame(frame.collect(), frame.schema)
    found = []
    for predicate in LOOKUPS:
        expected = sorted(whole.where(predicate).collect(), key=repr)
        frame = hudi_session.frame(spark, replica["folder"], "snapshot", **options)
        try:
            answer = sorted(frame.where(predicate).collect(), key=repr)
        except Exception as error:  # py4j and Spark have no common class
            found.append(f"{predicate}: {str(error).splitlines()[0][:200]}")
            continue
        if answer != expected:
            found.append(f"{predicate}: {len(answer)} rows instead of {len(expected)}")
    if not found:
        return None
    asked = "with every index asked for" if options else "by default"
    return f"look-ups {asked} at {replica['head']}: {', '.join(found)}"


def read(spark, replica, key, folder):
    """Answer of one view, or why there is none."""
    import hudi_session

    try:
        return hudi_session.view(spark, folder, VIEWS[key], **replica["read"])
    except Exception as error:  # py4j and Spark have no common class
        return {"unreadable": str(error).splitlines()[0][:300]}


def text(answer):
    """An answer for people."""
    if "unreadable" in answer:
        return answer["unreadable"]
    return f"{answer['count']} rows ({answer['hash'][:8]})"


if __name__ == "__main__":
    sys.exit(main())
