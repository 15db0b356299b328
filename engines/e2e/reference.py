"""A Hive Metastore 3.1.3 with rows as the engines themselves write them.

It names the tables of the source, which Driftless does not serve, and is what the answers of
Driftless' metastore are compared with.
"""

import contextlib
import os
import pathlib
import shutil

import s3_server
import services
import tables
from pymetastore.hive_metastore import ThriftHiveMetastore, ttypes
from thrift import Thrift
from thrift.protocol import TBinaryProtocol
from thrift.transport import TSocket, TTransport

RUN = pathlib.Path(__file__).resolve().parent.parent / "hive" / "run.sh"
SERVER = "org.apache.hadoop.hive.metastore.HiveMetaStore"
PARQUET_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
PARQUET_OUTPUT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"
BASE_FILES = "org.apache.hudi.hadoop.HoodieParquetInputFormat"
MERGED = "org.apache.hudi.hadoop.realtime.HoodieParquetRealtimeInputFormat"


@contextlib.contextmanager
def serving(cache, scratch, environment):
    """Runs the server on a copy of an empty database; yields its address and a client."""
    empty = cache / "engines" / "hive" / "apache-hive-metastore-3.1.3-bin" / "empty"
    folder = scratch / "hive"
    shutil.copytree(empty, folder / "database")
    port = s3_server.free_port()
    database = f"jdbc:derby:;databaseName={folder / 'database'}"
    environment = {**environment, "JAVA_17": services.java_17(), "TMPDIR": str(scratch)}
    command = [RUN, SERVER, database, "-p", str(port)]
    with (
        services.process("hive", command, scratch, environment, ready=services.listens(port)),
        Client(port) as client,
    ):
        yield f"thrift://127.0.0.1:{port}", client


@contextlib.contextmanager
def reported(action):
    """Ends the run with the metastore's words: its exceptions cannot pass through blocks."""
    try:
        yield
    except Thrift.TException as error:
        text = str(error)
    else:
        return
    raise SystemExit(f"{action}: {text}")


class Client:
    """A connection to a metastore."""

    def __init__(self, port):
        self.transport = TTransport.TBufferedTransport(TSocket.TSocket("127.0.0.1", port))
        protocol = TBinaryProtocol.TBinaryProtocol(self.transport)
        self.calls = ThriftHiveMetastore.Client(protocol)

    def __enter__(self):
        self.transport.open()
        return self

    def __exit__(self, *_):
        self.transport.close()

    def database(self, name, location):
        database = ttypes.Database(name=name, locationUri=location, parameters={})
        with reported(f"make database {name}"):
            self.calls.create_database(database)

    def register(self, database, table, location, folder, schema):
        """Makes the rows of one table: `t`, and for merge-on-read `t_ro` and `t_rt` as well.

        `folder` holds its files, `schema` is Spark's.
        """
        with reported(f"register {database}.{table.name}"):
            self._register(database, table, location, folder, schema)

    def _register(self, database, table, location, folder, schema):
        if table.format == "delta":
            self.calls.create_table(delta_row(database, table.name, location))
            return
        keys, found = tables.partitions(folder)
        kinds = [("", None)]
        if table.merge_on_read:
            kinds = [("", False), ("_ro", True), ("_rt", False)]
        for suffix, read_optimized in kinds:
            name = table.name + suffix
            row = hudi_row(database, name, location, schema, keys, read_optimized)
            self.calls.create_table(row)
            rows = [partition_row(row, values, f"{location}/{path}") for values, path in found]
            if rows:
                self.calls.add_partitions(rows)


def delta_row(database, name, location):
    """As Trino's register_table writes it."""
    return _row(
        database,
        name,
        ttypes.StorageDescriptor(
            cols=[ttypes.FieldSchema("col", "array<string>", "from deserializer")],
            location=location,
            inputFormat="org.apache.hadoop.mapred.SequenceFileInputFormat",
            outputFormat="org.apache.hadoop.hive.ql.io.HiveSequenceFileOutputFormat",
            serdeInfo=ttypes.SerDeInfo(
                serializationLib="org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
                parameters={"serialization.format": "1", "path": location},
            ),
        ),
        [],
        {"spark.sql.sources.provider": "delta"},
    )


def hudi_row(database, name, location, schema, keys, read_optimized):
    """As Hudi's own synchronisation of the metastore writes it."""
    fields = {
        field.name: ttypes.FieldSchema(field.name.lower(), field.dataType.simpleString())
        for field in schema.fields
    }
    columns = [fields[name] for name in fields if name not in keys]
    serde = {"path": location, "serialization.format": "1"}
    if read_optimized is not None:
        serde["hoodie.query.as.ro.table"] = str(read_optimized).lower()
    return _row(
        database,
        name,
        ttypes.StorageDescriptor(
            cols=columns,
            location=location,
            inputFormat=MERGED if read_optimized is False else BASE_FILES,
            outputFormat=PARQUET_OUTPUT,
            serdeInfo=ttypes.SerDeInfo(serializationLib=PARQUET_SERDE, parameters=serde),
        ),
        [fields[key] for key in keys],
        {
            "spark.sql.sources.provider": "hudi",
            "spark.sql.sources.schema.numParts": "1",
            "spark.sql.sources.schema.part.0": schema.json(),
            "spark.sql.sources.schema.numPartCols": str(len(keys)),
            **{f"spark.sql.sources.schema.partCol.{n}": key for n, key in enumerate(keys)},
        },
    )


def partition_row(table, values, location):
    storage = table.sd
    return ttypes.Partition(
        values=values,
        dbName=table.dbName,
        tableName=table.tableName,
        sd=ttypes.StorageDescriptor(
            cols=storage.cols,
            location=location,
            inputFormat=storage.inputFormat,
            outputFormat=storage.outputFormat,
            serdeInfo=ttypes.SerDeInfo(serializationLib=PARQUET_SERDE, parameters={}),
            bucketCols=[],
            sortCols=[],
            parameters={},
        ),
        parameters={},
    )


def _row(database, name, storage, keys, parameters):
    storage.numBuckets = -1
    storage.bucketCols, storage.sortCols, storage.parameters = [], [], {}
    return ttypes.Table(
        tableName=name,
        dbName=database,
        owner=os.environ.get("USER", "e2e"),
        sd=storage,
        partitionKeys=keys,
        parameters={"EXTERNAL": "TRUE", **parameters},
        tableType="EXTERNAL_TABLE",
    )
