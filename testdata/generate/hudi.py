"""Writes the Hudi tables under testdata/hudi with real Spark; see testdata/README.md.

Usage: hudi.py --jars JARS --out DIRECTORY [NAME ...]

Bundles of different Hudi versions cannot share a JVM: each runs in a process of its own.
"""

import argparse
import functools
import os
import pathlib
import subprocess
import sys
import tempfile
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jars", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--bundle", help="write the tables of this Hudi version, in this process")
    parser.add_argument("--compare", action="store_true", help="read instead, with --bundle")
    parser.add_argument("names", nargs="*", help="tables to write; all when none is given")
    args = parser.parse_args()

    # Before Spark starts: PySpark converts collected timestamps in the process's zone.
    os.environ["TZ"] = "UTC"
    time.tzset()

    import hudi_actions
    import hudi_tables

    recorded = {**hudi_tables.TABLES, **hudi_actions.TABLES}
    tables = {**recorded, **hudi_tables.ENGINES}
    unknown = sorted(set(args.names) - set(tables))
    if unknown:
        parser.error(f"unknown tables {unknown}; there are {sorted(tables)}")
    names = args.names or list(recorded)
    if args.bundle:
        own = {name: tables[name][1] for name in names if tables[name][0] == args.bundle}
        if args.compare:
            others = [name for name in names if name not in own]
            return run_all(args, {name: compare for name in others})
        return run_all(args, {name: functools.partial(write, fill) for name, fill in own.items()})
    failed = 0
    command = [sys.executable, __file__, "--jars", args.jars, "--out", args.out]
    for bundle in dict.fromkeys(tables[name][0] for name in names):
        failed |= subprocess.run([*command, "--bundle", bundle, *names]).returncode
    newest = [*command, "--bundle", hudi_tables.V9, "--compare", *names]
    return failed | subprocess.run(newest).returncode


def run_all(args, jobs):
    """Runs a job for each table in one session; a failing table does not stop the others."""
    import hudi_session

    bundle = args.jars / f"hudi-spark3.5-bundle_2.12-{args.bundle}.jar"
    failed = 0
    with tempfile.TemporaryDirectory(prefix="driftless-testdata-") as folder:
        scratch = pathlib.Path(folder)
        spark = hudi_session.start(bundle, scratch)
        try:
            for name, job in jobs.items():
                started = time.monotonic()
                try:
                    report = job(spark, scratch, args, name)
                except (Exception, SystemExit) as error:
                    failed = 1
                    report = f"FAILED: {str(error)[:3000]}"
                print(f"{name}: {report}, {time.monotonic() - started:.0f} s", flush=True)
        finally:
            spark.stop()
    return failed


def write(fill, spark, scratch, args, name):
    """Writes one table with its history and answers."""
    table = fill(spark, scratch, name)
    expected = table.place(args.out.resolve(), args.bundle)
    size = sum(p.stat().st_size for p in (args.out / name).rglob("*") if p.is_file())
    return (
        f"{len(table.steps)} steps, {len(expected['instants'])} instants, "
        f"{len(expected['unreadable'])} unreadable, {size / 1000:.0f} kB"
    )


def compare(spark, scratch, args, name):
    """Reads a table of another Hudi version."""
    import hudi_session

    differing = hudi_session.compare(spark, scratch, args.out.resolve() / name, args.bundle)
    return f"{args.bundle} answers otherwise at {differing} instants"


if __name__ == "__main__":
    sys.exit(main())
