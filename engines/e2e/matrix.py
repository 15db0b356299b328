"""The matrix: which engine reads which table, at a site and, where that fails, at the source.

# Invariants
- An answer is compared with expected.json, which Spark wrote at the source; never with another
  engine's.
- A gap is an engine's own only where it answers the same at the source, and GAPS says why. Anything
  else is a failure.
"""

import concurrent.futures
import dataclasses
import difflib
import re
import threading
import time

import engines
import rows
import services
import tables

BEGIN, END = "<!-- matrix: ./dev e2e writes this -->", "<!-- end of the matrix -->"
# Why engines cannot, by engine and table.
ROUNDS = "its Delta connector rounds `timestamp` to milliseconds"
GAPS = {
    ("Trino 476", "all_types"): f"{ROUNDS}, and `CHAR(n)` is not padded, as Spark pads it",
    ("Trino 476", "partitions_typed"): ROUNDS,
    ("Trino 476", "timestamps"): f"{ROUNDS}, and so the last one of the year 9999 out of range",
    ("Trino 476", "cow_v8_archived"): "it fails where it reads the archived history",
    ("Trino 476", "schema_evolution_v8"): "a column that was renamed is NULL in older base files",
    ("DuckDB 1.5.5", "all_types"): "`CHAR(n)` is not padded, as Spark pads it",
    ("DuckDB 1.5.5", "column_mapping_id"): "partition columns that are mapped by id are NULL",
    ("delta-rs, hudi-rs", "all_types"): "`CHAR(n)` is not padded, as Spark pads it",
    ("delta-rs, hudi-rs", "schema_evolution"): "delta-rs lacks fields added in a map's values",
    ("delta-rs, hudi-rs", "type_widening"): "delta-rs lacks `typeWidening-preview`",
    ("delta-rs, hudi-rs", "schema_evolution_v8"): "hudi-rs lacks schema on read",
}
# What nobody can run.
NEVER = {
    "Hudi in Spark 4.0": "Hudi has no bundle for it",
    "Hudi in DuckDB": "it has no extension for it",
    "older instants of Hudi in Trino": "its connector takes no version",
}
# How long an engine may be silent, in seconds.
PATIENCE = 30


@dataclasses.dataclass
class Cell:
    """How one engine read one table: versions right, gaps of the engine, and failures."""

    right: int = 0
    gaps: int = 0
    failures: list = dataclasses.field(default_factory=list)

    @property
    def asked(self):
        return self.right + self.gaps + len(self.failures)


def judged(engine, known, cells, schemas=None):
    """Asks one engine for everything that it reads; fills `cells[table, engine]`."""
    started = told = time.monotonic()
    mine = []
    for table in known:
        cell = Cell()
        for version in engine.versions(table) if table.format in engine.formats else []:
            verdict(engine, table, version, cell, schemas)
        if cell.asked:
            cells[table.site_name, engine.title] = cell
            mine.append(cell)
        if time.monotonic() - told > PATIENCE:
            told = time.monotonic()
            services.say(f"{engine.title}: {sum(cell.asked for cell in mine)} answers so far")
    took = time.monotonic() - started
    right, asked = sum(cell.right for cell in mine), sum(cell.asked for cell in mine)
    gaps = sum(cell.gaps for cell in mine)
    services.say(
        f"{engine.title}: {right} of {asked} answers right, {gaps} gaps of its own, "
        f"{asked - right - gaps} FAILED; {took:.0f} s"
    )


def verdict(engine, table, version, cell, schemas):
    """Judges one answer. `schemas` is filled by the engine that reads first."""
    expected = engine.expected(table, version)
    answer = engine.answer(engines.SITE, table, version)
    if schemas is not None:
        schemas.learn(engine, table, version)
    if answer in expected:
        cell.right += 1
        return
    source = engine.answer(engines.SOURCE, table, version)
    here, there = (reason(one, expected, table) for one in (answer, source))
    same = here == there if "error" in answer else answer == source
    if same and (engine.title, table.name) in GAPS:
        cell.gaps += 1
        return
    unexplained = "; nobody has explained it" if same else ""
    cell.failures.append(f"version {version}: {here}; at the source: {there}{unexplained}")
    services.say(f"FAILED {engine.title}, {table.site_name} {cell.failures[-1]}")


def reason(answer, expected, table):
    """Why an answer is not right, without what differs between a site and the source."""
    if "error" in answer:
        # The same failure has the class in front or not, by where in a query it happens.
        text = re.sub(r"^([a-z]\w*\.)+\w+(Exception|Error): ", "", answer["error"])
        text = re.sub(r"\S*://\S+", "URL", text)
        text = re.sub(r"[\w-]+\.[\w-]+\." + table.name, table.name, text)
        return re.sub(r"\b\d{8,}\b|[0-9a-f]{8}-[0-9a-f-]{20,}", "N", text)[:200]
    if answer in expected:
        return "right"
    return f"{answer['count']} rows instead of {expected[0]['count']}" + (
        ", other values" if answer["count"] == expected[0]["count"] else ""
    )


def all_judged(first, others, known, schemas):
    """All engines side by side; those of `first` share a session, and teach the schemas."""
    cells = {}

    def one_by_one():
        try:
            for engine in first:
                judged(engine, known, cells, schemas)
        finally:
            schemas.close()

    with concurrent.futures.ThreadPoolExecutor(len(others) + 1) as pool:
        runs = [pool.submit(one_by_one)]
        runs += [pool.submit(judged, engine, known, cells) for engine in others]
        for run in runs:
            run.result()
    return cells


class Schemas:
    """Spark's schema of each table and version, for engines that must wait until it is known."""

    def __init__(self, ask):
        self.ask = ask
        self.known = {}
        self.closed = False
        self.changed = threading.Condition()

    def learn(self, engine, table, version):
        """Keeps the schema of the engine's last answer, or the one at the source."""
        if (table.path, version) in self.known:
            return
        found = engine.last.get("schema")
        schema = rows.schema_of(found) if found else self.ask(table, version)
        with self.changed:
            self.known[table.path, version] = schema
            self.changed.notify_all()

    def close(self):
        """Nothing more will be learned."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def of(self, table, version):
        """The schema, once it is known; raises ValueError where it never will be."""
        key = table.path, version
        with self.changed:
            self.changed.wait_for(lambda: key in self.known or self.closed)
        if self.known.get(key) is None:
            raise ValueError("Spark could not tell the schema")
        return self.known[key]


def rendered(cells, known, titles, missing):
    """Markdown of the matrix; `missing` are engines that could not be had, and why."""
    notes = {}
    lines = []
    for namespace in dict.fromkeys(table.namespace for table in known):
        group = [table for table in known if table.namespace == namespace]
        columns = [t for t in titles if any((g.site_name, t) in cells for g in group)]
        lines += [f"### {heading(namespace)}", ""]
        lines.append(f"| table | {' | '.join(columns)} |")
        lines.append("|---" * (len(columns) + 1) + "|")
        for table in group:
            row = [(cells.get((table.site_name, title)), title) for title in columns]
            texts = [text(cell, title, table, notes) for cell, title in row]
            lines.append(f"| `{table.name}` | {' | '.join(texts)} |")
        lines.append("")
    lines += [f"{number}. {note}" for note, number in notes.items()]
    lines.append("")
    lines += [f"- {name}: not run, {why}" for name, why in {**NEVER, **missing}.items()]
    return "\n".join([BEGIN, "", *lines, "", END])


def heading(namespace):
    return {
        "delta": "Delta",
        "hudi": "Hudi",
        tables.WITHOUT_HISTORY: 'Hudi with `{"hudi_history": "omit"}`',
    }[namespace]


def text(cell, title, table, notes):
    """One cell: counts, and the number of its note."""
    if cell is None:
        return "-"
    counts = f"{cell.right} of {cell.asked}"
    if cell.failures:
        return f"**{counts}: FAILED**"
    if not cell.gaps:
        return counts
    note = f"{title}, `{table.name}`: {GAPS[title, table.name]}"
    return f"{counts} [{notes.setdefault(note, len(notes) + 1)}]"


def compared(file, matrix, write):
    """Puts the matrix into a document, or says how it differs; whether it is as it was."""
    document = file.read_text(encoding="utf-8")
    before, _, rest = document.partition(BEGIN)
    old, _, after = rest.partition(END)
    wanted = before + matrix + after
    if wanted == document:
        return True
    if write:
        file.write_text(wanted, encoding="utf-8")
        return True
    old = (BEGIN + old + END).splitlines()
    for line in difflib.unified_diff(old, matrix.splitlines(), str(file), "now", lineterm="", n=0):
        print(line)
    return False
