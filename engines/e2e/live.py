"""Tables that real writers change while engines read, for the long hunt.

What a commit made is read at the source by the session that made it, before its next commit.

# Invariants
- A Hudi step completes at most one instant that changes what is read; a clean may stand beside it.
"""

import hudi_session
import hudi_tables
import pump
import rows

CLEAN = "clean"
# Rows that a Delta step inserts.
INSERTED = 40
DELTA = {
    "delta.enableDeletionVectors": "true",
    "delta.checkpointInterval": "5",
}
HUDI = {
    **hudi_session.OPTIONS,
    "hoodie.clean.automatic": "true",
    "hoodie.clean.commits.retained": "6",
    "hoodie.cleaner.commits.retained": "6",
}
# Hudi's SQL procedures; Delta's extension is not beside it.
HUDI_SESSION = {
    "spark.sql.extensions": "org.apache.spark.sql.hudi.HoodieSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.hudi.catalog.HoodieCatalog",
    "spark.sql.catalogImplementation": "in-memory",
}
DELTA_SESSION = {"spark.sql.catalogImplementation": "in-memory"}


class Writer:
    """One table; `script` grows with each commit."""

    format = ""

    def __init__(self, name, session, lake, namespace, chance):
        self.name, self.session, self.chance = name, session, chance
        self.folder = lake.folder / namespace / name
        self.url = lake.url(f"{namespace}/{name}")
        self.script = pump.Script(self.format, name, [])
        self.step = 0

    def run(self, statement, **more):
        """Asks the session; a failure ends the hunt."""
        return self.checked(self.session.sql(statement, **more), statement)

    def load(self, **options):
        return self.checked(self.session.load(self.format, self.url, **options), "read it back")

    def checked(self, answer, what):
        if "error" in answer:
            raise SystemExit(f"write {self.name}: {what}: {answer['error']}")
        return answer

    def some(self, actions):
        """One action by chance."""
        return self.chance.choice(actions)()

    def state(self, path, read, base_files=None, instant=None):
        """A state that was just committed: what makes it visible, and answers of the session."""
        base_files = base_files or read
        known, base = ({key: one[key] for key in ("count", "hash")} for one in (read, base_files))
        schema = rows.schema_of(read["schema"])
        self.script.states.append(pump.State([(path, None)], known, base, schema, instant))


class Delta(Writer):
    """SQL on a Delta table by its path."""

    format = "delta"

    def commit(self):
        """One statement, and all versions that it made."""
        self.step += 1
        self.create() if self.step == 1 else self.some(self.actions())
        logs = sorted(self.folder.glob("_delta_log/[0-9]*.json"))
        for log in logs[len(self.script.states) :]:
            path = str(log.relative_to(self.folder))
            self.state(path, self.load(versionAsOf=int(log.stem)))

    @property
    def table(self):
        return f"delta.`{self.url}`"

    def create(self):
        properties = ", ".join(f"'{key}' = '{value}'" for key, value in DELTA.items())
        self.run(
            f"CREATE TABLE {self.table} (id BIGINT, p STRING, name STRING) USING delta "
            f"PARTITIONED BY (p) TBLPROPERTIES ({properties})"
        )

    def insert(self, more=""):
        first = self.step * INSERTED
        self.run(
            f"INSERT INTO {self.table} SELECT id, concat('p', id % 3), "
            f"concat('step-{self.step}-', id){more} FROM range({first}, {first + INSERTED})"
        )

    def delete(self):
        remainder = self.chance.randrange(7)
        self.run(f"DELETE FROM {self.table} WHERE id % 7 = {remainder}")

    def update(self):
        remainder = self.chance.randrange(5)
        self.run(f"UPDATE {self.table} SET name = 'step-{self.step}' WHERE id % 5 = {remainder}")

    def optimize(self):
        self.run(f"OPTIMIZE {self.table}")

    def actions(self):
        return [self.insert, self.insert, self.delete, self.update, self.optimize]


class GrowingDelta(Delta):
    """Columns are added, and filled by the next rows."""

    def __init__(self, *args):
        super().__init__(*args)
        self.added = 0

    def add(self):
        self.added += 1
        self.run(f"ALTER TABLE {self.table} ADD COLUMNS (c{self.added} BIGINT)")

    def fill(self):
        self.insert(", id" * self.added)

    def actions(self):
        return [self.fill, self.fill, self.add, self.update]


class Hudi(Writer):
    """Frames into a Hudi table, and procedures on it."""

    format = "hudi"
    kind = ""

    def __init__(self, *args):
        super().__init__(*args)
        self.known = set()

    def commit(self):
        """One step, and the instant that it completed."""
        self.step += 1
        self.insert() if self.step == 1 else self.some(self.actions())
        timeline = [str(f.relative_to(self.folder)) for f in self.folder.glob(".hoodie/timeline/*")]
        found = [match for match in map(hudi_session.COMPLETED.match, timeline) if match]
        new = [match for match in found if match[0] not in self.known]
        self.known |= {match[0] for match in new}
        changing = [match for match in new if match["action"] != CLEAN]
        if len(changing) > 1:
            raise SystemExit(f"write {self.name}: {len(changing)} instants in one step")
        for match in changing:
            read = self.load()
            view = {"hoodie.datasource.query.type": "read_optimized"}
            base_files = self.load(**view) if self.kind == "MERGE_ON_READ" else read
            self.state(match[0], read, base_files, match["instant"])

    def put(self, ids, partitions, operation="upsert", **options):
        rows_of_step = hudi_tables.rows(ids, f"step{self.step}", partitions)
        values = ", ".join(
            f"({i}L, '{p}', '{name}', float({amount}), date'{day}', {self.step}L)"
            for i, p, name, amount, day, _ in rows_of_step
        )
        statement = f"SELECT * FROM VALUES {values} AS t(id, p, name, amount, day, ts)"
        settings = {
            **HUDI,
            "hoodie.table.name": self.name,
            "hoodie.datasource.write.table.type": self.kind,
            "hoodie.datasource.write.operation": operation,
            **options,
        }
        mode = "append" if self.known else "overwrite"
        write = {"format": "hudi", "mode": mode, "path": self.url, "options": settings}
        self.run(statement, write=write)

    def insert(self):
        self.put(range(1, 13), 3)

    def update(self):
        self.put(self.chance.sample(range(1, 13), 4), 3)

    def delete(self):
        self.put(self.chance.sample(range(1, 13), 2), 3, "delete")


class CopyOnWrite(Hudi):
    """Commits that write into an old partition and bring a new one; clustering."""

    kind = "COPY_ON_WRITE"

    def grow(self):
        self.put([3000, 3000 + 10 * self.step + 3], 1000)

    def apart(self):
        self.put([12 + self.step], 3, **{"hoodie.parquet.small.file.limit": "0"})

    def cluster(self):
        self.run(f"CALL run_clustering(op => 'scheduleAndExecute', path => '{self.url}')")

    def actions(self):
        return [self.grow, self.grow, self.update, self.apart, self.delete, self.cluster]


class MergeOnRead(Hudi):
    """Upserts and deletes into logs; compaction."""

    kind = "MERGE_ON_READ"

    def compact(self):
        self.run("SET hoodie.compact.inline.max.delta.commits=1")
        self.run(f"CALL run_compaction(op => 'scheduleAndExecute', path => '{self.url}')")

    def actions(self):
        return [self.insert, self.update, self.update, self.delete, self.compact]


def writers(lake, namespaces, delta, hudi, chance):
    """Tables of the long hunt: those of each session, which `delta` and `hudi` are."""
    return [
        [
            Delta("live_deletion_vectors", delta, lake, namespaces["delta"], chance),
            GrowingDelta("live_columns", delta, lake, namespaces["delta"], chance),
        ],
        [
            CopyOnWrite("live_growing", hudi, lake, namespaces["hudi"], chance),
            MergeOnRead("live_merge_on_read", hudi, lake, namespaces["hudi"], chance),
        ],
    ]
