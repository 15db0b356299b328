"""Tables that change while engines read: recorded states of testdata, made one by one in a store.

# Invariants
- A file appears whole, by a rename, as an object does.
- What makes a state visible comes last in its events.
"""

import dataclasses
import json
import os
import shutil

import hudi_session
import tables
from pyspark.sql import types as t


@dataclasses.dataclass
class State:
    """One committed state: the events that make it, and what is then read.

    An event is (path in the table, file that is put there or None for a deletion); the last one
    makes the state visible. `instant` is Hudi's name of it, where no earlier state has a later one.
    """

    events: list
    rows: dict
    base_files: dict
    schema: t.StructType
    instant: str | None = None

    @property
    def revealed_by(self):
        """The path whose object makes it visible, at the source and at a site."""
        return self.events[-1][0]


@dataclasses.dataclass
class Script:
    """The life of one table."""

    format: str
    name: str
    states: list


def delta(name):
    """Commits one by one. Files that commits name are there from the start, which nobody sees."""
    source = tables.TESTDATA / "delta" / name
    expected = json.loads((source / "expected.json").read_text(encoding="utf-8"))["versions"]
    table = source / "table"
    data = [file for file in sorted(table.rglob("*")) if file.is_file()]
    events = [
        (str(file.relative_to(table)), file) for file in data if file.parent != table / "_delta_log"
    ]
    states, schema = [], None
    for version in sorted(expected, key=int):
        log = f"_delta_log/{int(version):020}.json"
        events.append((log, table / log))
        schema = _schema(table / log) or schema
        rows = expected[version]
        states.append(State(events, rows, rows, schema))
        events = []
    return Script("delta", name, states)


def _schema(log):
    """Spark's schema, where a commit sets it."""
    for line in log.read_text(encoding="utf-8").splitlines():
        if "metaData" in (action := json.loads(line)):
            return t.StructType.fromJson(json.loads(action["metaData"]["schemaString"]))
    return None


def hudi(name):
    """Everything that a writer did, in its order, up to each completed instant."""
    folder = tables.hudi_fixture(name)
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    known = json.loads((folder / "expected.json").read_text(encoding="utf-8"))["instants"]
    known = iter(known)
    states, events, newest = [], [], ""
    for step in history["steps"]:
        for event in step["events"]:
            path = event.get("put") or event["delete"]
            file = folder / "objects" / event["object"] if "object" in event else None
            events.append((path, file))
            completed = file is not None and hudi_session.COMPLETED.match(path)
            if not completed:
                continue
            entry = next(known)
            if "rows" in entry:
                base = entry.get("read_optimized", entry["rows"])
                instant = completed["instant"] if completed["instant"] > newest else None
                newest = max(newest, completed["instant"])
                schema = hudi_session.SCHEMA
                states.append(State(events, entry["rows"], base, schema, instant))
                events = []
    return Script("hudi", name, states)


def apply(state, folder, scratch):
    """Makes one state in the folder of a table."""
    staged = scratch / f"staged-{folder.name}"
    for path, file in state.events:
        target = folder / path
        if file is None:
            target.unlink()
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, staged)
        os.replace(staged, target)
