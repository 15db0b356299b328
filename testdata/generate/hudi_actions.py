"""Hudi tables about one action or feature each: clustering, rollback, restore, metadata, CDC."""

import threading

from hudi_session import SCHEMA, Table
from hudi_tables import CLEAN_NOW, COMPACT_NOW, V6, V8, V9, rows

APART = {"hoodie.parquet.small.file.limit": "0"}
METADATA = {
    "hoodie__metadata__enable": "true",
    "hoodie__metadata__compact__max__delta__commits": "3",
    "hoodie__metadata__index__bloom__filter__enable": "false",
    "hoodie__metadata__index__column__stats__enable": "false",
    "hoodie__metadata__index__partition__stats__enable": "false",
    "hoodie__metadata__record__index__min__filegroup__count": "1",
    "hoodie__metadata__record__index__max__filegroup__count": "1",
}
COLUMN_STATS = {
    "hoodie__metadata__index__column__stats__enable": "true",
    "hoodie__metadata__index__column__stats__column__list": "id,name",
}
LOCK = "org.apache.hudi.client.transaction.lock.InProcessLockProvider"
NON_BLOCKING = {
    "hoodie__write__concurrency__mode": "non_blocking_concurrency_control",
    "hoodie__index__type": "BUCKET",
    # The check of this mode reads neither the option of the data source nor the table.
    "hoodie__table__type": "MERGE_ON_READ",
    "hoodie__bucket__index__num__buckets": "1",
}
PARTITION_STATS = {"hoodie__metadata__index__partition__stats__enable": "true"}
RECORD_INDEX = {"hoodie__metadata__record__index__enable": "true"}


def clustering(merge_on_read):
    """Inline clustering, then a plan with a write on top of it that is executed later."""
    now = {
        "hoodie.clustering.inline": "true",
        "hoodie.clustering.inline.max.commits": "1",
        "hoodie.clustering.plan.strategy.sort.columns": "id",
    }

    def fill(spark, scratch, name):
        table = Table(spark, scratch, name, merge_on_read, ["clustering"])
        table.write("insert", rows(range(1, 5), "a"), "insert", options=APART)
        table.write("insert apart", rows(range(5, 9), "b"), "insert", options=APART)
        together = {**APART, **now}
        table.write("insert and cluster", rows([9, 10], "c"), "insert", options=together)
        table.write("upsert", rows([1, 6], "d"))
        table.write("insert apart again", rows([11, 12], "d"), "insert", options=APART)
        plan = "CALL run_clustering(op => 'schedule', path => '{path}')"
        table.sql("schedule", plan, options=now)
        table.write("insert below a plan", rows([13, 14], "e"), "insert", options=APART)
        table.sql("execute", "CALL run_clustering(op => 'execute', path => '{path}')")
        table.write("clean", rows([2], "f"), options=CLEAN_NOW)
        return table

    return fill


def rollback(spark, scratch, name):
    """Writes that fail before their commit object, in a task, and in a compaction."""
    table = Table(spark, scratch, name, True, ["rollback"])
    fail = table.recording.control.failNext
    table.write("insert", rows(range(1, 7), "a"))
    table.write("upsert b", rows([1, 2], "b"))
    fail(r"/\d+(_\d+)?\.deltacommit$")
    table.write("upsert fails at its commit", rows([2, 3, 4], "c"), fails=True)
    table.write("upsert d rolls back", rows([1, 3], "d"))
    fail(r"p=p0/\..*\.log\.")
    table.write("upsert fails in a task", rows([1, 2, 3, 4], "e"), fails=True)
    table.write("upsert f rolls back", rows([4, 5], "f"))
    fail(r"/\d+(_\d+)?\.commit$")
    table.write("compaction fails", rows([6], "g"), fails=True, options=COMPACT_NOW)
    table.write("compaction again", rows([1], "h"), options=COMPACT_NOW)
    table.write("upsert i", rows([2, 5], "i"))
    return table


def restore(merge_on_read):
    """A savepoint, more writes, and the way back to it; then the table goes on."""

    def fill(spark, scratch, name):
        table = Table(spark, scratch, name, merge_on_read, ["savepoint", "restore"])
        compact = COMPACT_NOW if merge_on_read else None
        table.write("insert", rows(range(1, 7), "a"))
        table.write("upsert b", rows([1, 2], "b"), options=compact)
        last = table.instants("deltacommit" if merge_on_read else "commit")[-1]
        at = f"path => '{{path}}', commit_time => '{last}'"
        table.sql("savepoint", f"CALL create_savepoint({at})")
        table.write("upsert c", rows([2, 3, 7], "c"), options=compact)
        table.write("delete", rows([4], "c"), "delete")
        at = f"path => '{{path}}', instant_time => '{last}'"
        table.sql("restore", f"CALL rollback_to_savepoint({at})")
        table.write("upsert d", rows([1, 8], "d"))
        table.sql("delete savepoint", f"CALL delete_savepoint({at})")
        table.write("upsert e and clean", rows([5], "e"), options=CLEAN_NOW)
        return table

    return fill


def metadata(merge_on_read, **options):
    """Metadata table with its own compaction; `options` add indexes to its list of files."""

    def fill(spark, scratch, name):
        settings = {**METADATA, **options}
        table = Table(spark, scratch, name, merge_on_read, ["metadata"], **settings)
        compact = COMPACT_NOW if merge_on_read else None
        table.write("insert", rows(range(1, 7), "a"))
        table.write("upsert b", rows([1, 2, 7], "b"))
        table.write("delete", rows([3], "b"), "delete", options=compact)
        table.write("upsert c and clean", rows([3, 4], "c"), options=CLEAN_NOW)
        return table

    return fill


def change_data_capture(spark, scratch, name):
    """Change log files beside the data files."""
    table = Table(
        spark,
        scratch,
        name,
        False,
        ["cdc"],
        hoodie__table__cdc__enabled="true",
        hoodie__table__cdc__supplemental__logging__mode="data_before_after",
    )
    table.write("insert", rows(range(1, 7), "a"))
    table.write("upsert", rows([1, 2, 7], "b"))
    table.write("delete", rows([3, 4], "b"), "delete")
    table.write("upsert and clean", rows([1, 5], "c"), options=CLEAN_NOW)
    table.write("clean again", rows([6], "d"), options=CLEAN_NOW)
    return table


def schema_evolution(spark, scratch, name):
    """Columns added by a wider write, then by ALTER TABLE with a schema history."""
    table = Table(spark, scratch, name, False, ["schema_evolution"])
    # Without it a reader looks for the new name of a renamed column and finds nulls.
    table.read = on_read = {"hoodie.schema.on.read.enable": "true"}
    table.write("insert", rows(range(1, 5), "a"), "insert", options=on_read)
    wide = spark.createDataFrame(rows([1, 5], "b"), SCHEMA).selectExpr("*", "id * 2 AS twice")
    table.write("upsert with a new column", wide, options=on_read)
    table.register()
    alter = "ALTER TABLE {t} "
    table.sql("add column", alter + "ADD COLUMNS (note string)", options=on_read)
    table.sql("rename column", alter + "RENAME COLUMN name TO label", options=on_read)
    table.sql("widen column", alter + "ALTER COLUMN amount TYPE double", options=on_read)
    row = "(6L, 'l-6', 6.25D, DATE'2024-01-07', 1L, 12L, 'noted', 'p0')"
    columns = "(id, label, amount, day, ts, twice, note, p)"
    table.sql("insert", f"INSERT INTO {{t}} {columns} VALUES {row}", options=on_read)
    return table


def empty_commits(spark, scratch, name):
    """Commits that name no file."""
    table = Table(spark, scratch, name, False, ["empty_commits"])
    table.write("insert", rows(range(1, 5), "a"), "insert")
    allow = {"hoodie.allow.empty.commit": "true"}
    table.write("upsert nothing", rows([], "b"), options=allow)
    table.write("delete absent keys", rows([90], "b"), "delete", options=allow)
    table.write("insert nothing", rows([], "c"), "insert", options=allow)
    table.write("upsert", rows([1], "d"))
    return table


def log_compaction(spark, scratch, name):
    """Log files compacted into one log file."""
    now = {
        "hoodie.log.compaction.inline": "true",
        "hoodie.log.compaction.enable": "true",
        "hoodie.log.compaction.blocks.threshold": "2",
    }
    table = Table(
        spark,
        scratch,
        name,
        True,
        ["log_compaction"],
        hoodie__log__record__reader__use__scanV2="true",
        hoodie__compact__inline__max__delta__commits="100",
    )
    table.write("insert", rows(range(1, 7), "a"))
    for mark in "bcd":
        table.write(f"upsert {mark}", rows([1, 2], mark))
    table.write("upsert and compact logs", rows([3], "e"), options=now)
    table.write("upsert f", rows([1, 4], "f"))
    table.write("compact", rows([2], "g"), options=COMPACT_NOW)
    return table


def out_of_order(merge_on_read, **options):
    """Two writers: the one that starts first completes last."""

    def fill(spark, scratch, name):
        table = Table(
            spark,
            scratch,
            name,
            merge_on_read,
            ["multi_writer"],
            **{
                "hoodie__write__concurrency__mode": "optimistic_concurrency_control",
                "hoodie__cleaner__policy__failed__writes": "LAZY",
                "hoodie__write__lock__provider": LOCK,
                **options,
            },
        )
        control = table.recording.control
        table.write("insert", rows(range(1, 9), "a"), "insert")
        for mark, slow, fast in (("b", [1, 3], [2, 4]), ("c", [6, 8], [5, 7])):
            # Without blocking, both may touch the same file group.
            fast = fast + slow[:1] if merge_on_read else fast
            control.pauseNext(r"/\d+(\.deltacommit)?\.inflight$")
            errors = []
            new = rows(slow, f"{mark} slow")
            writer = threading.Thread(target=_save, args=(table, new, errors))
            with table.step(f"slow and fast {mark}"):
                writer.start()
                control.awaitPause()
                table.save(rows(fast, f"{mark} fast"))
                table.save(rows(fast[:1], f"{mark} fast again"))
                control.resume()
                writer.join()
                if errors:
                    raise errors[0]
        if merge_on_read:
            table.write("upsert and compact", rows([2], "d"), options=COMPACT_NOW)
        table.write("upsert", rows([1], "e"))
        return table

    return fill


def upgrade(spark, scratch, name):
    """Version 6 with a compaction and an uncompacted delta commit, upgraded by the next write."""
    table = Table(spark, scratch, name, True, ["upgrade"])
    old = {"hoodie.write.table.version": "6"}
    table.write("insert", rows(range(1, 7), "a"), options=old)
    table.write("upsert b", rows([1, 2], "b"), options={**old, **COMPACT_NOW})
    table.write("upsert c", rows([2, 3], "c"), options=old)
    table.write("upsert d upgrades", rows([3, 4], "d"))
    table.write("delete", rows([5], "d"), "delete")
    return table


def _save(table, new, errors):
    try:
        table.save(new)
    except Exception as error:  # handed to the thread that waits
        errors.append(error)


def indexing(spark, scratch, name):
    """Indexes created and dropped by SQL on a table with a metadata table."""
    table = Table(spark, scratch, name, False, ["indexing", "metadata"], **METADATA)
    table.write("insert", rows(range(1, 7), "a"))
    table.write("upsert b", rows([1, 2], "b"))
    table.register()
    table.sql("record index", "CREATE INDEX record_index ON {t} (id)")
    table.sql("secondary index", "CREATE INDEX by_name ON {t} (name)")
    table.write("upsert c", rows([3, 7], "c"))
    table.sql("drop index", "DROP INDEX secondary_index_by_name ON {t}")
    table.write("upsert d", rows([4], "d"))
    return table


def indexes(merge_on_read):
    """Record, secondary and expression indexes, created by SQL and kept by each later write."""

    def fill(spark, scratch, name):
        # Hudi 1.1.1 creates no index without a lock.
        settings = {**METADATA, **COLUMN_STATS, "hoodie__write__lock__provider": LOCK}
        features = ["indexes", "indexing", "metadata"]
        table = Table(spark, scratch, name, merge_on_read, features, **settings)
        compact = COMPACT_NOW if merge_on_read else None
        table.write("insert", rows(range(1, 5), "A"), "insert", options=APART)
        table.write("insert apart", rows(range(5, 9), "b"), "insert", options=APART)
        table.register()
        table.sql("record index", "CREATE INDEX record_index ON {t} (id)")
        table.sql("secondary index", "CREATE INDEX by_name ON {t} (name)")
        by_month = "CREATE INDEX by_month ON {t} USING column_stats(day) OPTIONS(expr='month')"
        table.sql("expression index", by_month)
        by_lower = "CREATE INDEX by_lower ON {t} USING bloom_filters(name) OPTIONS(expr='lower')"
        # Hudi 1.1.1 cannot write a log file where there is one.
        if not merge_on_read:
            table.sql("bloom filter index", by_lower)
        table.write("upsert c", rows([1, 6, 40], "C"))
        table.write("delete", rows([2, 7], "C"), "delete", options=compact)
        table.write("upsert d", rows([2, 3, 41], "d"))
        return table

    return fill


TABLES = {
    "cow_v8_clustering": (V8, clustering(False)),
    "mor_v6_clustering": (V6, clustering(True)),
    "mor_v6_rollback": (V6, rollback),
    "mor_v8_rollback": (V8, rollback),
    "cow_v8_restore": (V8, restore(False)),
    "mor_v6_restore": (V6, restore(True)),
    "cow_v8_metadata": (V8, metadata(False, **COLUMN_STATS)),
    "mor_v6_metadata": (V6, metadata(True, **RECORD_INDEX)),
    "mor_v9_metadata": (V9, metadata(True, **COLUMN_STATS, **PARTITION_STATS, **RECORD_INDEX)),
    "cow_v8_cdc": (V8, change_data_capture),
    "schema_evolution_v8": (V8, schema_evolution),
    "empty_commits_v8": (V8, empty_commits),
    "mor_v8_log_compaction": (V8, log_compaction),
    "cow_v8_out_of_order": (V8, out_of_order(False)),
    "mor_v8_non_blocking": (V8, out_of_order(True, **NON_BLOCKING)),
    "upgrade_v6_to_v8": (V8, upgrade),
    "cow_v8_indexing": (V8, indexing),
    "cow_v8_indexes": (V8, indexes(False)),
    "mor_v9_indexes": (V9, indexes(True)),
}
