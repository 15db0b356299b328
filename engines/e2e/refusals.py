"""What engines must not do: every write fails, at the metastore or at the store."""

import services
import trino

TABLE = "history"
TRINO = [
    f"INSERT INTO delta.delta.{TABLE} SELECT * FROM delta.delta.{TABLE}",
    f"DELETE FROM delta.delta.{TABLE}",
    f"DROP TABLE delta.delta.{TABLE}",
    "CREATE SCHEMA delta.another",
]
# Delta's own writes ask no metastore: what stops them is that the keys may only read.
SPARK = [
    f"INSERT INTO delta.{TABLE} SELECT * FROM delta.{TABLE}",
    f"DELETE FROM delta.{TABLE}",
    f"ALTER TABLE delta.{TABLE} SET TBLPROPERTIES ('a' = 'b')",
    f"DROP TABLE delta.{TABLE}",
    "CREATE DATABASE another",
]


def missing(client, session):
    """Statements that an engine carried out."""
    wrong = []
    for statement in TRINO:
        try:
            client.run(statement)
            wrong.append(f"Trino: {statement}")
        except trino.TrinoError:
            pass
    wrong += [f"Spark: {one}" for one in SPARK if "error" not in session.sql(one)]
    for text in wrong:
        services.say(f"FAILED not refused: {text}")
    services.say(f"{len(TRINO) + len(SPARK) - len(wrong)} writes of engines were refused")
    return wrong
