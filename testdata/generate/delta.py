"""Writes the Delta tables under testdata/delta with real Spark; see testdata/README.md.

Usage: delta.py --jars JARS --out DIRECTORY [NAME ...]
"""

import argparse
import os
import pathlib
import tempfile
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jars", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("names", nargs="*", help="tables to write; all when none is given")
    args = parser.parse_args()

    # Before Spark starts: PySpark converts collected timestamps in the process's zone.
    os.environ["TZ"] = "UTC"
    time.tzset()

    import changes
    import layouts
    import schemas
    import session

    tables = {**changes.TABLES, **layouts.TABLES, **schemas.TABLES}
    unknown = sorted(set(args.names) - set(tables))
    if unknown:
        parser.error(f"unknown tables {unknown}; there are {sorted(tables)}")
    with tempfile.TemporaryDirectory(prefix="driftless-testdata-") as folder:
        scratch = pathlib.Path(folder)
        spark = session.start(args.jars, scratch)
        try:
            for name in args.names or tables:
                write(spark, session, scratch, args.out.resolve(), name, tables[name])
        finally:
            spark.stop()


def write(spark, session, scratch, out, name, fill):
    """Writes one table and its expected.json, and prints one line about it."""
    started = time.monotonic()
    fill(session.Table(spark, scratch / name))
    content = session.place(spark, scratch, out, name, keep_side_files=name == "side_files")
    size = sum(p.stat().st_size for p in (out / name / "table").rglob("*") if p.is_file())
    print(
        f"{name}: {len(content['versions'])} versions read, "
        f"{len(content['unreadable'])} unreadable, {size / 1000:.0f} kB, "
        f"{time.monotonic() - started:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
