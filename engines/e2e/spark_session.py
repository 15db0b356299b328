"""A Spark session that answers queries: one JSON request a line in, one JSON answer a line out.

Started by spark.py with the Python of one Spark, SPARK_CONF_DIR at the shared configuration.
Requests: {"sql": STATEMENT}, or {"format", "path", "options"} for a table without a name. With
"as", a schema in JSON, rows are cut down to its columns; with "write", {"format", "mode", "path",
"options"}, they are written there.
Answers: {"count", "hash", "schema"}, or {"error"}; {} to what writes.
"""

import json
import os
import sys
import time

import pyspark
import rowhash
from pyspark.sql import SparkSession
from pyspark.sql import types as t


def main():
    # PySpark converts collected timestamps in the process's zone.
    os.environ["TZ"] = "UTC"
    time.tzset()
    # Java libraries print on standard output: theirs goes where errors go.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    spark = SparkSession.builder.appName("driftless-e2e").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    print(json.dumps({"spark": pyspark.__version__}), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(spark, json.loads(line))), file=out, flush=True)
    spark.stop()


def answer(spark, request):
    try:
        if "sql" in request:
            found = spark.sql(request["sql"])
        else:
            reader = spark.read.format(request["format"])
            found = reader.options(**request["options"]).load(request["path"])
        if "write" in request:
            wanted = request["write"]
            writer = found.coalesce(1).write.format(wanted["format"]).mode(wanted["mode"])
            writer.options(**wanted["options"]).save(wanted["path"])
            return {}
        own = found.select([f"`{c}`" for c in found.columns if not c.startswith("_hoodie_")])
        rows, schema = own.collect(), own.schema
        if "as" in request:
            wanted = t.StructType.fromJson(json.loads(request["as"]))
            rows, schema = [cut(row, schema, wanted) for row in rows], wanted
        hashed = rowhash.table_hash(rows, schema)
        return {"count": len(rows), "hash": hashed, "schema": schema.json()}
    except Exception as error:  # py4j and Spark have no common class
        return {"error": str(error).strip().splitlines()[0][:300]}


def cut(value, kind, wanted):
    """A value without the fields that a schema lacks; both schemas name the same fields alike."""
    if value is None or kind == wanted:
        return value
    if isinstance(kind, t.StructType):
        places = {field.name: n for n, field in enumerate(kind.fields)}
        pairs = [(places[field.name], field.dataType) for field in wanted.fields]
        return [cut(value[n], kind.fields[n].dataType, to) for n, to in pairs]
    if isinstance(kind, t.ArrayType):
        return [cut(item, kind.elementType, wanted.elementType) for item in value]
    if isinstance(kind, t.MapType):
        return {key: cut(item, kind.valueType, wanted.valueType) for key, item in value.items()}
    return value


if __name__ == "__main__":
    main()
