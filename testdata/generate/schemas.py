"""Tables about schemas: types, evolution, column mapping and rules on columns.

One function a table; it receives an empty [`session.Table`] and leaves 3 to 14 versions behind.
"""


def column_mapping_name(t):
    t.sql(
        """CREATE TABLE {t} (id BIGINT, name STRING, place STRUCT<city: STRING, zip: INT>)
            USING DELTA""",
        "INSERT INTO {t} VALUES (1, 'a', struct('x', 1)), (2, 'b', NULL)",
        # Mapping comes late, so the physical names of these columns are their first names.
        """ALTER TABLE {t} SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name',
            'delta.minReaderVersion' = '2', 'delta.minWriterVersion' = '5')""",
        "ALTER TABLE {t} RENAME COLUMN name TO `full name, ünicode; {braces}`",
        "INSERT INTO {t} VALUES (3, 'c', struct('z', 3))",
        "ALTER TABLE {t} RENAME COLUMN place.zip TO `zip.code`",
        "ALTER TABLE {t} ADD COLUMN (name INT)",
        "INSERT INTO {t} VALUES (4, 'd', struct(NULL, 4), 44)",
        "ALTER TABLE {t} DROP COLUMN `full name, ünicode; {braces}`",
        "UPDATE {t} SET name = -1 WHERE id < 3",
        "DELETE FROM {t} WHERE place.`zip.code` = 3",
    )


def column_mapping_id(t):
    t.sql(
        """CREATE TABLE {t} (id BIGINT, `part of` STRING, tags MAP<STRING, ARRAY<INT>>) USING DELTA
            PARTITIONED BY (`part of`) TBLPROPERTIES ('delta.columnMapping.mode' = 'id')""",
        "INSERT INTO {t} VALUES (1, 'x y', map('k', array(1, 2))), (2, NULL, map())",
        "ALTER TABLE {t} RENAME COLUMN `part of` TO part",
        "INSERT INTO {t} VALUES (3, 'z', map('k', array(3))), (4, 'x y', NULL)",
        "ALTER TABLE {t} DROP COLUMN tags",
        "ALTER TABLE {t} ADD COLUMN (tags STRING)",
        "INSERT INTO {t} VALUES (5, 'z', 'new')",
        "DELETE FROM {t} WHERE id = 1",
        "OPTIMIZE {t}",
    )


def type_widening(t):
    t.sql(
        """CREATE TABLE {t} (id TINYINT, s STRUCT<n: SMALLINT>, a ARRAY<TINYINT>) USING DELTA
            TBLPROPERTIES ('delta.enableTypeWidening' = 'true')""",
        "INSERT INTO {t} VALUES (1Y, struct(10S), array(1Y, NULL)), (-128Y, NULL, array())",
        "ALTER TABLE {t} ALTER COLUMN id TYPE SMALLINT",
        "INSERT INTO {t} VALUES (32767S, struct(-1S), array(3Y))",
        "ALTER TABLE {t} ALTER COLUMN s.n TYPE INT",
        "ALTER TABLE {t} ALTER COLUMN a.element TYPE INT",
        "INSERT INTO {t} VALUES (2S, struct(2147483647), array(70000))",
        "ALTER TABLE {t} ALTER COLUMN id TYPE INT",
        "INSERT INTO {t} VALUES (100000, struct(1), NULL)",
        "DELETE FROM {t} WHERE id = 1",
    )


def identity_and_generated(t):
    # SQL of Spark 3.5 has no words for these columns; Delta's builder has.
    builder = t.spark._jvm.io.delta.tables.DeltaTable
    session = t.spark._jsparkSession

    def column(name, data_type):
        return builder.columnBuilder(session, name).dataType(data_type)

    (
        builder.create(session)
        .location(str(t.path))
        .addColumn(column("id", "BIGINT").generatedAlwaysAsIdentity(1, 3).build())
        .addColumn(column("free", "BIGINT").generatedByDefaultAsIdentity(-1, -1).build())
        .addColumn("at", "TIMESTAMP")
        .addColumn(column("day", "DATE").generatedAlwaysAs("CAST(at AS DATE)").build())
        .partitionedBy(t.spark._jvm.PythonUtils.toSeq(["day"]))
        .execute()
    )
    t.sql(
        """INSERT INTO {t} (at) VALUES (TIMESTAMP'2024-01-01 10:00:00'),
            (TIMESTAMP'2024-01-02 11:00:00'), (NULL)""",
        "INSERT INTO {t} (free, at) VALUES (1000, TIMESTAMP'2024-01-02 00:00:00')",
        "UPDATE {t} SET at = TIMESTAMP'2024-01-03 00:00:00' WHERE id = 1",
        "INSERT INTO {t} (at) VALUES (TIMESTAMP'2024-01-03 12:00:00')",
        "DELETE FROM {t} WHERE day = DATE'2024-01-02'",
    )


def check_constraints_defaults(t):
    t.sql(
        """CREATE TABLE {t} (id BIGINT NOT NULL, kind STRING DEFAULT 'none, "so far"',
            n INT DEFAULT 7) USING DELTA
            TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')""",
        "INSERT INTO {t} (id) VALUES (1), (2)",
        "ALTER TABLE {t} ADD CONSTRAINT positive CHECK (n > 0 AND kind <> 'it''s')",
        "INSERT INTO {t} VALUES (3, DEFAULT, 3), (4, 'four', DEFAULT)",
        "ALTER TABLE {t} ALTER COLUMN n SET DEFAULT 8",
        "INSERT INTO {t} (id, kind) VALUES (5, 'five')",
        "ALTER TABLE {t} DROP CONSTRAINT positive",
        "ALTER TABLE {t} ALTER COLUMN id DROP NOT NULL",
        "INSERT INTO {t} VALUES (NULL, 'x', -1)",
        "UPDATE {t} SET n = DEFAULT WHERE id = 3",
    )


def replace(t):
    # By path, CREATE OR REPLACE insists on the old schema in these versions; by name it does not,
    # and neither takes AS SELECT, nor by name a second replacement once there are partitions.
    name = "replaced"
    location = f"LOCATION '{t.path}'"
    t.sql(
        f"CREATE TABLE {name} (id BIGINT, name STRING) USING DELTA {location}",
        "INSERT INTO {t} VALUES (1, 'a'), (2, 'b')",
        f"CREATE OR REPLACE TABLE {name} (day DATE, amount DECIMAL(9,2)) USING DELTA {location}",
        "INSERT INTO {t} VALUES (DATE'2024-01-01', 1.50), (DATE'2024-01-02', 2)",
        f"""CREATE OR REPLACE TABLE {name} (id BIGINT, kind STRING) USING DELTA
            PARTITIONED BY (kind) {location}""",
        "INSERT INTO {t} SELECT id, concat('k', id % 2) FROM range(0, 6, 1, 1)",
        "INSERT OVERWRITE {t} SELECT id, concat('k', id % 2) FROM range(10, 13, 1, 1)",
    )
    t.write(
        "SELECT id + 100 AS id, 'k1' AS kind FROM range(0, 2, 1, 1)",
        "overwrite",
        replaceWhere="kind = 'k1'",
    )
    t.write("SELECT 1.5D AS only", "overwrite", overwriteSchema="true")
    t.sql("INSERT INTO {t} VALUES (2.5D)")


def schema_evolution(t):
    t.sql(
        "CREATE TABLE {t} (id BIGINT) USING DELTA",
        "INSERT INTO {t} VALUES (1), (2)",
        "ALTER TABLE {t} ADD COLUMN (name STRING COMMENT 'added later' FIRST)",
        "INSERT INTO {t} VALUES ('three', 3)",
    )
    merge = {"mergeSchema": "true"}
    t.write("SELECT 4L AS id, struct(1 AS x) AS s", **merge)
    t.write("SELECT 5L AS id, struct(5 AS x, array('p', NULL) AS y) AS s", **merge)
    t.write(
        """SELECT 6L AS id, map('k', struct(true AS flag, array(map(1, 2.5D)) AS deep)) AS m,
            array(array(1), NULL, array()) AS a""",
        **merge,
    )
    t.sql("ALTER TABLE {t} ADD COLUMN (m.value.late DATE)")
    t.write(
        """SELECT 'seven' AS name, 7L AS id,
            struct(CAST(NULL AS INT) AS x, CAST(array() AS ARRAY<STRING>) AS y) AS s,
            map('', NULL, 'é', struct(CAST(NULL AS BOOLEAN) AS flag,
                CAST(NULL AS ARRAY<MAP<INT, DOUBLE>>) AS deep, DATE'2024-01-01' AS late)) AS m""",
        **merge,
    )
    t.sql("DELETE FROM {t} WHERE id = 2", "OPTIMIZE {t}")


PRIMITIVES = """id INT, bool BOOLEAN, byte TINYINT, short SMALLINT, long BIGINT, float FLOAT,
    double DOUBLE, d9 DECIMAL(9,2), d18 DECIMAL(18,4), d38 DECIMAL(38,10), text STRING,
    raw BINARY, day DATE, at TIMESTAMP, local TIMESTAMP_NTZ, code CHAR(3), label VARCHAR(5)"""


def all_types(t):
    nulls = ", ".join(["NULL"] * 16)
    t.sql(
        f"CREATE TABLE {{t}} ({PRIMITIVES}) USING DELTA",
        """INSERT INTO {t} VALUES
            (1, true, 1Y, 2S, 3L, 1.5F, 2.25D, 1.50, 1234.5678, 1.0000000001, 'text', X'00FF',
                DATE'2024-02-29', TIMESTAMP'2024-02-29 12:30:00.123456',
                TIMESTAMP_NTZ'2024-02-29 12:30:00.123456', 'ab', 'abc'),
            (2, false, -128Y, -32768S, -9223372036854775808L, float('-inf'), double('-inf'),
                -9999999.99, -99999999999999.9999, -9999999999999999999999999999.9999999999,
                '', X'', DATE'1900-01-01', TIMESTAMP'1900-01-01 00:00:00.000001',
                TIMESTAMP_NTZ'1900-01-01 00:00:00.000001', '', ''),
            (3, true, 127Y, 32767S, 9223372036854775807L, float('inf'), double('inf'),
                9999999.99, 99999999999999.9999, 9999999999999999999999999999.9999999999,
                'ünï 😀 \\n\\t\\0 \\\\', X'DEADBEEF', DATE'2199-12-31',
                TIMESTAMP'2199-12-31 23:59:59.999999',
                TIMESTAMP_NTZ'2199-12-31 23:59:59.999999', 'xyz', 'ü😀')""",
        f"INSERT INTO {{t}} VALUES (4, {nulls})",
        """INSERT INTO {t} VALUES
            (5, NULL, 0Y, 0S, 0L, float('nan'), double('nan'), 0, 0, 0, ' ', X'20',
                DATE'1970-01-01', TIMESTAMP'1970-01-01 00:00:00',
                TIMESTAMP_NTZ'1970-01-01 00:00:00', NULL, ' '),
            (6, NULL, -1Y, -1S, -1L, float('-0.0'), double('-0.0'), -0.01, -0.0001, -0.0000000001,
                'é', NULL, DATE'1969-12-31', TIMESTAMP'1969-12-31 23:59:59.999999',
                TIMESTAMP_NTZ'1969-12-31 23:59:59.999999', NULL, NULL),
            (7, NULL, NULL, NULL, NULL, float('1.4E-45'), double('4.9E-324'), NULL, NULL, NULL,
                NULL, NULL, NULL, NULL, NULL, NULL, NULL),
            (8, NULL, NULL, NULL, NULL, float('3.4028235E38'), 0.1D, NULL, NULL, NULL,
                NULL, NULL, NULL, NULL, NULL, NULL, NULL)""",
        "ALTER TABLE {t} ADD COLUMN (never STRING)",
        "UPDATE {t} SET text = NULL WHERE id = 1",
        "DELETE FROM {t} WHERE isnan(double)",
    )


def timestamps(t):
    t.sql("CREATE TABLE {t} (id INT, day DATE, at TIMESTAMP, local TIMESTAMP_NTZ) USING DELTA")
    # Far from 1970, where nanoseconds since then no longer fit 64 bits and calendars differ.
    far = """INSERT INTO {t} VALUES
        (%d, DATE'0002-01-01', TIMESTAMP'0002-01-01 00:00:00', TIMESTAMP_NTZ'0002-01-01 00:00:00'),
        (%d, DATE'1582-10-10', TIMESTAMP'1582-10-10 01:02:03', TIMESTAMP_NTZ'1582-10-10 01:02:03'),
        (%d, DATE'9999-12-31', TIMESTAMP'9999-12-31 23:59:59.999999',
            TIMESTAMP_NTZ'9999-12-31 23:59:59.999999')"""
    kinds = ["TIMESTAMP_MICROS", "INT96", "TIMESTAMP_MILLIS"]
    for i, kind in enumerate(kinds):
        with t.settings({"spark.sql.parquet.outputTimestampType": kind}):
            t.sql(far % (10 * i, 10 * i + 1, 10 * i + 2))


TABLES = {
    fill.__name__: fill
    for fill in (
        column_mapping_name,
        column_mapping_id,
        type_widening,
        identity_and_generated,
        check_constraints_defaults,
        replace,
        schema_evolution,
        all_types,
        timestamps,
    )
}
