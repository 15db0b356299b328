"""The tables of testdata, what Spark read from them, and how they come to a source store."""

import dataclasses
import json
import pathlib
import re
import shutil

import hudi_judge
import hudi_recorder
import services

TESTDATA = pathlib.Path(hudi_judge.FIXTURES).parent
HUDI = [TESTDATA / "hudi", TESTDATA / "engines" / "hudi"]
LATEST = "latest"
# Replicas of copy-on-write tables without the archived history, which Trino 476 cannot read.
WITHOUT_HISTORY = "hudi_without_history"
# Tables that Driftless stops at a version, as it must: VACUUM took files of the next one, and no
# checkpoint lies above it.
BLOCKED = {"delta.vacuumed": "0"}


@dataclasses.dataclass
class Table:
    """One table of testdata.

    `answers` holds for each version, the newest last, the answers that are right: several where
    releases of Hudi differ at the source as well. `read_optimized` is what base files alone hold.
    """

    format: str
    name: str
    answers: dict
    read_optimized: list = dataclasses.field(default_factory=list)
    options: dict = dataclasses.field(default_factory=dict)
    merge_on_read: bool = False
    table_version: int = 0
    fixture: pathlib.Path | None = None
    namespace: str = ""
    policy: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        self.namespace = self.namespace or self.format

    @property
    def path(self):
        """At the source, below the bucket."""
        return f"{self.format}/{self.name}"

    @property
    def site_name(self):
        """`namespace.table`, by which engines and Driftless know it at the site."""
        return f"{self.namespace}.{self.name}"

    @property
    def readable_without_history(self):
        """Whether a replica may leave the archived history out."""
        return not self.merge_on_read and self.table_version >= 8

    def place(self, folder):
        """Puts the table, as it is after all that was recorded, into a folder; keeps times.

        Its folders are objects, as Hadoop's S3A leaves them.
        """
        target = folder / self.format / self.name
        if self.format == "delta":
            shutil.copytree(TESTDATA / "delta" / self.name / "table", target)
        else:
            state = {}
            for step in _read(self.fixture / "history.json")["steps"]:
                for event in step["events"]:
                    hudi_recorder.apply(state, event)
            hudi_recorder.materialize(state, self.fixture / "objects", target)
            (target / ".hoodie" / ".schema").mkdir(exist_ok=True)
        for inside in (target, *target.rglob("*/")):
            services.folder_object(inside)


def delta():
    return [_delta(folder) for folder in sorted((TESTDATA / "delta").iterdir())]


def hudi():
    folders = [folder for parent in HUDI for folder in parent.iterdir()]
    found = [_hudi(folder) for folder in sorted(folders, key=lambda folder: folder.name)]
    return found + [
        dataclasses.replace(
            table, namespace=WITHOUT_HISTORY, policy={**table.policy, "hudi_history": "omit"}
        )
        for table in found
        if table.readable_without_history
    ]


def hudi_fixture(name):
    """The folder of one recorded table."""
    return next(parent / name for parent in HUDI if (parent / name).exists())


def _delta(folder):
    expected = _read(folder / "expected.json")["versions"]
    last = int(BLOCKED.get(f"delta.{folder.name}", max(expected, key=int)))
    answers = {n: [expected[n]] for n in sorted(expected, key=int) if int(n) <= last}
    return Table("delta", folder.name, answers, policy={"start": "earliest"})


def _hudi(folder):
    history = _read(folder / "history.json")
    last = [entry for entry in _read(folder / "expected.json")["instants"] if "rows" in entry][-1]
    others = list(last.get("otherwise", {}).values())

    def known(view):
        return [entry[view] for entry in (last, *others) if view in entry]

    return Table(
        "hudi",
        folder.name,
        {LATEST: known("rows")},
        read_optimized=known("read_optimized"),
        options=history["read"],
        merge_on_read=history["type"] == "MERGE_ON_READ",
        table_version=history["table_version"],
        fixture=folder,
    )


def _read(file):
    return json.loads(file.read_text(encoding="utf-8"))


def partitions(folder):
    """Partition columns of a Hudi table in a folder, and its partitions: (values, path)."""
    properties = (folder / ".hoodie" / "hoodie.properties").read_text(encoding="utf-8")
    found = re.search(r"^hoodie\.table\.partition\.fields=(.*)$", properties, re.M)
    keys = [key.split(":")[0] for key in found[1].split(",") if key] if found else []
    if not keys:
        return [], []
    names = sorted(folder.rglob(".hoodie_partition_metadata*"))
    folders = {str(file.parent.relative_to(folder)) for file in names}
    # The metadata table is one of its own.
    paths = sorted(path for path in folders if not path.startswith("."))
    return keys, [([part.partition("=")[2] or part for part in p.split("/")], p) for p in paths]
