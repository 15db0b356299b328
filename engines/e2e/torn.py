"""The hunt for torn reads: tables change, two sites follow, and engines read all the while.

Driftless is killed at random and started again. Every answer must be a state that the source had
committed when the query ended, and never an older one than the same session saw before.

# Invariants
- A state is known by the count and the hash of its rows, as Spark wrote them down at the source.
- An answer of Spark in the columns of an earlier version is cut out of one whole version, which is
  read again to prove it: see SparkReader.crossed.
- States with equal rows are one: a session has seen the earliest that fits.
"""

import collections
import concurrent.futures
import dataclasses
import random
import time

import pump
import rows
import services
import trino

# Deletion vectors with OPTIMIZE; columns that are added; clustering; compaction.
SCRIPTS = [
    lambda: pump.delta("deletion_vectors_partitioned"),
    lambda: pump.delta("schema_evolution"),
    lambda: pump.hudi("cow_v8_clustering"),
    lambda: pump.hudi("mor_v8"),
]
# Between two commits of a table, and on average between two kills.
COMMIT_SECONDS = 4
KILL_SECONDS = 20
NAMESPACE = {"delta": "torn_delta", "hudi": "torn_hudi"}


@dataclasses.dataclass
class Live:
    """One table while it changes; `committed` holds when each state was committed, seconds."""

    script: pump.Script
    name: str
    committed: list = dataclasses.field(default_factory=list)

    @property
    def site_name(self):
        return f"{NAMESPACE[self.script.format]}.{self.name}"


class Hunt:
    """What all threads share."""

    def __init__(self, lake, scratch, register, seconds):
        self.lake, self.scratch, self.register = lake, scratch, register
        self.until = time.monotonic() + seconds
        self.live = {}
        self.failures = []
        self.queries = collections.Counter()
        self.crossed = collections.Counter()
        self.waits = collections.defaultdict(list)
        self.states = collections.defaultdict(set)

    def running(self):
        return time.monotonic() < self.until

    def change(self, make):
        """Plays one script again and again, each time as a new table, until the time is over."""
        script, generation = make(), 0
        while self.running():
            generation += 1
            table = Live(script, f"{script.name}_{generation}")
            folder = self.lake.folder / NAMESPACE[script.format] / table.name
            for number, state in enumerate(script.states):
                # Before it can be seen, so that nobody sees it too early.
                table.committed.append(time.monotonic())
                pump.apply(state, folder, self.scratch)
                if number == 0:
                    self.register(table, folder)
                    self.live[script.name] = table
                time.sleep(COMMIT_SECONDS)
                if not self.running():
                    return

    def read(self, reader):
        """One session: reads every table in turn, and judges what it gets."""
        seen = {}
        while self.running():
            for table in list(self.live.values()):
                if table.script.format not in reader.formats:
                    continue
                answer = reader.answer(table)
                now = time.monotonic()
                self.queries[reader.title] += 1
                if "error" in answer and table.name not in seen:
                    # Not published yet.
                    time.sleep(0.2)
                    continue
                self.judge(reader, table, answer, now, seen)

    def judge(self, reader, table, answer, now, seen):
        committed = sum(at <= now for at in table.committed)
        least = seen.get(table.name, 0)
        for number in range(committed):
            if reader.is_state(table.script, number, answer) and number >= least:
                if number > least or table.name not in seen:
                    self.waits[reader.title].append(now - table.committed[number])
                seen[table.name] = number
                self.states[reader.title].add((table.script.name, table.name, number))
                return
        crossed = reader.crossed(table, least, committed, answer)
        if crossed is not None:
            self.crossed[reader.title] += 1
            seen[table.name] = crossed
            return
        older = [n for n in range(least) if reader.is_state(table.script, n, answer)]
        what = f"state {older[-1]} after {least}" if older else "no committed state"
        shown = answer.get("error") or f"{answer['count']} rows"
        self.failures.append(f"{reader.title}, {table.site_name}: {what}: {shown}")
        services.say(f"FAILED {self.failures[-1]}")


class SparkReader:
    """Reads by name; `_hoodie_*` columns are left out by the session."""

    def __init__(self, title, session, formats=("delta", "hudi")):
        self.title, self.session, self.formats = title, session, formats

    def answer(self, table):
        return self.session.sql(f"SELECT * FROM {table.site_name}")

    def is_state(self, script, number, answer):
        wanted = script.states[number].rows
        return all(answer.get(key) == wanted[key] for key in ("count", "hash"))

    def crossed(self, table, least, committed, answer):
        """The version whose rows these are, in the columns of an earlier one; None for neither.

        Delta takes the columns of a query from the version at its analysis, and the rows from the
        version at its planning (TahoeLogFileIndex.getSnapshot): columns that a commit between the
        two adds are not in the answer.
        """
        if table.script.format != "delta" or "error" in answer:
            return None
        for number in range(least, committed):
            if table.script.states[number].rows["count"] != answer["count"]:
                continue
            statement = f"SELECT * FROM {table.site_name} VERSION AS OF {number}"
            found = self.session.sql(statement, **{"as": answer["schema"]})
            if found.get("hash") == answer["hash"]:
                return number
        return None


class TrinoReader:
    """Reads by name, from the catalogs of one site; merge-on-read in its base files."""

    formats = ("delta", "hudi")

    def __init__(self, title, client, prefix):
        self.title, self.client, self.prefix = title, client, prefix

    def answer(self, table):
        name = f"{self.prefix}{table.script.format}.{table.site_name}"
        try:
            columns, found = self.client.run(f"SELECT * FROM {name}")
        except trino.TrinoError as error:
            return {"error": str(error).splitlines()[0]}
        own = [column for column in columns if not column.startswith(rows.BOOKKEEPING)]
        return {"columns": columns, "own": sorted(own), "rows": found, "count": len(found)}

    def is_state(self, script, number, answer):
        state = script.states[number]
        names = sorted(field.name.lower() for field in state.schema.fields)
        if answer.get("own") != names or answer["count"] != state.base_files["count"]:
            return False
        try:
            found = rows.digest(answer["columns"], answer["rows"], state.schema)
        except ValueError:
            # Rows of another schema.
            return False
        return found == state.base_files

    def crossed(self, _table, _least, _committed, _answer):
        """Trino keeps one version from its first look to the end of a query."""
        return None


def hunted(hunt, readers, restart, seed):
    """Runs pumps, readers and kills until the time is over; whether nothing was wrong."""
    services.say(f"torn reads: seed {seed}")
    chance = random.Random(seed)
    kills = 0
    with concurrent.futures.ThreadPoolExecutor(len(SCRIPTS) + len(readers)) as pool:
        workers = [pool.submit(hunt.change, make) for make in SCRIPTS]
        workers += [pool.submit(hunt.read, reader) for reader in readers]
        while hunt.running() and not any(worker.done() for worker in workers):
            pause = chance.uniform(0.5, 1.5) * KILL_SECONDS
            time.sleep(min(pause, max(0, hunt.until - time.monotonic())))
            if hunt.running():
                restart()
                kills += 1
        for worker in workers:
            worker.result()
    services.say(f"Driftless was killed and started again {kills} times")
    for reader in readers:
        reported(hunt, reader)
    services.say(f"{len(hunt.failures)} answers were no committed state, or went back")
    return not hunt.failures


def reported(hunt, reader):
    """Says what one reader saw; one that saw no table of a script change is a failure."""
    found = hunt.states[reader.title]
    seen = collections.Counter(script for script, _, _ in found)
    tables = collections.Counter((script, table) for script, table, _ in found)
    for script in (live.script for live in hunt.live.values()):
        changes = max((n for (name, _), n in tables.items() if name == script.name), default=0)
        if script.format in reader.formats and changes < 2:
            hunt.failures.append(f"{reader.title}, {script.name}: {changes} states of any table")
            services.say(f"FAILED {hunt.failures[-1]}")
    waits = sorted(hunt.waits[reader.title])
    if waits:
        half, most = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
        states = ", ".join(f"{name} {count}" for name, count in sorted(seen.items()))
        services.say(
            f"{reader.title}: {hunt.queries[reader.title]} queries; states seen: {states}; from "
            f"commit at the source to visible: p50 {half:.1f} s, p99 {most:.1f} s; "
            f"{hunt.crossed[reader.title]} in the columns of the version before"
        )
