"""DuckDB with its delta extension, in this process."""

import pathlib

import duckdb
import duckdb_extension_delta
import duckdb_extension_httpfs
import rows
import services


class Duck:
    """Answers as the other engines do; tables are named by their URL."""

    def __init__(self, stores):
        self.connection = duckdb.connect()
        for package in (duckdb_extension_httpfs, duckdb_extension_delta):
            folder = pathlib.Path(package.__file__).parent
            (extension,) = folder.rglob("*.duckdb_extension")
            self.connection.execute(f"LOAD '{extension}'")
        self.connection.execute("SET TimeZone = 'UTC'")
        for store in stores:
            self.connection.execute(
                f"CREATE SECRET {store.bucket} (TYPE s3, KEY_ID '{services.READER}', "
                f"SECRET '{services.READER_SECRET}', REGION '{services.REGION}', "
                f"ENDPOINT '{store.endpoint.removeprefix('http://')}', USE_SSL false, "
                f"URL_STYLE 'path', SCOPE 's3://{store.bucket}')"
            )

    def answer(self, url, version, schema):
        """Raises ValueError where rows do not fit the schema."""
        at = "" if version is None else f", version => {version}"
        try:
            found = self.connection.execute(f"SELECT * FROM delta_scan('{url}'{at})")
            columns = [column[0] for column in found.description]
            return rows.digest(columns, found.fetchall(), schema)
        except duckdb.Error as error:
            return {"error": str(error).strip().splitlines()[0][:300]}
