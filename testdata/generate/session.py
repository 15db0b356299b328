"""Spark session for fixtures, and the staging of one table: written, stripped, read back, placed.

# Invariants
- `expected.json` is computed from the stripped folder, with all of Spark's log caches dropped, so
  it describes the files that are committed to the repository and not the writer's memory.
- A table folder appears at its final place whole: it is written elsewhere and moved.
"""

import contextlib
import json
import pathlib
import re
import shutil

from pyspark.sql import SparkSession

import rowhash

SPARK = "3.5.9"
DELTA = "3.3.2"
SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "2g",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # Without these two one small write takes a minute on a small machine.
    "spark.sql.shuffle.partitions": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
    "spark.sql.parquet.compression.codec": "snappy",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInWrite": "CORRECTED",
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",
    # Only the tables that ask for it carry version checksums.
    "spark.databricks.delta.writeChecksumFile.enabled": "false",
}


def start(jars, scratch):
    """Session with Delta; `jars` is the folder of setup.sh, `scratch` takes Spark's own files."""
    paths = sorted(str(jar) for jar in pathlib.Path(jars).glob("*.jar"))
    builder = SparkSession.builder.master("local[1]").appName("driftless-testdata")
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    builder = builder.config("spark.jars", ",".join(paths))
    builder = builder.config("spark.driver.extraClassPath", ":".join(paths))
    builder = builder.config("spark.local.dir", str(scratch / "spark"))
    builder = builder.config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    if spark.version != SPARK:
        raise SystemExit(f"start Spark {SPARK}: found {spark.version}; run setup.sh")
    return spark


class Table:
    """One Delta table under construction, addressed by path."""

    def __init__(self, spark, path):
        self.spark = spark
        self.path = path

    def sql(self, *statements):
        """Runs statements in which `{t}` stands for the table."""
        for statement in statements:
            self.spark.sql(statement.replace("{t}", f"delta.`{self.path}`"))

    def write(self, query, mode="append", **options):
        """Appends (or overwrites with) the rows of a query, with DataFrame writer options."""
        frame = self.spark.sql(query)
        frame.write.format("delta").mode(mode).options(**options).save(str(self.path))

    @contextlib.contextmanager
    def settings(self, values):
        """Session settings (key to text) for the time of a block."""
        before = {key: self.spark.conf.get(key, None) for key in values}
        for key, value in values.items():
            self.spark.conf.set(key, value)
        try:
            yield
        finally:
            for key, value in before.items():
                if value is None:
                    self.spark.conf.unset(key)
                else:
                    self.spark.conf.set(key, value)

    @property
    def log(self):
        """The `_delta_log` folder."""
        return self.path / "_delta_log"


def strip(path, keep_side_files):
    """Removes Hadoop's `.NAME.crc` side files and the empty folders that git would not keep."""
    if not keep_side_files:
        for file in path.rglob(".*.crc"):
            file.unlink()
    for folder in sorted((p for p in path.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def expected(spark, path):
    """Content of expected.json: what Spark answers at each version of the stripped table."""
    spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
    detail = spark.sql(f"DESCRIBE DETAIL delta.`{path}`").first()
    commits = (re.fullmatch(r"(\d{20})\.json", p.name) for p in (path / "_delta_log").iterdir())
    last = max(int(match.group(1)) for match in commits if match)
    versions, unreadable = {}, {}
    # A version that cannot be read is a result here, not a failure worth a stack trace.
    spark.sparkContext.setLogLevel("OFF")
    for version in range(last + 1):
        frame = spark.read.format("delta").option("versionAsOf", version)
        try:
            frame = frame.load(str(path))
            rows = frame.collect()
        except Exception as error:  # Spark has no common class for the errors of a read
            unreadable[str(version)] = _reason(error)
            continue
        versions[str(version)] = {
            "count": len(rows),
            "hash": rowhash.table_hash(rows, frame.schema),
        }
    spark.sparkContext.setLogLevel("ERROR")
    return {
        "spark": SPARK,
        "delta": DELTA,
        "features": sorted(detail.tableFeatures),
        "versions": versions,
        "unreadable": unreadable,
    }


def place(spark, scratch, out, name, keep_side_files):
    """Strips, reads back and moves `scratch/NAME` to `out/NAME/table`; returns expected.json."""
    path = scratch / name
    strip(path, keep_side_files)
    content = expected(spark, path)
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.move(path, folder / "table")
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (folder / "expected.json").write_text(text, encoding="utf-8")
    return content


def _reason(error):
    """One line without paths: Spark's error class where there is one, else a known phrase."""
    text = str(error)
    for pattern, reason in UNREADABLE:
        if re.search(pattern, text):
            return reason
    raise error


UNREADABLE = [
    (r"FileNotFoundException|does not exist", "a file of this version was vacuumed"),
    (
        r"Cannot time travel Delta table to version|DELTA_VERSION_NOT_FOUND",
        "the log no longer reaches this version",
    ),
]
