"""The hunt for torn reads: tables change, two sites follow, and engines read all the while.

Driftless is killed at random and started again. Every answer must be a state that the source had
committed when the query ended, and never an older one than the same session saw before. Now and
then a session asks for an earlier state by its version or instant, and must get that one.

# Invariants
- A state is known by the count and the hash of its rows, as Spark wrote them down at the source.
- An answer of Spark in the columns of an earlier version is cut out of one whole version, which is
  read again to prove it: see SparkReader.crossed.
- States with equal rows are one: a session has seen the earliest that fits.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import random
import time

import driftless
import freshness
import pump
import rows
import services
import trino

# Deletion vectors with OPTIMIZE; columns that are added; clustering; partitions that come, go and
# come again; compaction.
SCRIPTS = [
    lambda: pump.delta("deletion_vectors_partitioned"),
    lambda: pump.delta("schema_evolution"),
    lambda: pump.hudi("cow_v8_clustering"),
    lambda: pump.hudi("cow_v8_growing"),
    lambda: pump.hudi("mor_v8"),
]
# Between two commits of a table, and on average between two kills.
COMMIT_SECONDS = 4
KILL_SECONDS = 20
# So many queries for the newest state, then one for an earlier one.
NEWEST_QUERIES = 4
NAMESPACE = {"delta": "torn_delta", "hudi": "torn_hudi"}


@dataclasses.dataclass
class Live:
    """One table while it changes.

    `committed` holds when the commit of each state began, `pending` when one began of which it is
    not known yet what it makes.
    """

    script: pump.Script
    name: str
    committed: list = dataclasses.field(default_factory=list)
    pending: float | None = None

    @property
    def site_name(self):
        return f"{NAMESPACE[self.script.format]}.{self.name}"

    def is_unknown(self, at):
        """Whether a commit began by then of which it is not known yet what it makes."""
        began = self.pending
        return began is not None and began <= at

    @contextlib.contextmanager
    def committing(self):
        """One commit by a writer that learns only afterwards what it made."""
        self.pending = began = time.monotonic()
        try:
            yield
        finally:
            new = len(self.script.states) - len(self.committed)
            self.committed += [began] * new
            self.pending = None


class Hunt:
    """What all threads share."""

    def __init__(self, lake, scratch, register, seconds):
        self.lake, self.scratch, self.register = lake, scratch, register
        self.until = time.monotonic() + seconds
        self.live = {}
        self.tables = []
        self.failures = []
        self.queries = collections.Counter()
        self.crossed = collections.Counter()
        self.earlier = collections.Counter()
        self.waits = collections.defaultdict(list)
        self.refused = {}
        self.looks = collections.defaultdict(list)
        self.states = collections.defaultdict(set)

    def running(self):
        return time.monotonic() < self.until

    def folder(self, table):
        """Of a table at the source."""
        return self.lake.folder / NAMESPACE[table.script.format] / table.name

    def show(self, table):
        """Registers a table that has its first state, and lets sessions read it."""
        self.register(table, self.folder(table))
        self.live[table.script.name] = table
        self.tables.append(table)

    def change(self, make):
        """Plays one script again and again, each time as a new table, until the time is over."""
        script, generation = make(), 0
        while self.running():
            generation += 1
            table = Live(script, f"{script.name}_{generation}")
            for number, state in enumerate(script.states):
                # Before it can be seen, so that nobody sees it too early.
                table.committed.append(time.monotonic())
                pump.apply(state, self.folder(table), self.scratch)
                if number == 0:
                    self.show(table)
                time.sleep(COMMIT_SECONDS)
                if not self.running():
                    return

    def write(self, writers):
        """Lets writers commit in turn, which share a session, until the time is over."""
        tables = [(Live(writer.script, writer.name), writer) for writer in writers]
        while self.running():
            for table, writer in tables:
                with table.committing():
                    writer.commit()
                if table.committed and writer.name not in self.live:
                    self.show(table)

    def read(self, reader):
        """One session: reads every table in turn, and judges what it gets."""
        seen = {}
        while self.running():
            for table in list(self.live.values()):
                if table.script.format not in reader.formats:
                    continue
                began = time.time()
                answer = reader.answer(table)
                ended = time.time()
                self.queries[reader.title] += 1
                if "error" in answer and table.name not in seen:
                    # Not published yet.
                    self.refused[reader.title, table.script.name] = answer["error"]
                    time.sleep(0.2)
                    continue
                newest = self.judge(reader, table, answer, time.monotonic(), seen)
                if newest is not None:
                    look = freshness.Look(table.name, began, ended, newest)
                    self.looks[reader.title].append(look)
                if self.queries[reader.title] % NEWEST_QUERIES == 0 and table.name in seen:
                    self.look_back(reader, table, seen[table.name])

    def look_back(self, reader, table, newest):
        """Reads an earlier state, or the one that was seen last, by its name."""
        number = self.earlier[reader.title] % (newest + 1)
        answer = reader.earlier(table, number)
        if answer is None:
            return
        self.earlier[reader.title] += 1
        if not reader.is_state(table.script, number, answer):
            shown = answer.get("error") or f"{answer['count']} rows"
            self.fail(f"{reader.title}, {table.site_name}: state {number} by its name: {shown}")

    def judge(self, reader, table, answer, now, seen):
        """Judges an answer that was there at `now`; the newest state that it may be, if any."""
        # Once it is False, all that was begun by then is in `committed`.
        while (unknown := table.is_unknown(now)) and self.running():
            time.sleep(0.1)
        committed = sum(at <= now for at in table.committed)
        least = seen.get(table.name, 0)
        script = table.script
        fitting = [n for n in range(committed) if reader.is_state(script, n, answer)]
        number = next((n for n in fitting if n >= least), None)
        if number is None:
            number = reader.crossed(table, least, committed, answer)
            self.crossed[reader.title] += number is not None
        elif number > least or table.name not in seen:
            self.waits[reader.title].append(now - table.committed[number])
        if number is not None:
            seen[table.name] = number
            self.states[reader.title].add((script.name, table.name, number))
            return max([number, *fitting])
        if unknown:
            # The time is over before anybody knows.
            return None
        what = f"state {fitting[-1]} after {least}" if fitting else "no committed state"
        shown = answer.get("error") or f"{answer['count']} rows"
        self.fail(f"{reader.title}, {table.site_name}: {what}: {shown}")
        return None

    def fail(self, text):
        self.failures.append(text)
        services.say(f"FAILED {text}")


class SparkReader:
    """Reads by name; `_hoodie_*` columns are left out by the session."""

    def __init__(self, title, session, site, formats=("delta", "hudi")):
        self.title, self.session, self.site, self.formats = title, session, site, formats

    def answer(self, table):
        return self.session.sql(f"SELECT * FROM {table.site_name}")

    def earlier(self, table, number):
        """One state by its version, or by its instant: that only with Hudi's extension by name."""
        if table.script.format == "delta":
            return self.session.sql(f"SELECT * FROM {table.site_name} VERSION AS OF {number}")
        instant = table.script.states[number].instant
        if instant is None:
            return None
        options = {"as.of.instant": instant}
        return self.session.load("hudi", self.site.url(driftless.place(table.site_name)), **options)

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

    def __init__(self, title, client, site, prefix):
        self.title, self.client, self.site, self.prefix = title, client, site, prefix

    def answer(self, table, clause=""):
        name = f"{self.prefix}{table.script.format}.{table.site_name}"
        try:
            columns, found = self.client.run(f"SELECT * FROM {name}{clause}")
        except trino.TrinoError as error:
            return {"error": str(error).splitlines()[0]}
        own = [column for column in columns if not column.startswith(rows.BOOKKEEPING)]
        return {"columns": columns, "own": sorted(own), "rows": found, "count": len(found)}

    def earlier(self, table, number):
        """One version; there is no time travel for Hudi."""
        if table.script.format == "hudi":
            return None
        return self.answer(table, f" FOR VERSION AS OF {number}")

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


def hunted(hunt, changes, readers, restart, seed):
    """Runs changes, readers and kills until the time is over; whether nothing was wrong."""
    services.say(f"torn reads: seed {seed}")
    chance = random.Random(seed)
    kills = 0
    with concurrent.futures.ThreadPoolExecutor(len(changes) + len(readers)) as pool:
        workers = [pool.submit(change) for change in changes]
        workers += [pool.submit(hunt.read, reader) for reader in readers]
        while hunt.running() and not any(worker.done() for worker in workers):
            pause = chance.uniform(0.5, 1.5) * KILL_SECONDS
            time.sleep(min(pause, max(0, hunt.until - time.monotonic())))
            if hunt.running():
                restart()
                kills += 1
        # One that failed ends all.
        hunt.until = min(hunt.until, time.monotonic())
        for worker in workers:
            worker.result()
    services.say(f"Driftless was killed and started again {kills} times")
    for reader in readers:
        reported(hunt, reader)
    services.say(f"{len(hunt.failures)} answers were no committed state, or went back")
    return not hunt.failures


def reported(hunt, reader):
    """Says what one reader saw; never to see a script, or no table change, is a failure."""
    found = hunt.states[reader.title]
    seen = collections.Counter(script for script, _, _ in found)
    tables = collections.Counter((script, table) for script, table, _ in found)
    for script in (live.script for live in hunt.live.values()):
        if script.format in reader.formats and script.name not in seen:
            last = hunt.refused.get((reader.title, script.name), "no error")
            hunt.fail(f"{reader.title}, {script.name}: never seen; {last}")
    if max(tables.values(), default=0) < 2:
        hunt.fail(f"{reader.title}: no table was seen to change")
    waits = sorted(hunt.waits[reader.title])
    if waits:
        states = ", ".join(f"{name} {count}" for name, count in sorted(seen.items()))
        services.say(
            f"{reader.title}: {hunt.queries[reader.title]} queries; states seen: {states}; from "
            f"commit at the source to visible: {quantiles(waits)}; {hunt.earlier[reader.title]} "
            f"earlier states by name; {hunt.crossed[reader.title]} in the columns of the version "
            "before"
        )
    times = {table.name: published(reader.site, table) for table in hunt.tables}
    fresh = freshness.measured(hunt.looks[reader.title], times)
    if fresh.waits:
        late = f", the longest by {fresh.stale[-1]:.2f} s" if fresh.stale else ""
        services.say(
            f"{reader.title}: from published to the end of the first query that sees it: "
            f"{quantiles(fresh.waits)}; {len(fresh.stale)} queries began after it and did not "
            f"see it{late}"
        )


def quantiles(values):
    half, most = freshness.part(values, 0.5), freshness.part(values, 0.99)
    return f"p50 {half:.1f} s, p99 {most:.1f} s"


def published(site, table):
    """When each state became visible at a site, seconds since the epoch; None for not yet."""
    times = []
    for state in table.script.states:
        file = site.folder / driftless.place(table.site_name) / state.revealed_by
        times.append(file.stat().st_mtime if file.exists() else None)
    return times
