"""Tables about the log: checkpoints, checksums, cleanup, compaction, and commits of other kinds.

One function a table; it receives an empty [`session.Table`] and leaves 3 to 14 versions behind.
"""

import os
import time

from changes import PEOPLE, merge, rows

PART_SIZE = "spark.databricks.delta.checkpoint.partSize"
CHECKSUM = "spark.databricks.delta.writeChecksumFile.enabled"
FAST_DROP = "spark.databricks.delta.tableFeatures.dev.fastDropFeature.enabled"
TOP_LEVEL = "spark.databricks.delta.checkpointV2.topLevelFileFormat"


def in_commit_timestamps(t):
    t.sql(
        f"CREATE TABLE {{t}} ({PEOPLE}) USING DELTA",
        f"INSERT INTO {{t}} {rows(0, 10)}",
        "ALTER TABLE {t} SET TBLPROPERTIES ('delta.enableInCommitTimestamps' = 'true')",
        f"INSERT INTO {{t}} {rows(10, 20)}",
        "DELETE FROM {t} WHERE id = 4",
        f"INSERT INTO {{t}} {rows(20, 22)}",
    )


def liquid_clustering(t):
    t.sql(f"CREATE TABLE {{t}} ({PEOPLE}) USING DELTA CLUSTER BY (id, name)")
    for start in range(0, 30, 10):
        t.sql(f"INSERT INTO {{t}} {rows(start, start + 10)}")
    t.sql(
        "OPTIMIZE {t}",
        "ALTER TABLE {t} CLUSTER BY (score)",
        f"INSERT INTO {{t}} {rows(30, 35)}",
        "OPTIMIZE {t} FULL",
        "ALTER TABLE {t} CLUSTER BY NONE",
        "DELETE FROM {t} WHERE id = 31",
    )


def _busy(t, properties=""):
    """Seven commits of mixed kinds after the first; checkpoints at 3 and 6."""
    t.sql(
        f"""CREATE TABLE {{t}} ({PEOPLE}) USING DELTA TBLPROPERTIES (
            'delta.checkpointInterval' = '3' {properties})""",
        f"INSERT INTO {{t}} {rows(0, 10)}",
        f"INSERT INTO {{t}} {rows(10, 20)}",
        f"INSERT INTO {{t}} {rows(20, 30)}",
        "DELETE FROM {t} WHERE id = 25",
        merge(28, 34),
        "UPDATE {t} SET score = -1 WHERE id = 3",
        f"INSERT INTO {{t}} {rows(40, 45)}",
    )


def checkpoint_multipart(t):
    with t.settings({PART_SIZE: "3"}):
        _busy(t)


V2 = ", 'delta.checkpointPolicy' = 'v2'"


def checkpoint_v2_json(t):
    with t.settings({TOP_LEVEL: "json", PART_SIZE: "3"}):
        _busy(t, V2)


def checkpoint_v2_parquet(t):
    with t.settings({TOP_LEVEL: "parquet", PART_SIZE: "3"}):
        _busy(t, V2 + ", 'delta.enableDeletionVectors' = 'true'")


def checksum(t):
    with t.settings({CHECKSUM: "true"}):
        _busy(t, ", 'delta.enableDeletionVectors' = 'true'")


def side_files(t):
    with t.settings({TOP_LEVEL: "json", PART_SIZE: "3", CHECKSUM: "true"}):
        _busy(t, V2 + ", 'delta.enableChangeDataFeed' = 'true'")


def vacuumed(t):
    t.sql(
        f"""CREATE TABLE {{t}} ({PEOPLE}) USING DELTA
            TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')""",
        f"INSERT INTO {{t}} {rows(0, 10)}",
        f"INSERT INTO {{t}} {rows(10, 20)}",
        "DELETE FROM {t} WHERE id < 10",
        "DELETE FROM {t} WHERE id = 12",
        # Replaces the vector of version 4; version 3, before any vector, stays readable.
        "DELETE FROM {t} WHERE id = 14",
        "VACUUM {t} RETAIN 0 HOURS",
        f"INSERT INTO {{t}} {rows(20, 25)}",
    )


def log_cleaned(t):
    t.sql(
        f"""CREATE TABLE {{t}} ({PEOPLE}) USING DELTA TBLPROPERTIES (
            'delta.checkpointInterval' = '4', 'delta.logRetentionDuration' = 'interval 1 days')"""
    )
    for start in range(0, 90, 10):
        t.sql(f"INSERT INTO {{t}} {rows(start, start + 10)}")
    _age(t, 10)
    t.sql(
        "DELETE FROM {t} WHERE id = 3",
        "DELETE FROM {t} WHERE id = 13",
        # Checkpoint 12 cleans up what is older than a day.
        "DELETE FROM {t} WHERE id = 23",
        f"INSERT INTO {{t}} {rows(90, 95)}",
        "UPDATE {t} SET score = 0 WHERE id IN (5, 93)",
        "DELETE FROM {t} WHERE id = 33",
    )


def _age(t, days):
    """Moves the modification time of all log files `days` back, keeping their distances."""
    now = time.time()
    for file in t.log.iterdir():
        modified = file.stat().st_mtime
        os.utime(file, (now, modified - days * 86400))


def compacted_logs(t):
    t.sql(f"CREATE TABLE {{t}} ({PEOPLE}) USING DELTA")
    for start in range(0, 40, 10):
        t.sql(f"INSERT INTO {{t}} {rows(start, start + 10)}")
    t.sql("DELETE FROM {t} WHERE id IN (3, 33)", "UPDATE {t} SET score = 0 WHERE id = 12")
    _compact(t, 1, 3)
    _compact(t, 4, 6)
    t.sql(f"INSERT INTO {{t}} {rows(40, 45)}")


def _compact(t, start, end):
    """Writes `start.end.compacted.json` from Delta's own log replay, as its test suite does.

    Released Delta reads compacted logs and has no command that writes them.
    """
    delta = t.spark._jvm.org.apache.spark.sql.delta
    replay = delta.actions.InMemoryLogReplay(0, t.spark._jvm.scala.Option.empty())
    for version in range(start, end + 1):
        lines = (t.log / f"{version:020}.json").read_text(encoding="utf-8").splitlines()
        actions = [delta.actions.Action.fromJson(line) for line in lines]
        sequence = t.spark._jvm.PythonUtils.toSeq(actions)
        replay.append(version, sequence.iterator())
    lines = []
    actions = replay.checkpoint()
    while actions.hasNext():
        lines.append(actions.next().json() + "\n")
    name = f"{start:020}.{end:020}.compacted.json"
    (t.log / name).write_text("".join(lines), encoding="utf-8")


def empty_commits(t):
    t.sql(
        f"CREATE TABLE {{t}} ({PEOPLE}) USING DELTA",
        "ALTER TABLE {t} SET TBLPROPERTIES ('team' = 'nobody', 'delta.appendOnly' = 'false')",
        f"INSERT INTO {{t}} {rows(0, 5)}",
        "COMMENT ON TABLE {t} IS 'a table with ünicode and \"quotes\"'",
        "ALTER TABLE {t} ALTER COLUMN name COMMENT 'the name'",
    )
    with t.settings({"spark.databricks.delta.skipRecordingEmptyCommits": "false"}):
        t.sql("DELETE FROM {t} WHERE id = 1000")
    t.sql(
        "ALTER TABLE {t} UNSET TBLPROPERTIES ('team')",
        f"INSERT INTO {{t}} {rows(5, 7)}",
    )
    t.write(f"{rows(0, 5)} WHERE id < 0")


def feature_dropped(t):
    t.sql(
        f"""CREATE TABLE {{t}} ({PEOPLE}) USING DELTA TBLPROPERTIES (
            'delta.checkpointPolicy' = 'v2', 'delta.checkpointInterval' = '3')""",
        f"INSERT INTO {{t}} {rows(0, 20)}",
        "DELETE FROM {t} WHERE id = 3",
        "ALTER TABLE {t} ADD CONSTRAINT named CHECK (name IS NOT NULL)",
        "ALTER TABLE {t} DROP CONSTRAINT named",
        "ALTER TABLE {t} DROP FEATURE checkConstraints",
    )
    # The fast way needs no truncated history: it adds checkpointProtection instead.
    with t.settings({FAST_DROP: "true"}):
        t.sql("ALTER TABLE {t} DROP FEATURE v2Checkpoint")
    t.sql("DELETE FROM {t} WHERE id = 4", f"INSERT INTO {{t}} {rows(20, 25)}")


def many_files(t):
    t.sql(
        "CREATE TABLE {t} (id BIGINT, bucket INT) USING DELTA PARTITIONED BY (bucket)",
        "INSERT INTO {t} SELECT id, CAST(id % 64 AS INT) FROM range(0, 128, 1, 1)",
        "DELETE FROM {t} WHERE bucket >= 60",
        "DELETE FROM {t} WHERE id = 5",
        "INSERT INTO {t} SELECT id, CAST(id % 8 AS INT) FROM range(200, 208, 1, 1)",
    )


TABLES = {
    fill.__name__: fill
    for fill in (
        in_commit_timestamps,
        liquid_clustering,
        checkpoint_multipart,
        checkpoint_v2_json,
        checkpoint_v2_parquet,
        checksum,
        side_files,
        vacuumed,
        log_cleaned,
        compacted_logs,
        empty_commits,
        feature_dropped,
        many_files,
    )
}
