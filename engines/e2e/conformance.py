"""Driftless' metastore answers what a real Hive Metastore 3.1.3 answers, where engines look.

The reference names the same replicas, by rows that the real writers of such rows made: Spark's
CREATE TABLE for Delta, Hudi's own synchronisation for Hudi. Then both get the same requests.

# Invariants
- Everything in an answer is compared but for what IGNORED names, with the reason.
- An exception is compared by its class, a list by what is in it.
"""

import dataclasses
import json
import re

import engines
import reference
import services
from pymetastore.hive_metastore import ttypes
from thrift import Thrift
from thrift.transport import TTransport

# What is not compared, and why: the field of a struct, where it matters with the format of its row
# in front, or the exception of a method.
MADE = "when and by whom a row was made: engines only show it"
COUNTED = "counted by Hive when it makes a row, and wrong with the next commit"
IGNORED = {
    "Table.createTime": MADE,
    "Table.owner": MADE,
    "Table.parameters[spark.sql.create.version]": MADE,
    "Table.parameters[transient_lastDdlTime]": MADE,
    "Partition.createTime": MADE,
    "Partition.parameters[transient_lastDdlTime]": MADE,
    "Database.ownerName": MADE,
    "Database.description": "a text for people: empty here, none there",
    "Table.parameters[numFiles]": COUNTED,
    "Table.parameters[totalSize]": COUNTED,
    "Partition.parameters[numFiles]": COUNTED,
    "Partition.parameters[totalSize]": COUNTED,
    "Table.rewriteEnabled": "of Hive's materialized views, which these are not",
    "TableMeta.catName": "Hive 3.1.3 leaves it out; there is one catalog",
    "delta Database.locationUri": "where Spark keeps the placeholders of Delta's rows",
    "delta StorageDescriptor.location": "such a placeholder: engines take the SerDe's `path`",
    "get_table_column_statistics exception": "Hive sends no result at all where it has none",
    "get_table_objects_by_name exception": "ours is what Hive 2.3 declares; 3.1.3 has none and fails",
}
# A table whose partitions `p=p0` and `p=p1` get other values, of as many bytes: some that Hive
# escapes in names, and some that it must not.
RENAMED = "cow_v6"
VALUES = [("{}", "é"), ("#'", " +"), ("*^", "?]")]
NOWHERE = "nowhere"
ALL = -1
SCHEMA = "spark.sql.sources.schema"


@dataclasses.dataclass(frozen=True)
class Request:
    """A call of one method."""

    method: str
    arguments: tuple = ()

    def __str__(self):
        return f"{self.method}({', '.join(map(written, self.arguments))})"


def written(argument):
    """An argument as a person reads it."""
    if not hasattr(argument, "thrift_spec"):
        return json.dumps(argument)
    given = {name: value for name, value in vars(argument).items() if value is not None}
    return ", ".join(f"{name}={json.dumps(value, default=vars)}" for name, value in given.items())


def missing(here, hive, known, environment):
    """Answers of Driftless that differ from those of the reference, which `hive` is a client of."""
    (east,) = here.sites
    known = [*known, *renamed(here, known)]
    wrong = reference.by_writers(here, hive, east, known, environment)
    asked = facts = 0
    with reference.Client(here.service.thrift[east.bucket]) as ours:
        for request in requests(hive, known):
            answers = told(ours, request), told(hive, request)
            wrong += [f"{request}: {text}" for text in differences(*answers)]
            asked, facts = asked + 1, facts + len(answers[1])
    for text in wrong:
        services.say(f"FAILED unlike the reference metastore: {text}")
    services.say(f"{asked} requests to both metastores, {facts} facts, {len(wrong)} differences")
    return wrong


def renamed(here, known):
    """Copies of a table with other partitions, registered and published."""
    found = []
    for table in [table for table in known if table.site_name == f"hudi.{RENAMED}"]:
        for number, values in enumerate(VALUES):
            copy = dataclasses.replace(table, name=f"renamed_{number}", namespace="renamed")
            rename(here.lake.folder / table.path, here.lake.folder / copy.path, values)
            source = f"{here.lake.bucket}:{copy.path}"
            here.service.client.register(copy.site_name, source, here.sites, copy.policy)
            found.append(copy)
    here.service.client.settled()
    return found


def rename(source, target, values):
    """Copies the files of a table, and gives its partitions other values, also in its timeline."""
    for file in [file for file in source.rglob("*") if file.is_file()]:
        path, content = str(file.relative_to(source)), file.read_bytes()
        for number, value in enumerate(values):
            path = path.replace(f"p=p{number}/", f"p={value}/")
            if path.startswith(".hoodie/"):
                # Lengths stay, which timelines hold too.
                content = content.replace(f"p=p{number}".encode(), f"p={value}".encode())
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(content)


def requests(hive, known):
    """All requests; partitions are asked for by the names that the reference has."""
    databases = sorted({table.namespace for table in known})
    yield from of_databases(databases)
    for database in databases:
        of_it = [table for table in known if table.namespace == database]
        names = [name for table in of_it for name in reference.names(table)]
        yield from of_names(database, names)
        for name in names:
            yield from of_table(database, name)
            yield from of_partitions(hive, database, name)
    yield from of_nothing(databases[0], known[0].name)


def of_databases(databases):
    yield Request("get_all_databases")
    for pattern in ("*", "h*", "delta|hudi", "HUDI*", NOWHERE):
        yield Request("get_databases", (pattern,))
    for name in (*databases, databases[0].upper(), NOWHERE):
        yield Request("get_database", (name,))


def of_names(database, names):
    """Lists of tables, and several tables at once."""
    some = names[0]
    yield Request("get_all_tables", (database,))
    for pattern in ("*", ".*", f"{some[:3]}*", f"*{some[-3:]}", "*_RO|*_rt", some, NOWHERE):
        yield Request("get_tables", (database, pattern))
        yield Request("get_table_meta", (database, pattern, []))
    for kind in ("EXTERNAL_TABLE", "MANAGED_TABLE", "VIRTUAL_VIEW"):
        yield Request("get_tables_by_type", (database, "*", kind))
        yield Request("get_table_meta", (database, "*", [kind]))
    several = [*names[:3], NOWHERE, names[-1]]
    yield Request("get_table_objects_by_name", (database, several))
    asked = ttypes.GetTablesRequest(database, several, capabilities())
    yield Request("get_table_objects_by_name_req", (asked,))
    yield Request("get_functions", (database, "*"))
    yield Request("get_primary_keys", (ttypes.PrimaryKeysRequest(database, some),))
    yield from of_statistics(database, some)


def of_table(database, name):
    yield Request("get_table", (database, name))
    yield Request("get_table_req", (ttypes.GetTableRequest(database, name, capabilities()),))
    yield Request("get_fields", (database, name))
    yield Request("get_schema", (database, name))


def of_statistics(database, name):
    asked = ttypes.TableStatsRequest(database, name, ["id"])
    yield Request("get_table_statistics_req", (asked,))
    yield Request("get_table_column_statistics", (database, name, "id"))
    asked = ttypes.PartitionsStatsRequest(database, name, ["id"], ["a=1"])
    yield Request("get_partitions_statistics_req", (asked,))
    yield Request("get_aggr_stats_for", (asked,))


def of_partitions(hive, database, name):
    """Partitions: all of them, some by their number, and each in every way.

    Nobody is asked for more or fewer values than a table has columns for them: no engine does so.
    """
    of = (database, name)
    names = hive.calls.get_partition_names(database, name, ALL)
    for most in (ALL, 1):
        yield Request("get_partition_names", (*of, most))
        yield Request("get_partitions", (*of, most))
    yield Request("get_partitions_by_names", (*of, [*names, f"{NOWHERE}=1"]))
    yield Request("get_num_partitions_by_filter", (*of, ""))
    if not names:
        return
    keys = len(hive.calls.get_table(database, name).partitionKeys)
    choices = [[""] * keys, [NOWHERE] * keys]
    for one in names:
        values = hive.calls.partition_name_to_vals(one)
        choices += [values, [values[0], *[""] * (keys - 1)], ["", *values[1:]]]
        yield Request("partition_name_to_spec", (one,))
        yield Request("get_partition_by_name", (*of, one))
        yield Request("get_partition", (*of, values))
    for values in dict.fromkeys(map(tuple, choices)):
        yield Request("get_partition_names_ps", (*of, list(values), ALL))
        yield Request("get_partitions_ps_with_auth", (*of, list(values), ALL, "e2e", []))
    yield Request("get_partition", (*of, [NOWHERE] * keys))
    absent = "/".join(f"{one.partition('=')[0]}={NOWHERE}" for one in names[0].split("/"))
    yield Request("get_partition_by_name", (*of, absent))


def of_nothing(database, table):
    """What is not there, what is refused, and what nobody knows."""
    for of in ((database, NOWHERE), (NOWHERE, table)):
        yield Request("get_table", of)
        yield Request("get_table_req", (ttypes.GetTableRequest(*of, capabilities()),))
        yield Request("get_fields", of)
        yield Request("get_schema", of)
        yield Request("get_partition", (*of, ["1"]))
        yield Request("get_partition_by_name", (*of, "a=1"))
        yield Request("get_partition_names", (*of, ALL))
        yield Request("get_partition_names_ps", (*of, ["1"], ALL))
        yield Request("get_partitions", (*of, ALL))
        yield Request("get_partitions_by_names", (*of, ["a=1"]))
        yield Request("get_partitions_ps_with_auth", (*of, ["1"], ALL, "e2e", []))
        yield from of_statistics(*of)
        yield Request("get_table_objects_by_name", (of[0], [of[1]]))
        asked = ttypes.GetTablesRequest(of[0], [of[1]], capabilities())
        yield Request("get_table_objects_by_name_req", (asked,))
        yield Request("get_function", of)
    yield Request("get_all_tables", (NOWHERE,))
    yield Request("get_tables", (NOWHERE, "*"))
    yield Request("get_table_meta", (NOWHERE, "*", []))
    yield Request("set_ugi", ("e2e", ["engines"]))
    # The reference's keys may only read: the store refuses the folder that it makes first.
    location = f"s3a://east/{NOWHERE}"
    database = ttypes.Database(name=NOWHERE, locationUri=location, parameters={})
    yield Request("create_database", (database,))
    yield Request("get_what_nobody_knows")


def capabilities():
    return ttypes.ClientCapabilities([ttypes.ClientCapability.INSERT_ONLY_TABLES])


def told(client, request):
    """The answer to a request as facts: each field's path in it, and its value as a text."""
    found = {}
    try:
        answer = client.ask(request.method, *request.arguments)
    except TTransport.TTransportException as error:
        raise SystemExit(f"{request}: no answer: {error}") from None
    except Thrift.TException as error:
        # Exceptions of Thrift itself are told apart by a number.
        text = f"{type(error).__name__} {getattr(error, 'type', '')}".strip()
        put(found, "exception", text, f"{request.method} exception")
        return found
    if request.method in ("get_all_databases", "get_databases"):
        # The reference also names the source.
        answer = [name for name in answer if not name.startswith(f"{engines.SOURCE}_")]
    put(found, "", answer)
    return found


def put(found, path, value, where="", form=""):
    """Adds the facts of a value, without those that IGNORED names.

    `where` is the field that holds it, as IGNORED names fields; `form` is the format of its row.
    """
    if where in IGNORED or f"{form} {where}" in IGNORED:
        return
    if hasattr(value, "thrift_spec"):
        kind, form = type(value).__name__, form or format_of(value)
        for name, inner in fields(value).items():
            put(found, f"{path}.{name}".lstrip("."), inner, f"{kind}.{name}", form)
    elif isinstance(value, dict):
        found[path] = "a map"
        for key, inner in value.items():
            put(found, f"{path}[{key}]", inner, f"{where}[{key}]", form)
    elif isinstance(value, list):
        found[path] = "a list"
        for place, inner in enumerate(value):
            put(found, f"{path}[{named(inner, place)}]", inner, f"{where}[]", form)
    elif value is not None:
        found[path] = json.dumps(value, ensure_ascii=False)


def fields(row):
    """Fields of a struct; Spark's schema, which parameters hold in pieces, as what it says."""
    found = {name: value for name, value in vars(row).items() if value is not None}
    parameters = found.get("parameters") or {}
    parts = [key for key in parameters if re.fullmatch(re.escape(SCHEMA) + r"(\.part\.\d+)?", key)]
    if parts:
        text = "".join(parameters[key] for key in sorted(parts, key=lambda k: (len(k), k)))
        others = {key: value for key, value in parameters.items() if key not in parts}
        found["parameters"] = {**others, SCHEMA: json.loads(text)}
    return found


def format_of(row):
    if isinstance(row, ttypes.Database):
        return row.name
    parameters = getattr(row, "parameters", None) or {}
    return parameters.get("spark.sql.sources.provider", "").lower()


def named(row, place):
    """How one of several rows is told from the others."""
    if isinstance(row, str):
        return row
    if isinstance(row, ttypes.Partition):
        return "/".join(row.values)
    if isinstance(row, (ttypes.Table, ttypes.TableMeta)):
        return f"{row.dbName}.{row.tableName}"
    return place


def differences(ours, theirs):
    """What two answers say differently, as texts."""
    return [
        f"{path or 'the answer'}: {ours.get(path, 'nothing')} here, "
        f"{theirs.get(path, 'nothing')} in the reference"
        for path in sorted({*ours, *theirs})
        if ours.get(path) != theirs.get(path)
    ]
