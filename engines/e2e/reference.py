"""A Hive Metastore 3.1.3 with rows as the engines themselves write them.

It names the tables of the source, which Driftless does not serve, and is what the answers of
Driftless' metastore are compared with.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess

import s3_server
import services
import tables
from py4j.java_gateway import GatewayParameters, JavaGateway
from py4j.protocol import Py4JJavaError
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

    def ask(self, method, *arguments):
        """What a method answers, also one that this client does not know."""
        try:
            if hasattr(self.calls, method):
                return getattr(self.calls, method)(*arguments)
            return self._ask_unknown(method)
        except Thrift.TApplicationException:
            # Hive closes the connection after it.
            self.transport.close()
            self.transport.open()
            raise

    def _ask_unknown(self, method):
        protocol = self.calls._oprot
        protocol.writeMessageBegin(method, Thrift.TMessageType.CALL, 0)
        protocol.writeFieldStop()
        protocol.writeMessageEnd()
        protocol.trans.flush()
        _name, kind, _sequence = protocol.readMessageBegin()
        if kind != Thrift.TMessageType.EXCEPTION:
            raise SystemExit(f"ask for {method}: it has an answer")
        error = Thrift.TApplicationException()
        error.read(protocol)
        protocol.readMessageEnd()
        raise error

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


def names(table):
    """Names of the rows of a table."""
    suffixes = ("", "_ro", "_rt") if table.merge_on_read else ("",)
    return [table.name + suffix for suffix in suffixes]


def by_writers(here, hive, site, known, environment):
    """Names the replicas of a site by rows that real writers make.

    Delta's are made by CREATE TABLE of Spark, Hudi's by Hudi's own synchronisation. What they could
    not do, as texts.
    """
    address = environment["DRIFTLESS_SOURCE_METASTORE"]
    delta = [table for table in known if table.format == "delta"]
    hudi = [table for table in known if table.format == "hudi"]
    # Spark wants folders of its own for Delta's rows, where the keys of readers let it make none.
    folders = (here.scratch / "reference-databases").as_uri()
    for namespace in {table.namespace for table in delta}:
        hive.database(namespace, f"{folders}/{namespace}")
    for table in {table.namespace: table for table in hudi}.values():
        hive.database(table.namespace, here.replica(site, table).rpartition("/")[0])
    wrong = []
    if delta:
        environment = {**environment, "DRIFTLESS_METASTORE": address}
        with here.spark_session("3.5", "spark-reference", environment) as spark:
            wrong += by_spark(spark, [(table, here.replica(site, table)) for table in delta])
    if hudi:
        with hudi_sync(here, environment, address) as sync:
            for table in hudi:
                keys, _ = tables.partitions(here.lake.folder / table.path)
                wrong += sync(table, here.replica(site, table), keys)
    return wrong


def by_spark(spark, places):
    """Makes the rows of Delta tables."""
    wrong = []
    for table, location in places:
        statement = f"CREATE TABLE {table.site_name} USING delta LOCATION '{location}'"
        if error := spark.sql(statement).get("error"):
            wrong.append(f"Spark: {statement}: {error}")
    return wrong


@contextlib.contextmanager
def hudi_sync(here, environment, address):
    """Hudi's synchronisation of a metastore, in a Java of its own: yields a function of a table."""
    home = here.cache / "spark-3.5"
    (pyspark,) = home.glob("venv/lib/python3*/site-packages/pyspark")
    bundle = home / "hudi" / "hudi-spark3.5-bundle_2.12-1.1.1.jar"
    path = f"{pyspark}/jars/*:{home}/s3a/*:{bundle}"
    command = [services.java_17(), "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    # The gateway answers on standard output: nothing else may fill it.
    command += ["-Dlog4j2.level=OFF", "-cp", path, "py4j.GatewayServer", "--enable-auth", "0"]
    streams = {"stdout": subprocess.PIPE, "text": True}
    with services.process("hudi-sync", command, here.scratch, **streams) as server:
        port, token = (server.stdout.readline().strip() for _ in range(2))
        parameters = GatewayParameters(port=int(port), auth_token=token, auto_convert=True)
        gateway = JavaGateway(gateway_parameters=parameters)
        try:
            yield lambda *of: _synchronised(gateway.jvm, environment, address, *of)
        finally:
            gateway.close()


def _synchronised(java, environment, address, table, location, keys):
    """Makes the rows of one Hudi table, as a writer of Spark SQL does after a commit."""
    settings = java.org.apache.hadoop.conf.Configuration()
    for name, value in {
        "hive.metastore.uris": address,
        "fs.s3a.endpoint": environment["DRIFTLESS_SITE_ENDPOINT"],
        "fs.s3a.endpoint.region": environment["DRIFTLESS_SITE_REGION"],
        "fs.s3a.access.key": environment["DRIFTLESS_SITE_KEY"],
        "fs.s3a.secret.key": environment["DRIFTLESS_SITE_SECRET"],
        "fs.s3a.path.style.access": "true",
        "fs.s3a.directory.marker.retention": "keep",
    }.items():
        settings.set(name, value)
    properties = java.java.util.Properties()
    extractor = "MultiPartKeysValueExtractor" if keys else "NonPartitionedExtractor"
    for name, value in {
        "hive_sync.mode": "hms",
        "hive_sync.metastore.uris": address,
        "hive_sync.database": table.namespace,
        "hive_sync.table": table.name,
        "hive_sync.partition_fields": ",".join(keys),
        "hive_sync.partition_extractor_class": f"org.apache.hudi.hive.{extractor}",
        "hive_sync.support_timestamp": "true",
        "hive_sync.auto_create_database": "false",
        "meta.sync.base.path": location,
    }.items():
        properties.setProperty(f"hoodie.datasource.{name}", value)
    try:
        java.org.apache.hudi.hive.HiveSyncTool(properties, settings).syncHoodieTable()
    except Py4JJavaError as error:
        return [f"Hudi's synchronisation of {table.site_name}: {error.java_exception}"]
    return []
