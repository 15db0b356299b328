"""The engines of the matrix: each answers what a table holds, at a site or at the source.

An answer is {"count", "hash"}, or {"error": TEXT}. Tables at a site are asked for by name where an
engine knows names, at the source by path where it can.
"""

import json
import os
import subprocess

import rows
import tables
import trino

SITE, SOURCE = "site", "source"


class Engine:
    """What an engine is called, and what it reads."""

    title = ""
    formats = ("delta", "hudi")

    def expected(self, table, version):
        """The answers that are right for this engine."""
        return table.answers[version]

    def versions(self, table):
        return list(table.answers) if table.format == "delta" else [tables.LATEST]


class SparkEngine(Engine):
    """Names at the site, paths at the source."""

    def __init__(self, title, session, lake, formats):
        self.title, self.session, self.lake, self.formats = title, session, lake, formats
        self.last = {}

    def answer(self, place, table, version):
        self.last = self.ask(place, table, version)
        return {key: value for key, value in self.last.items() if key != "schema"}

    def ask(self, place, table, version):
        if place == SITE:
            clause = f" VERSION AS OF {version}" if table.format == "delta" else ""
            for option, value in table.options.items():
                self.session.sql(f"SET {option}={value}")
            found = self.session.sql(f"SELECT * FROM {table.site_name}{clause}")
            for option in table.options:
                self.session.sql(f"RESET {option}")
            return found
        options = dict(table.options)
        if table.format == "delta":
            options["versionAsOf"] = version
        return self.session.load(table.format, self.lake.url(table.path), **options)


class SparkReadOptimized(SparkEngine):
    """Base files alone, by the row that ends in `_ro`."""

    def ask(self, place, table, version):
        if place == SITE:
            return self.session.sql(f"SELECT * FROM {table.site_name}_ro")
        view = {"hoodie.datasource.query.type": "read_optimized"}
        return self.session.load("hudi", self.lake.url(table.path), **view, **table.options)

    def expected(self, table, version):
        return table.read_optimized

    def versions(self, table):
        return [tables.LATEST] if table.merge_on_read else []


class TrinoEngine(Engine):
    title = "Trino 476"

    def __init__(self, client, schemas):
        self.client, self.schemas = client, schemas

    def expected(self, table, version):
        return table.read_optimized or table.answers[version]

    def answer(self, place, table, version):
        clause = f" FOR VERSION AS OF {version}" if table.format == "delta" else ""
        if place == SITE:
            name = f"{table.format}.{table.site_name}"
        else:
            name = f"source_{table.format}.{SOURCE}_{table.format}.{table.name}"
        statement = f"SELECT * FROM {name}{clause}"
        try:
            return rows.digest(*self.client.run(statement), self.schemas.of(table, version))
        except (trino.TrinoError, ValueError) as error:
            return {"error": first_line(error)}


class DuckEngine(Engine):
    title = "DuckDB 1.5.5"
    formats = ("delta",)

    def __init__(self, duck, lake, replica, schemas):
        self.duck, self.lake, self.replica, self.schemas = duck, lake, replica, schemas

    def answer(self, place, table, version):
        url = self.lake.url(table.path, "s3") if place == SOURCE else self.replica(table, "s3")
        try:
            return self.duck.answer(url, version, self.schemas.of(table, version))
        except ValueError as error:
            return {"error": first_line(error)}


class RowsEngine(Engine):
    """delta-rs and hudi-rs, in the program that `driftless verify --level rows` asks."""

    title = "delta-rs, hudi-rs"

    def __init__(self, program, lake, east, replica):
        self.program, self.lake, self.east, self.replica = program, lake, east, replica

    def answer(self, place, table, version):
        store, url = self.east, self.replica(table, "s3")
        if place == SOURCE:
            store, url = self.lake, self.lake.url(table.path, "s3")
        asked = {"url": url, "options": store.options(), "format": table.format}
        if table.format == "delta":
            asked["version"] = int(version)
        done = subprocess.run(
            [self.program],
            input=json.dumps({"op": "rows", "tables": [asked]}),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "RUST_LOG": "off"},
            check=False,
        )
        try:
            found = json.loads(done.stdout)
        except ValueError:
            return {"error": f"the judge ended with {done.returncode} and no answer"}
        if "error" in found and "tables" not in found:
            return {"error": found["error"]["message"]}
        (one,) = found["tables"]
        if one.get("error"):
            return {"error": one["error"]["message"]}
        return {"count": one["count"], "hash": one["hash"]}


def first_line(error):
    return (str(error).strip().splitlines() or ["no message"])[0][:300]
