"""What engines must not do: every write fails, at the metastore or at the store.

One that has keys which may write is found.
"""

import time

import driftless
import services
import trino

TABLE = "history"
# What a replica is in that somebody wrote to, and how long it may take, in seconds.
DIVERGED = "diverged"
PATIENCE = 60
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


def unnoticed(here, session):
    """Has Spark commit to a replica, beside the store's keys; a list of what went wrong."""
    (east,) = here.sites
    name = f"delta.{TABLE}"
    folder = east.folder / driftless.place(name)
    answer = session.sql(f"INSERT INTO delta.`file://{folder}` SELECT * FROM {name}")
    if "error" in answer:
        return [f"Spark could not write into a replica: {answer['error']}"]
    client, began = here.service.client, time.monotonic()
    client.ask("POST", f"/v1/tables/{driftless.PROJECT}.{name}/sync", {})
    while (state := client.states()[name]) != DIVERGED:
        if time.monotonic() - began > PATIENCE:
            services.say(f"FAILED {name} is {state} after Spark wrote into its replica")
            return [f"{name} is {state}"]
        time.sleep(0.2)
    services.say(f"a commit of Spark's in the replica of {name} was found: {DIVERGED}")
    return []
