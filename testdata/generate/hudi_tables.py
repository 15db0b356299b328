"""The plain Hudi tables: one function each, copy-on-write and merge-on-read in three versions."""

import datetime

from hudi_session import Table

V6, V8, V9 = "0.15.0", "1.0.2", "1.1.1"
ARCHIVING = {
    "hoodie__archive__automatic": "true",
    "hoodie__clean__automatic": "true",
    "hoodie__clean__commits__retained": "1",
    "hoodie__cleaner__commits__retained": "1",
    "hoodie__keep__min__commits": "2",
    "hoodie__keep__max__commits": "3",
    "hoodie__timeline__compaction__batch__size": "2",
}
CLEAN_NOW = {
    "hoodie.clean.automatic": "true",
    "hoodie.clean.commits.retained": "1",
    "hoodie.cleaner.commits.retained": "1",
}
COMPACT_NOW = {
    "hoodie.compact.inline": "true",
    "hoodie.compact.inline.max.delta.commits": "1",
}


def rows(ids, mark, partitions=2):
    """Rows with the given keys; `mark` is what tells one write from the next.

    No decimals: Hudi 0.15 compacts clustered base files into wrong ones.
    """
    day = datetime.date(2024, 1, 1)
    return [
        (
            i,
            f"p{i % partitions}",
            f"{mark}-{i}",
            i + 0.25,
            day + datetime.timedelta(days=i),
            1,
        )
        for i in ids
    ]


def copy_on_write(features=(), **options):
    """Every action of copy-on-write that needs no table service but the cleaner."""

    def fill(spark, scratch, name):
        table = Table(spark, scratch, name, False, features, **options)
        table.write("insert", rows(range(1, 9), "a"), "insert")
        table.write("upsert", rows([1, 2, 9, 10], "b"))
        table.write("delete", rows([3, 4], "b"), "delete")
        table.write("upsert into a new partition", rows([2, 5, 11], "c", 3))
        table.write("insert overwrite", rows([20, 22], "d"), "insert_overwrite")
        table.write("clean", rows([5, 23], "e"), options=CLEAN_NOW)
        one = {"hoodie.datasource.write.partitions.to.delete": "p=p2"}
        table.write("delete partition", rows([11], "e"), "delete_partition", options=one)
        table.write("re-insert", rows([3, 4, 11], "f"))
        table.write("clean again", rows([1], "g"), options=CLEAN_NOW)
        return table

    return fill


def merge_on_read(features=(), **options):
    """Upserts, deletes and re-inserts with a compaction after each pair; ends uncompacted.

    Keys come back into the file group they were deleted from, so that a log that is attached to
    the wrong base file changes the answer.
    """

    def fill(spark, scratch, name):
        table = Table(spark, scratch, name, True, features, **options)
        table.write("insert", rows(range(1, 7), "a"))
        apart = {"hoodie.parquet.small.file.limit": "0"}
        table.write("insert into new file groups", rows(range(7, 11), "a"), options=apart)
        for mark, keys in (("b", [3, 4, 9, 10]), ("c", [1, 2, 7, 8])):
            table.write(f"upsert {mark}", rows([1, 5, 10], mark))
            table.write(f"delete {mark}", rows(keys, mark), "delete", options=COMPACT_NOW)
            table.write(f"re-insert {mark}", rows(keys, mark))
            table.write(f"upsert and compact {mark}", rows([5, 6], mark), options=COMPACT_NOW)
        table.write("upsert d", rows([2, 3, 10], "d"))
        table.write("delete d", rows([5], "d"), "delete")
        return table

    return fill


def archived(features=(), **options):
    """Small limits of archive and cleaner, and a compaction at every second write."""

    def fill(spark, scratch, name):
        table = Table(spark, scratch, name, True, features, **{**ARCHIVING, **options})
        table.write("insert", rows(range(1, 7), "a"))
        for number, mark in enumerate("bcdefgh"):
            compact = COMPACT_NOW if number % 2 else None
            keys = [1 + number % 6, 1 + (number + 3) % 6]
            table.write(f"upsert {mark}", rows(keys, mark), options=compact)
        table.write("delete", rows([2], "h"), "delete")
        return table

    return fill


def archived_copy_on_write(spark, scratch, name):
    """Small limits of archive and cleaner: a history that readers of slices consult."""
    table = Table(spark, scratch, name, False, ["archived"], **ARCHIVING)
    table.write("insert", rows(range(1, 7), "a"))
    for number, mark in enumerate("bcdefgh"):
        keys = [1 + number % 6, 1 + (number + 3) % 6]
        table.write(f"upsert {mark}", rows(keys, mark))
    table.write("delete", rows([2], "h"), "delete")
    return table


def growing(spark, scratch, name):
    """Each commit writes into an old partition and brings a new one, or fills an emptied one.

    A reader that lists partitions before a commit and files after it would see half of it.
    """
    table = Table(spark, scratch, name, False, ["growing"])
    old = [100, 200, 300]
    table.write("insert", rows(old, "a", 100), "insert")
    for new, mark in enumerate("bcdefg", 1):
        table.write(f"upsert, and bring p{new}", rows([*old, new], mark, 100))
    one = {"hoodie.datasource.write.partitions.to.delete": "p=p1"}
    table.write("delete partition", rows([1], "g", 100), "delete_partition", options=one)
    table.write("upsert, and fill p1 again", rows([*old, 1], "h", 100))
    return table


def pending_compaction(spark, scratch, name):
    """A compaction plan with delta commits on top of it, executed later."""
    table = Table(spark, scratch, name, True, ["pending_compaction"])
    table.write("insert", rows(range(1, 7), "a"))
    table.write("upsert b", rows([1, 2], "b"))
    schedule = "CALL run_compaction(op => 'schedule', path => '{path}')"
    soon = {"hoodie.compact.inline.max.delta.commits": "1"}
    table.sql("schedule", schedule, options=soon)
    table.write("upsert c", rows([2, 3], "c"))
    table.write("delete", rows([4], "c"), "delete")
    table.sql("execute", "CALL run_compaction(op => 'run', path => '{path}')", options=soon)
    table.write("upsert d", rows([5], "d"))
    return table


def unpartitioned(spark, scratch, name):
    """No partition column: data files at the root of the table."""
    generator = "org.apache.hudi.keygen.NonpartitionedKeyGenerator"
    table = Table(
        spark,
        scratch,
        name,
        False,
        hoodie__datasource__write__partitionpath__field="",
        hoodie__datasource__write__keygenerator__class=generator,
    )
    table.write("insert", rows(range(1, 5), "a"), "insert")
    table.write("upsert", rows([1, 5], "b"))
    table.write("delete", rows([2], "b"), "delete")
    table.write("insert overwrite table", rows([7, 8], "c"), "insert_overwrite_table")
    table.write("clean", rows([9], "d"), options=CLEAN_NOW)
    return table


TABLES = {
    "cow_v8": (V8, copy_on_write()),
    "mor_v8": (V8, merge_on_read()),
    "mor_v8_archived": (V8, archived(["archived"])),
    "cow_v6": (V6, copy_on_write()),
    "mor_v6": (V6, merge_on_read()),
    "mor_v6_archived": (V6, archived(["archived"])),
    "mor_v6_pending_compaction": (V6, pending_compaction),
    "cow_v9": (V9, copy_on_write()),
    "mor_v9": (V9, merge_on_read()),
    "v6_by_1_0": (V8, merge_on_read(hoodie__write__table__version="6")),
    "mor_v8_pending_compaction": (V8, pending_compaction),
    "cow_v8_unpartitioned": (V8, unpartitioned),
}
# What only engines tell apart; `run.sh engines` writes them to testdata/engines/hudi.
ENGINES = {
    "cow_v8_archived": (V8, archived_copy_on_write),
    "cow_v8_growing": (V8, growing),
}
