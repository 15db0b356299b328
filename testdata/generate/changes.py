"""Tables about row changes: how files come and go under DELETE, UPDATE, MERGE and OPTIMIZE.

One function a table; it receives an empty [`session.Table`] and leaves 3 to 14 versions behind.
"""

PEOPLE = "id BIGINT, name STRING, score DOUBLE"


def rows(start, end):
    """Query of rows of PEOPLE with ids in `start..end`."""
    return f"""SELECT /*+ COALESCE(1) */ id, concat('n', id) AS name, id / 4 AS score
        FROM range({start}, {end}, 1, 1)"""


def merge(start, end):
    """MERGE of `rows(start, end)`: known ids get a new score, ids divisible by 5 go."""
    return f"""MERGE INTO {{t}} AS target USING ({rows(start, end)}) AS source
        ON target.id = source.id
        WHEN MATCHED AND source.id % 5 = 0 THEN DELETE
        WHEN MATCHED THEN UPDATE SET score = source.score + 100
        WHEN NOT MATCHED THEN INSERT *"""


def history(t):
    t.sql(
        f"CREATE TABLE {{t}} ({PEOPLE}) USING DELTA",
        f"INSERT INTO {{t}} {rows(0, 20)}",
        f"INSERT INTO {{t}} {rows(20, 40)}",
        f"INSERT INTO {{t}} {rows(40, 50)}",
        "DELETE FROM {t} WHERE id IN (3, 25)",
        "UPDATE {t} SET name = upper(name) WHERE id BETWEEN 10 AND 12",
        merge(45, 60),
        "OPTIMIZE {t}",
        f"INSERT INTO {{t}} {rows(60, 70)}",
        "DELETE FROM {t} WHERE id >= 60",
        f"INSERT INTO {{t}} {rows(70, 75)}",
        "UPDATE {t} SET score = NULL WHERE id = 71",
        f"INSERT INTO {{t}} {rows(75, 80)}",
    )


PARTITION_VALUES = [
    "plain",
    "with space",
    "100%",
    "a%20b",
    "%25",
    "ünïcödé",
    "日本語",
    "😀 party",
    "a/b/c",
    "12:30:00",
    "k=v",
    "q?x#y&z",
    "plus+tilde~",
    "[brackets]{braces}",
    "back\\\\slash",
    'quote"s',
    "tab\\there",
    "...",
    " lead and trail ",
]


def partitions(t):
    t.sql("CREATE TABLE {t} (id BIGINT, part STRING) USING DELTA PARTITIONED BY (part)")
    values = ", ".join(f"""({i}L, '{text}')""" for i, text in enumerate(PARTITION_VALUES))
    t.sql(
        f"INSERT INTO {{t}} VALUES {values}",
        "INSERT INTO {t} VALUES (100L, NULL), (101L, ''), (102L, '__HIVE_DEFAULT_PARTITION__')",
        "INSERT INTO {t} VALUES (200L, 'a/b/c'), (201L, '😀 party'), (202L, 'a%20b')",
        "DELETE FROM {t} WHERE part = 'with space'",
        "UPDATE {t} SET part = '%2F moved' WHERE id = 200",
        "DELETE FROM {t} WHERE id = 8",
        "OPTIMIZE {t}",
    )


def partitions_typed(t):
    t.sql(
        """CREATE TABLE {t} (id BIGINT, day DATE, at TIMESTAMP, price DECIMAL(9,2), flag BOOLEAN,
            ratio DOUBLE, code SMALLINT) USING DELTA
            PARTITIONED BY (day, at, price, flag, ratio, code)""",
        """INSERT INTO {t} VALUES
            (1, DATE'2024-02-29', TIMESTAMP'2024-02-29 12:30:00.123456', 10.50, true, 0.1, 7S),
            (2, DATE'1969-12-31', TIMESTAMP'1969-12-31 23:59:59.999999', -0.01, false, -1e300, -7S),
            (3, NULL, NULL, NULL, NULL, NULL, NULL)""",
        """INSERT INTO {t} VALUES
            (4, DATE'2024-02-29', TIMESTAMP'2024-02-29 12:30:00.123456', 10.50, true, 0.1, 7S),
            (5, DATE'0001-01-01', TIMESTAMP'2024-01-01 00:00:00', 0, true, double('NaN'), 0S),
            (6, DATE'2024-01-01', TIMESTAMP'2024-01-01 00:00:00', 1, NULL, double('-Infinity'), 1S)
            """,
        "DELETE FROM {t} WHERE day IS NULL",
        "UPDATE {t} SET id = id + 10 WHERE price > 1",
    )


DELETION_VECTORS = "TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')"


def deletion_vectors(t):
    t.sql(
        f"CREATE TABLE {{t}} ({PEOPLE}) USING DELTA {DELETION_VECTORS}",
        f"INSERT INTO {{t}} {rows(0, 50)}",
        f"INSERT INTO {{t}} {rows(50, 100)}",
        "DELETE FROM {t} WHERE id = 7",
        # Two vectors in one file, one of them a replacement of the first vector.
        "DELETE FROM {t} WHERE id IN (8, 49, 51)",
        "UPDATE {t} SET name = 'changed' WHERE id % 25 = 1",
        merge(95, 105),
        # Every row of a file goes, so the file itself goes.
        "DELETE FROM {t} WHERE id >= 50 AND id < 100",
        f"INSERT INTO {{t}} {rows(200, 210)}",
        "DELETE FROM {t} WHERE id = 205",
        "REORG TABLE {t} APPLY (PURGE)",
        "DELETE FROM {t} WHERE id = 0",
    )


def deletion_vectors_partitioned(t):
    t.sql(
        f"""CREATE TABLE {{t}} (id BIGINT, part STRING) USING DELTA PARTITIONED BY (part)
            {DELETION_VECTORS}""",
        "INSERT INTO {t} SELECT id, concat('p ', id % 3) FROM range(0, 60, 1, 1)",
        "DELETE FROM {t} WHERE id % 10 = 0",
        "DELETE FROM {t} WHERE part = 'p 1'",
        "UPDATE {t} SET part = 'p %' WHERE id IN (2, 5)",
        "INSERT INTO {t} SELECT id, NULL FROM range(60, 70, 1, 1)",
        "DELETE FROM {t} WHERE part IS NULL AND id < 63",
        "OPTIMIZE {t}",
    )


def random_prefixes(t):
    t.sql(
        f"""CREATE TABLE {{t}} ({PEOPLE}) USING DELTA TBLPROPERTIES (
            'delta.enableDeletionVectors' = 'true', 'delta.enableChangeDataFeed' = 'true',
            'delta.randomizeFilePrefixes' = 'true', 'delta.randomPrefixLength' = '3')""",
        f"INSERT INTO {{t}} {rows(0, 20)}",
        f"INSERT INTO {{t}} {rows(20, 40)}",
        "DELETE FROM {t} WHERE id IN (1, 21)",
        "UPDATE {t} SET score = -1 WHERE id = 30",
        "DELETE FROM {t} WHERE id = 2",
    )


def change_data_feed(t):
    t.sql(
        f"CREATE TABLE {{t}} ({PEOPLE}) USING DELTA",
        f"INSERT INTO {{t}} {rows(0, 10)}",
        "ALTER TABLE {t} SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')",
        f"INSERT INTO {{t}} {rows(10, 20)}",
        "UPDATE {t} SET name = 'updated' WHERE id IN (4, 14)",
        "DELETE FROM {t} WHERE id = 5",
        merge(15, 25),
        # Whole files go: no change files, readers derive the changes from the removes.
        "DELETE FROM {t} WHERE id >= 0",
        f"INSERT INTO {{t}} {rows(30, 33)}",
    )


def row_tracking(t):
    t.sql(
        f"""CREATE TABLE {{t}} ({PEOPLE}) USING DELTA
            TBLPROPERTIES ('delta.enableRowTracking' = 'true')""",
        f"INSERT INTO {{t}} {rows(0, 20)}",
        f"INSERT INTO {{t}} {rows(20, 30)}",
        "UPDATE {t} SET name = 'updated' WHERE id IN (4, 24)",
        "DELETE FROM {t} WHERE id = 5",
        merge(25, 35),
        "OPTIMIZE {t}",
        f"INSERT INTO {{t}} {rows(40, 42)}",
    )


def row_tracking_backfill(t):
    t.sql(
        f"CREATE TABLE {{t}} ({PEOPLE}) USING DELTA",
        f"INSERT INTO {{t}} {rows(0, 10)}",
        f"INSERT INTO {{t}} {rows(10, 20)}",
        # Commits the same paths again, now with row ids.
        "ALTER TABLE {t} SET TBLPROPERTIES ('delta.enableRowTracking' = 'true')",
        "UPDATE {t} SET name = 'updated' WHERE id = 4",
        f"INSERT INTO {{t}} {rows(20, 25)}",
    )


def restore(t):
    t.sql(
        f"CREATE TABLE {{t}} ({PEOPLE}) USING DELTA {DELETION_VECTORS}",
        f"INSERT INTO {{t}} {rows(0, 10)}",
        f"INSERT INTO {{t}} {rows(10, 20)}",
        "DELETE FROM {t} WHERE id >= 10",
        "DELETE FROM {t} WHERE id = 3",
        "RESTORE TABLE {t} TO VERSION AS OF 2",
        "UPDATE {t} SET score = 0 WHERE id < 2",
        "RESTORE TABLE {t} TO VERSION AS OF 4",
        f"INSERT INTO {{t}} {rows(50, 52)}",
    )


def optimize_zorder(t):
    t.sql(f"CREATE TABLE {{t}} ({PEOPLE}) USING DELTA")
    for start in range(0, 40, 10):
        t.sql(f"INSERT INTO {{t}} {rows(start, start + 10)}")
    t.sql(
        "OPTIMIZE {t} ZORDER BY (score, name)",
        "DELETE FROM {t} WHERE id = 17",
        f"INSERT INTO {{t}} {rows(40, 45)}",
        "OPTIMIZE {t} WHERE true ZORDER BY (id)",
    )


def transactions(t):
    t.sql(f"CREATE TABLE {{t}} ({PEOPLE}) USING DELTA")
    for version in range(3):
        start = version * 5
        t.write(rows(start, start + 5), txnAppId="stream a", txnVersion=str(version))
    t.write(rows(100, 105), txnAppId="stream-ü", txnVersion="9223372036854775807")
    # Known to the table already: Spark writes no commit.
    t.write(rows(0, 5), txnAppId="stream a", txnVersion="1")
    t.write(rows(200, 203), txnAppId="stream a", txnVersion="7", userMetadata='{"job": 7}')


TABLES = {
    fill.__name__: fill
    for fill in (
        history,
        partitions,
        partitions_typed,
        deletion_vectors,
        deletion_vectors_partitioned,
        random_prefixes,
        change_data_feed,
        row_tracking,
        row_tracking_backfill,
        restore,
        optimize_zorder,
        transactions,
    )
}
