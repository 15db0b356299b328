"""Real engines over replicas that the real `driftless serve` keeps: `./dev e2e`.

Usage: python engines/e2e --cache DIRECTORY --driftless BINARY [--rows BINARY] [--write]
       [--metastore driftless|reference] [--engine NAME]... [NAME...]
       python engines/e2e --cache DIRECTORY --driftless BINARY --torn SECONDS [--live] [--seed N]
       python engines/e2e --cache DIRECTORY --driftless BINARY --long [--seed N]

Starts an S3 server for the source and one for each site, Driftless, a reference Hive Metastore,
Trino and Spark, all on loopback. Everything that was started is ended, however the run ends.
"""

import argparse
import functools
import os
import pathlib
import random
import secrets
import signal
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.append(str(ROOT / "testdata" / "generate"))

import conformance  # noqa: E402
import driftless  # noqa: E402
import duck  # noqa: E402
import engines  # noqa: E402
import live  # noqa: E402
import mapping  # noqa: E402
import matrix  # noqa: E402
import pinned  # noqa: E402
import reference  # noqa: E402
import refusals  # noqa: E402
import rows  # noqa: E402
import services  # noqa: E402
import tables  # noqa: E402
import torn  # noqa: E402
import world  # noqa: E402

# Of `--long`.
LONG_SECONDS = 600
DOCUMENT = ROOT / "docs" / "engines.md"
TITLES = {
    "spark-3.5": "Spark 3.5.9",
    "spark-3.5-ro": "Spark 3.5.9, `_ro`",
    "trino": "Trino 476",
    "spark-4.0": "Spark 4.0.5",
    "duckdb": "DuckDB 1.5.5",
    "rows": "delta-rs, hudi-rs",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", required=True, type=pathlib.Path)
    parser.add_argument("--driftless", required=True, type=pathlib.Path)
    parser.add_argument("--rows", type=pathlib.Path, help="the row judge; without it a row says so")
    parser.add_argument("--metastore", choices=["driftless", "reference"], default="driftless")
    parser.add_argument("--engine", action="append", choices=TITLES, help="only these")
    parser.add_argument("--write", action="store_true", help="write the matrix into the document")
    parser.add_argument("--torn", type=int, metavar="SECONDS", help="hunt for torn reads instead")
    parser.add_argument(
        "--live", action="store_true", help="hunt among tables of live Spark writers"
    )
    parser.add_argument("--long", action="store_true", help="hunt among those for ten minutes")
    parser.add_argument(
        "--seed", type=int, help="of kills and writers", default=secrets.randbits(32)
    )
    parser.add_argument("names", nargs="*", help="only these tables")
    args = parser.parse_args()
    if args.long:
        args.torn, args.live = LONG_SECONDS, True
    os.environ["PATH"] = f"{args.cache / 'bin'}{os.pathsep}{os.environ['PATH']}"
    # A stop unwinds, so that servers are ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="driftless-e2e-") as folder:
        run = run_matrix if args.torn is None else run_torn
        return run(args, pathlib.Path(folder))


def run_matrix(args, scratch):
    known = tables.delta() + tables.hudi()
    if args.names:
        known = [table for table in known if table.name in args.names]
    with world.World(args, scratch, ["east"]) as here:
        (east,) = here.sites
        for table in known:
            if not (here.lake.folder / table.path).exists():
                table.place(here.lake.folder)
            source = f"{here.lake.bucket}:{table.path}"
            here.service.client.register(table.site_name, source, here.sites, table.policy)
        environment, keys = here.environment(east, here.service.metastore(east)), None
        address, hive = here.enter_context(reference.serving(args.cache, scratch, environment))
        if args.metastore == "reference":
            environment["DRIFTLESS_METASTORE"] = address
        else:
            here.enter_context(here.service.naming())
            if "trino" in (args.engine or TITLES) and not args.names:
                keys = here.enter_context(mapping.serving(here, mapping.source_of(here, known)))
        environment["DRIFTLESS_SOURCE_METASTORE"] = address
        spark_3 = here.spark("3.5", "spark-3.5", environment)
        wrong = unlike(here.service.client.settled())

        first = engines.SparkEngine(TITLES["spark-3.5"], spark_3, here.lake, ("delta", "hudi"))

        def source_schema(table, version):
            found = first.ask(engines.SOURCE, table, version).get("schema")
            return found and rows.schema_of(found)

        schemas = matrix.Schemas(source_schema)
        named(hive, known, here, args.metastore, schemas)
        if args.metastore == "driftless" and not args.engine:
            wrong += conformance.missing(here, hive, known, environment)
        others, missing = asked(args, here, environment, schemas, keys)
        wanted = args.engine or TITLES
        # What Trino and DuckDB return is judged in the schemas that Spark tells.
        firsts = [first] if {"spark-3.5", "trino", "duckdb"} & set(wanted) else []
        if "spark-3.5-ro" in wanted:
            title = TITLES["spark-3.5-ro"]
            firsts.append(engines.SparkReadOptimized(title, spark_3, here.lake, ("hudi",)))
        # First, so that the matrix shows that nothing was changed.
        clients = [engine.client for engine in others if isinstance(engine, engines.TrinoEngine)]
        if clients and args.metastore == "driftless" and not args.names:
            wrong += refusals.missing(clients[0], spark_3)
            wrong += mapping.missing(clients[0], keys)
            sparks = [first, *(one for one in others if isinstance(one, engines.SparkEngine))]
            wrong += pinned.missing(here, known, clients[0], sparks)
        cells = matrix.all_judged(firsts, others, known, schemas)
        if clients and not args.names:
            wrong += refusals.unnoticed(here, spark_3)
    return concluded(args, cells, known, missing, wrong)


def unlike(states):
    """Tables whose state is not the one that is meant."""
    wrong = [
        f"{name} is {state}"
        for name, state in states.items()
        if state != ("blocked" if name in tables.BLOCKED else driftless.DONE)
    ]
    for text in wrong:
        services.say(f"FAILED {text}")
    return wrong


def asked(args, here, environment, schemas, keys):
    """The engines beside Spark 3.5, started; and those that are missing, and why."""
    wanted = args.engine or TITLES
    (east,) = here.sites
    lake, found, missing = here.lake, [], {}

    def replica(table, scheme):
        return here.replica(east, table, scheme)

    if "trino" in wanted:
        source = {
            "DRIFTLESS_SITE": "DRIFTLESS_SOURCE",
            "DRIFTLESS_METASTORE": "DRIFTLESS_SOURCE_METASTORE",
        }
        more = world.catalogs("source_", source)
        if keys:
            environment, more = environment | keys.environment, more | keys.catalogs
        client = here.trino(environment, more)
        found.append(engines.TrinoEngine(client, schemas))
    if "spark-4.0" in wanted:
        session = here.spark("4.0", "spark-4.0", environment)
        found.append(engines.SparkEngine(TITLES["spark-4.0"], session, lake, ("delta",)))
    if "duckdb" in wanted:
        found.append(engines.DuckEngine(duck.Duck([lake, east]), lake, replica, schemas))
    if "rows" in wanted and args.rows:
        found.append(engines.RowsEngine(args.rows, lake, east, replica))
    elif "rows" in wanted:
        missing[TITLES["rows"]] = "the row judge was not built"
    return found, missing


def named(hive, known, here, metastore, schemas):
    """Registers the tables of the source with the reference; with `reference` the replicas too."""
    (east,) = here.sites
    made = set()
    for table in known:
        schema = schemas.ask(table, tables.LATEST) if table.format == "hudi" else None
        places = {}
        if table.namespace == table.format:
            folder = here.lake.folder / table.path
            places[f"{engines.SOURCE}_{table.format}"] = (here.lake.url(table.path), folder)
        if metastore == "reference":
            location = here.replica(east, table)
            places[table.namespace] = (location, east.folder / location.removeprefix(east.url("")))
        for database, (location, folder) in places.items():
            if database not in made:
                hive.database(database, location.rpartition("/")[0])
                made.add(database)
            hive.register(database, table, location, folder, schema)


def concluded(args, cells, known, missing, wrong):
    """Compares the document; the exit code."""
    failed = bool(wrong) or any(cell.failures for cell in cells.values())
    text = matrix.rendered(cells, known, list(TITLES.values()), missing)
    if args.names or args.engine:
        print(text)
    elif not matrix.compared(DOCUMENT, text, args.write):
        services.say(f"FAILED {DOCUMENT} holds another matrix; --write puts this one there")
        failed = True
    services.say("FAILED" if failed else "every engine read every replica as it reads the source")
    return int(failed)


def run_torn(args, scratch):
    with world.World(args, scratch, ["east", "west"]) as here:
        east, west = here.sites
        here.enter_context(here.service.naming())
        # At one site engines also know the metastore that is killed with the daemon.
        metastores = {"east": here.service.both(east), "west": here.service.metastore(west)}
        environment = here.environment(east, metastores["east"])
        environment["DRIFTLESS_WEST_METASTORE"] = metastores["west"]
        environment |= west.environment("WEST")
        variables = {
            "DRIFTLESS_SITE": "DRIFTLESS_WEST",
            "DRIFTLESS_METASTORE": "DRIFTLESS_WEST_METASTORE",
        }
        client = here.trino(environment, world.catalogs("west_", variables))
        readers = [
            torn.TrinoReader("Trino 476 at east", client, east, ""),
            torn.TrinoReader("Trino 476 at west", client, west, "west_"),
        ]
        for site in here.sites:
            name = site.bucket
            session = here.spark("3.5", f"spark-{name}", here.environment(site, metastores[name]))
            readers.append(torn.SparkReader(f"Spark 3.5.9 at {name}", session, site))

        environment = here.environment(east, metastores["east"])
        session = here.spark("4.0", "spark-4.0", environment)
        readers.append(torn.SparkReader("Spark 4.0.5 at east", session, east, ("delta",)))

        def register(table, folder):
            source = f"{here.lake.bucket}:{folder.relative_to(here.lake.folder)}"
            policy = {"poll_seconds": 1, "start": "earliest"}
            here.service.client.register(table.site_name, source, here.sites, policy)

        groups = []
        if args.live:
            delta = here.writer("spark-delta-writer", live.DELTA_SESSION)
            hudi = here.writer("spark-hudi-writer", live.HUDI_SESSION)
            chance = random.Random(args.seed)
            groups = live.writers(here.lake, torn.NAMESPACE, delta, hudi, chance)
        hunt = torn.Hunt(here.lake, scratch, register, args.torn)
        changes = [functools.partial(hunt.write, group) for group in groups]
        changes = changes or [functools.partial(hunt.change, make) for make in torn.SCRIPTS]
        right = torn.hunted(hunt, changes, readers, here.restart, args.seed)
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())
