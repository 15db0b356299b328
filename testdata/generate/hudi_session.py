"""Spark session for Hudi fixtures, and one table under construction: steps, history, answers.

# Invariants
- The answer for an instant is what Spark reads from a replay of the events up to the object that
  completed the instant, so it describes recorded objects and not the writer's memory.
- The answer for the last instant of a step equals what Spark reads from the live table.
"""

import contextlib
import json
import pathlib
import re
import shutil

import pyspark
from pyspark.sql import SparkSession
from pyspark.sql import types as t

import hudi_recorder
import rowhash

SPARK = "3.5.9"
SETTINGS = {
    "spark.sql.extensions": "org.apache.spark.sql.hudi.HoodieSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.hudi.catalog.HoodieCatalog",
    "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
    "spark.kryo.registrator": "org.apache.spark.HoodieSparkKryoRegistrar",
    "spark.hadoop.fs.file.impl": "driftless.RecordingFileSystem",
    "spark.sql.session.timeZone": "UTC",
    "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "2g",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.default.parallelism": "1",
    "spark.sql.parquet.compression.codec": "snappy",
    "spark.sql.catalogImplementation": "in-memory",
}
# For hundreds of reads of a few rows: little compiling, and no size estimates by attaching to
# the process, which prints warnings.
READING = {
    "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:TieredStopAtLevel=1"
    " -XX:+UseSerialGC -Djol.skipHotspotSAAttach=true -Djdk.attach.allowAttachSelf",
    "spark.sql.codegen.wholeStage": "false",
}
OPTIONS = {
    "hoodie.datasource.write.recordkey.field": "id",
    "hoodie.datasource.write.precombine.field": "ts",
    "hoodie.datasource.write.partitionpath.field": "p",
    "hoodie.datasource.write.hive_style_partitioning": "true",
    "hoodie.metadata.enable": "false",
    "hoodie.embed.timeline.server": "false",
    "hoodie.clean.automatic": "false",
    "hoodie.archive.automatic": "false",
    # Merge-on-read compacts inside of writes unless told otherwise.
    "hoodie.compact.inline": "false",
    "hoodie.parquet.compression.codec": "snappy",
    # A bloom filter of the default size takes 430 kB in each base file.
    "hoodie.index.bloom.num_entries": "100",
    "hoodie.index.bloom.fpp": "0.1",
    "hoodie.bloom.index.filter.type": "SIMPLE",
    "hoodie.insert.shuffle.parallelism": "1",
    "hoodie.upsert.shuffle.parallelism": "1",
    "hoodie.bulkinsert.shuffle.parallelism": "1",
    "hoodie.delete.shuffle.parallelism": "1",
    "hoodie.simple.index.parallelism": "1",
    "hoodie.rollback.parallelism": "1",
    "hoodie.cleaner.parallelism": "1",
    "hoodie.archivelog.write.buffer.size": "65536",
}
SCHEMA = t.StructType(
    [
        t.StructField("id", t.LongType()),
        t.StructField("p", t.StringType()),
        t.StructField("name", t.StringType()),
        t.StructField("amount", t.FloatType()),
        t.StructField("day", t.DateType()),
        t.StructField("ts", t.LongType()),
    ]
)
COMPLETED = re.compile(
    r"^\.hoodie/(?:timeline/)?(?P<instant>\d{14,})(?:_(?P<completion>\d+))?"
    r"\.(?P<action>(?!inflight|requested)[a-z]+)$"
)


def start(bundle, scratch):
    """Session that records, with one Hudi bundle (a jar); `scratch` takes Spark's own files."""
    classes = scratch / "classes"
    hudi_recorder.compile_java(pathlib.Path(pyspark.__file__).parent / "jars", classes)
    return _session([bundle], [classes, bundle], scratch, 1, SETTINGS)


def reading(jars, scratch, more):
    """Session that only reads, on Hadoop's own file systems, and two queries at a time.

    `jars` are one Hudi bundle and what file systems need, `more` are settings of those.
    """
    settings = {**SETTINGS, **READING, **more}
    del settings["spark.hadoop.fs.file.impl"]
    return _session(jars, jars, scratch, 2, settings)


def _session(jars, class_path, scratch, threads, settings):
    builder = SparkSession.builder.master(f"local[{threads}]").appName("driftless-testdata")
    for key, value in settings.items():
        builder = builder.config(key, value)
    builder = builder.config("spark.jars", ",".join(map(str, jars)))
    builder = builder.config("spark.driver.extraClassPath", ":".join(map(str, class_path)))
    builder = builder.config("spark.local.dir", str(scratch / "spark"))
    builder = builder.config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    if spark.version != SPARK:
        raise SystemExit(f"start Spark {SPARK}: found {spark.version}; run setup.sh")
    return spark


class Table:
    """One Hudi table under construction: each writer call is a step of its history."""

    def __init__(self, spark, scratch, name, merge_on_read, features=(), **options):
        self.spark = spark
        self.name = name
        self.scratch = scratch
        self.merge_on_read = merge_on_read
        self.features = list(features)
        self.path = scratch / "tables" / name
        self.recording = hudi_recorder.Recording(spark, self.path, scratch / "record" / name)
        self.steps = []
        self.live = []
        self.read = {}
        kind = "MERGE_ON_READ" if merge_on_read else "COPY_ON_WRITE"
        self.options = {
            **OPTIONS,
            "hoodie.table.name": name,
            "hoodie.datasource.write.table.type": kind,
            **{key.replace("__", "."): value for key, value in options.items()},
        }

    @contextlib.contextmanager
    def step(self, name, fails=False):
        """Everything in the block is one step; with `fails` it must raise, or the run stops."""
        try:
            yield
        except Exception:  # py4j and Spark have no common class
            if not fails:
                raise
        else:
            if fails:
                raise SystemExit(f"write {self.name}: step '{name}' was meant to fail")
        events = self.recording.take()
        found = (COMPLETED.match(event.get("put", "")) for event in events)
        instants = [match["instant"] for match in found if match]
        self.steps.append({"name": name, "events": events, "instants": instants})
        self.live.append(self._answer(self.path) if instants else None)

    def write(self, name, rows, operation="upsert", fails=False, options=None):
        """One DataFrame write of rows (as SCHEMA) or of a ready frame."""
        with self.step(name, fails):
            self.save(rows, operation, options)

    def save(self, rows, operation="upsert", options=None):
        """The write itself, for steps that are more than one call."""
        frame = rows if hasattr(rows, "write") else self.spark.createDataFrame(rows, SCHEMA)
        frame = frame.coalesce(1)
        mode = "append" if self.path.exists() else "overwrite"
        settings = {**self.options, "hoodie.datasource.write.operation": operation}
        settings.update(options or {})
        frame.write.format("hudi").mode(mode).options(**settings).save(str(self.path))

    def sql(self, name, *statements, fails=False, options=None):
        """One step of SQL: `{t}` is the table's registered name, `{path}` its path."""
        settings = {**self.options, **(options or {})}
        kept = [k for k in settings if not k.startswith(("hoodie.table.", "hoodie.datasource."))]
        for key in kept:
            self.spark.conf.set(key, settings[key])
        try:
            with self.step(name, fails):
                for statement in statements:
                    text = statement.replace("{t}", self.name).replace("{path}", str(self.path))
                    self.spark.sql(text).collect()
        finally:
            for key in kept:
                self.spark.conf.unset(key)

    def register(self):
        """Makes the table known to SQL under its name; no step, since nothing is written."""
        self.spark.sql(f"DROP TABLE IF EXISTS {self.name}")
        self.spark.sql(f"CREATE TABLE {self.name} USING hudi LOCATION '{self.path}'")

    def instants(self, action):
        """Completed instants of one action on the table's timeline, ascending."""
        found = (COMPLETED.match(path) for path in self.recording.state)
        return sorted(m["instant"] for m in found if m and m["action"] == action)

    def place(self, out, bundle):
        """Computes the answers and moves the fixture to `out/NAME`; returns expected.json."""
        expected = self._expected()
        history = {
            "hudi": bundle,
            "spark": SPARK,
            "table_version": self._table_version(),
            "type": self.options["hoodie.datasource.write.table.type"],
            "features": sorted(self.features),
            "read": self.read,
            "steps": self.steps,
        }
        folder = out / self.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        used = {e["object"] for s in self.steps for e in s["events"] if "object" in e}
        (folder / "objects").mkdir()
        for name in used:
            shutil.copyfile(self.recording.objects / name, folder / "objects" / name)
        (folder / "history.json").write_text(_history_text(history), encoding="utf-8")
        (folder / "expected.json").write_text(_text(expected), encoding="utf-8")
        return expected

    def _table_version(self):
        text = (self.path / ".hoodie" / "hoodie.properties").read_text(encoding="utf-8")
        return int(re.search(r"^hoodie\.table\.version=(\d+)", text, re.M)[1])

    def _expected(self):
        entries, unreadable = [], {}
        replay = replayed(self.steps, self.recording.objects, self.scratch / "replay" / self.name)
        for number, match, folder in replay:
            entry = {"instant": match["instant"], "action": match["action"]}
            if match["completion"]:
                entry["completion"] = match["completion"]
            entries.append((number, entry))
            try:
                entry.update(self._answer(folder))
            except Exception as error:  # py4j and Spark have no common class
                unreadable[entry["instant"]] = str(error).splitlines()[0][:300]
        for number, entry in dict(entries).items():
            live = self.live[number]
            if "rows" in entry and {key: entry[key] for key in live} != live:
                raise SystemExit(
                    f"read {self.name}: after '{self.steps[number]['name']}' the replay answers "
                    f"{entry}, the live table {live}"
                )
        return {"instants": [entry for _, entry in entries], "unreadable": unreadable}

    def _answer(self, path):
        """Snapshot and, for merge-on-read, the read-optimized view; with and without metadata."""
        views = {"rows": "snapshot"}
        if self.merge_on_read:
            views["read_optimized"] = "read_optimized"
        found = {key: view(self.spark, path, kind, **self.read) for key, kind in views.items()}
        if self.options["hoodie.metadata.enable"] == "true":
            listing = {**self.read, "hoodie.metadata.enable": "false"}
            for key, kind in views.items():
                listed = view(self.spark, path, kind, **listing)
                if listed != found[key]:
                    raise SystemExit(
                        f"read {self.name}: {key} is {found[key]} through the metadata table, "
                        f"{listed} through a listing, after {len(self.steps)} steps"
                    )
        return found


def replayed(steps, objects, scratch):
    """Yields (step number, match of COMPLETED, folder) for each completed instant, in order.

    The folder holds the table as it was then, and is gone when the next one is asked for.
    """
    state = {}
    for number, step in enumerate(steps):
        for event in step["events"]:
            hudi_recorder.apply(state, event)
            match = COMPLETED.match(event.get("put", ""))
            if match:
                # A name of its own: readers cache by path.
                folder = scratch / f"{number}-{match['instant']}-{match['action']}"
                hudi_recorder.materialize(state, objects, folder)
                yield number, match, folder
                shutil.rmtree(folder)


def compare(spark, scratch, folder, bundle):
    """Adds to expected.json what another Hudi version answers, where it answers otherwise."""
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    file = folder / "expected.json"
    expected = json.loads(file.read_text(encoding="utf-8"))
    replay = replayed(history["steps"], folder / "objects", scratch / "compare" / folder.name)
    differing = 0
    for entry, (_, _, path) in zip(expected["instants"], replay, strict=True):
        views = {key: entry[key] for key in ("rows", "read_optimized") if key in entry}
        found = {}
        for key, known in views.items():
            kind = "snapshot" if key == "rows" else key
            try:
                answer = view(spark, path, kind, **history["read"])
            except Exception as error:  # py4j and Spark have no common class
                answer = {"unreadable": str(error).splitlines()[0][:300]}
            if answer != known:
                found[key] = answer
        if found:
            entry["otherwise"] = {bundle: found}
            differing += 1
    file.write_text(_text(expected), encoding="utf-8")
    return differing


def view(spark, path, kind, **options):
    """Count and row hash of one query type, over the table's own columns."""
    found = frame(spark, path, kind, **{"hoodie.metadata.enable": "true", **options})
    rows = found.collect()
    return {"count": len(rows), "hash": rowhash.table_hash(rows, found.schema)}


def frame(spark, path, kind, **options):
    """The table's own columns in one query type."""
    reader = spark.read.format("hudi").option("hoodie.datasource.query.type", kind)
    read = reader.options(**options).load(str(path))
    return read.select([f"`{c}`" for c in read.columns if not c.startswith("_hoodie_")])


def _text(expected):
    """JSON with one instant on each line."""
    lines = ",\n".join("  " + json.dumps(e, ensure_ascii=False) for e in expected["instants"])
    rest = json.dumps(expected["unreadable"], ensure_ascii=False)
    return f'{{"instants": [\n{lines}\n ],\n "unreadable": {rest}}}\n'


def _history_text(history):
    """JSON with one event on each line: small, and readable in a diff."""
    steps = []
    for step in history["steps"]:
        events = ",\n".join("   " + json.dumps(e, ensure_ascii=False) for e in step["events"])
        head = json.dumps({"name": step["name"], "instants": step["instants"]})[:-1]
        steps.append(f"  {head}, \"events\": [\n{events}\n  ]}}")
    head = json.dumps({k: v for k, v in history.items() if k != "steps"}, ensure_ascii=False)
    return f"{head[:-1]}, \"steps\": [\n" + ",\n".join(steps) + "\n]}\n"
