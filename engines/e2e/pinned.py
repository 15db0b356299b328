"""Schemas of earlier versions, `NAMESPACE@PIN`: engines read each version of a sample by name.

# Invariants
- An answer is compared with expected.json of that version, which Spark wrote at the source.
- A version is only asked for where its rows are not those of the newest one, so that an answer of
  the table as it is cannot pass.
"""

import concurrent.futures
import dataclasses
import datetime
import json
import os
import shutil

import driftless
import engines
import rows
import services
import trino

# A table of each kind whose metadata a view of one version has to follow.
SAMPLE = [
    "partitions",
    "deletion_vectors",
    "column_mapping_name",
    "type_widening",
    "schema_evolution",
]
# Tables that were written one after the other, once more in a namespace of their own: the moment
# lies between two commits of the second, after the first, before the third.
MOMENTS = "moments"
WRITTEN_IN_ORDER = ["partitions", "column_mapping_name", "schema_evolution"]
VERSIONS_OF_EACH = 3
PIN = "e2e-close"
# What engines say of a table that is not there.
ABSENT = ("does not exist", "cannot be found")


@dataclasses.dataclass(frozen=True)
class Question:
    """One table in one schema, and the version that it shows; None = it is not there."""

    pin: str
    table: object
    version: str | None

    @property
    def schema(self):
        return f"{self.table.namespace}@{self.pin}"


def missing(here, known, client, sparks):
    """Tables that an engine did not read as they were.

    `client` is Trino's; `sparks` are engines of the matrix. Trino's rows are judged in the schemas
    that the first of them tells.
    """
    by_name = {table.name: table for table in known if table.format == "delta"}
    sample = [by_name[name] for name in SAMPLE]
    wrong = Asked(client, sparks)
    for table in sample:
        for version in telling(table.answers):
            wrong.ask(Question(version, table, version))
    above = str(max(map(int, sample[0].answers)) + 1)
    wrong.ask(Question(above, sample[0], None))
    in_order = [again(here, by_name[name]) for name in WRITTEN_IN_ORDER]
    here.service.client.settled()
    at, shown = moment(in_order)
    for (table, _), version in zip(in_order, shown, strict=True):
        wrong.ask(Question(at, table, version))
    pinned_and_moved(here.service.client, sample, wrong)
    for text in wrong.failures:
        services.say(f"FAILED {text}")
    services.say(f"{wrong.right} answers of earlier versions, by schema, were right")
    return wrong.failures


def pinned_and_moved(client, sample, wrong):
    """A pin of one table: its schema shows that version, then the one it is moved to, then none."""
    table, other = sample[1], sample[0]
    path = f"/v1/tables/{driftless.PROJECT}.{table.site_name}/pins/{PIN}"
    first, *_, last = telling(table.answers)
    for version in (first, last):
        client.ask("PUT", path, {"position": int(version)})
        wrong.ask(Question(PIN, table, version))
        wrong.ask(Question(PIN, other, None))
    client.ask("DELETE", path)
    wrong.ask(Question(PIN, table, None))


def telling(answers):
    """Versions from the beginning, the middle and the end that differ from the newest one."""
    newest = answers[list(answers)[-1]]
    found = {}
    for version, answer in answers.items():
        if answer != newest and answer[0]["count"]:
            found[json.dumps(answer)] = version
    found = list(found.values())
    last = len(found) - 1
    return [found[last * part // (VERSIONS_OF_EACH - 1)] for part in range(VERSIONS_OF_EACH)]


def again(here, table):
    """Registers a table once more, with the times of its commits, which Delta takes from files.

    The table, and when each of its versions was committed, in seconds.
    """
    folder = here.lake.folder / MOMENTS / table.name
    shutil.copytree(here.lake.folder / table.path, folder)
    times = {}
    for log in sorted((folder / "_delta_log").glob("[0-9]*.json")):
        if log.stem.isdigit():
            lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
            (info,) = [line["commitInfo"] for line in lines if "commitInfo" in line]
            times[str(int(log.stem))] = info["timestamp"] // 1000
            os.utime(log, (times[str(int(log.stem))],) * 2)
    table = dataclasses.replace(table, namespace=MOMENTS)
    source = f"{here.lake.bucket}:{MOMENTS}/{table.name}"
    here.service.client.register(table.site_name, source, here.sites, table.policy)
    return table, times


def moment(in_order):
    """A moment between two commits of the second table, and the version of each table then."""
    table, times = in_order[1]
    pairs = zip(times.items(), list(times.items())[1:], strict=False)
    telling_ones = telling(table.answers)
    (at, *_) = [
        before + 1
        for (version, before), (_, after) in pairs
        if before + 1 < after and version in telling_ones
    ]
    text = datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    until = [[n for n, time in times.items() if time <= at] for _, times in in_order]
    return text, [versions[-1] if versions else None for versions in until]


class Asked:
    """Asks each engine each question, and keeps what was not right."""

    def __init__(self, client, sparks):
        self.client, self.sparks = client, sparks
        self.right, self.failures = 0, []

    def ask(self, question):
        statement = f"SELECT * FROM `{question.schema}`.{question.table.name}"
        with concurrent.futures.ThreadPoolExecutor(len(self.sparks)) as pool:
            answers = list(pool.map(lambda engine: engine.session.sql(statement), self.sparks))
        for engine, answer in zip(self.sparks, answers, strict=True):
            self.judge(engine.title, question, answer)
        answer = self.of_trino(question, answers[0].get("schema"))
        self.judge(engines.TrinoEngine.title, question, answer)

    def of_trino(self, question, schema):
        statement = f'SELECT * FROM delta."{question.schema}".{question.table.name}'
        try:
            found = self.client.run(statement)
            if schema is None:
                return {"error": f"{len(found[1])} rows, and no schema of Spark to judge them by"}
            return rows.digest(*found, rows.schema_of(schema))
        except (trino.TrinoError, ValueError) as error:
            return {"error": engines.first_line(error)}

    def judge(self, title, question, answer):
        found = {key: value for key, value in answer.items() if key != "schema"}
        if right(question, found):
            self.right += 1
            return
        table, version = question.table, question.version
        expected = "nothing" if version is None else f"version {version}"
        name = f"{question.schema}.{table.name}"
        self.failures.append(f"{title}, {name}: {found}, where {expected} is expected")


def right(question, answer):
    """Whether an answer is what the schema must show."""
    if question.version is None:
        return any(text in answer.get("error", "") for text in ABSENT)
    return answer in question.table.answers[question.version]
