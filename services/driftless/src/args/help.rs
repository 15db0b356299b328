//! What `--help` tells below the flags: the rules of a command, and examples.

pub(super) const AFTER_HELP: &str = "\
A table is a URL (s3://bucket/path, gs://bucket/path, az://container/path, abfss://..., \
file:///path), a plain path, or NAME:path where the configuration file has [stores.NAME].

Examples:
  driftless inspect s3://lake/sales/orders
  driftless sync s3://lake/sales/orders s3://replica/sales/orders
  driftless verify lake:sales/orders vast:sales/orders --level bytes
  driftless demo

Exit codes: 0 done; 1 failed, a retry may help; 2 arguments or configuration; 3 blocked, a person \
must decide; 4 the target differs from the source; 130 stopped by Ctrl-C.";

pub(super) const INSPECT_HELP: &str = "\
Exit code 3: the table cannot be replicated; the reason is named.

Examples:
  driftless inspect s3://lake/sales/orders
  driftless inspect ./orders --output json";

pub(super) const PLAN_HELP: &str = "\
Examples:
  driftless plan s3://lake/orders s3://replica/orders --bandwidth 2Gbps
  driftless plan s3://lake/orders s3://replica/orders --egress-usd-per-gib 0.09
  driftless plan 's3://lake/sales/*' s3://replica/sales --output json
  driftless plan ./orders ./replica/orders --files > files.ndjson";

pub(super) const SYNC_HELP: &str = "\
Several tables: a SOURCE with * stands for every table that matches, and each goes to \
TARGET/<name>, its path below the folder before the first *. Or name each with --table.

One pass brings every target to what the source holds now. A run that was stopped is simply \
started again. Ctrl-C aborts unfinished uploads; what a killed run left at an S3 target is removed \
by a pass a day later.

Examples:
  driftless sync s3://lake/orders s3://replica/orders
  driftless sync s3://lake/orders vast:orders backup:orders      one read, two targets
  driftless sync s3://lake/orders vast:orders --follow           until Ctrl-C
  driftless sync s3://lake/orders vast:orders --retire=30d       time travel of 30 days
  driftless sync 's3://lake/sales/*' s3://replica/sales          every table of a folder
  driftless sync --table lake:a=vast:a --table lake:b=vast:b,backup:b";

pub(super) const VERIFY_HELP: &str = "\
Each level includes the ones before it; rows includes log. Exit code 4: a target differs.

Examples:
  driftless verify s3://lake/orders s3://replica/orders
  driftless verify s3://lake/orders s3://replica/orders --level bytes
  driftless verify ./orders ./replica/orders --level rows --version-at 7";

pub(super) const STATUS_HELP: &str = "\
Examples:
  driftless status s3://lake/orders s3://replica/orders
  driftless status lake:orders vast:orders backup:orders --output json";

pub(super) const PROBE_HELP: &str = "\
Makes real requests under _driftless/ at the store's root, and removes what it wrote. The answer \
is remembered there, so that sync need not ask again; run probe again after the store changed.

Exit codes: 0 fit; 1 no conclusive answer; 3 unfit to be a target.

Examples:
  driftless probe s3://replica/orders
  driftless probe vast:orders --output json";

pub(super) const DEMO_HELP: &str = "\
Runs on temporary folders and needs no store. A writer keeps changing a table (appends, updates, \
deletes, compaction), sync follows it, and a reader keeps querying the replica. Exit code 4 if \
one read was torn.

Examples:
  driftless demo
  driftless demo --seconds 20 --keep";

pub(super) const COMPLETIONS_HELP: &str = "\
Examples:
  driftless completions bash > ~/.local/share/bash-completion/completions/driftless
  driftless completions zsh > ~/.zfunc/_driftless
  driftless completions fish > ~/.config/fish/completions/driftless.fish";

pub(super) const SERVE_HELP: &str = "\
One process, one folder: the catalog, the daemon, the API and the console. The database is made \
where it is missing. Ctrl-C or SIGTERM stops it within ten seconds; a kill at any moment needs no \
repair.

Without --no-auth every request needs a token: `driftless token create` makes the first one.

Examples:
  driftless serve --no-auth --allow-files .                 try it on this machine
  driftless serve --listen 0.0.0.0:8640 --data /var/lib/driftless
  driftless serve --metastore lake@east=127.0.0.1:9083      Trino and Spark find tables by name
  driftless serve --bandwidth '08:00-18:00 2Gbps, 18:00-08:00 10Gbps'
  driftless serve --database postgres://driftless@db/driftless";

pub(super) const SYNCD_HELP: &str = "\
Nodes of one catalog share its tables evenly; one that falls silent is replaced after its lease.

Examples:
  driftless syncd --database postgres://driftless@db/driftless --node worker-1";

pub(super) const CATALOGD_HELP: &str = "\
Examples:
  driftless catalogd --database postgres://driftless@db/driftless --listen 0.0.0.0:8640";

pub(super) const METASTORED_HELP: &str = "\
Trino and Spark find the replicas of a project's tables at a site by their names: point \
`hive.metastore.uri` (Trino) or `spark.hadoop.hive.metastore.uris` (Spark) at thrift://ADDRESS. It \
is read-only and asks nobody who they are: who reads is decided by the keys of the site's store.

Examples:
  driftless metastored --data driftless-data --metastore lake@east=127.0.0.1:9083
  driftless metastored --database postgres://driftless@db/driftless \\
      --metastore lake@east=0.0.0.0:9083 --metastore mart@east=0.0.0.0:9084";

pub(super) const TOKEN_HELP: &str = "\
These commands open the catalog's database themselves, so that the first token needs no other.

Examples:
  driftless token create --name ops --role admin
  driftless token create --name dashboards --role reader --project lake --expires 30d
  driftless token list
  driftless token revoke 0193...";

pub(super) const CATALOG_HELP: &str = "\
A catalog in PostgreSQL is backed up with pg_dump.

Examples:
  driftless catalog backup --to catalog-monday.db
  driftless catalog rebuild --from east";

pub(super) const PUT_HELP: &str = "\
A store's secrets are never in the catalog: an option names an environment variable of the daemon, \
{\"env\": \"DRIFTLESS_STORE_...\"}, or a file of its folder of secrets, {\"file\": \"...\"}.

Examples:
  driftless put project lake '{}'
  driftless put store vast '{\"url\": \"s3://replicas\", \"options\": {\"endpoint\": \"https://vast\"}}'
  driftless put site east '{\"url\": \"vast:east\"}'
  driftless put rule nightly - < rule.json";

pub(super) const TABLE_HELP: &str = "\
Examples:
  driftless table register lake.sales.orders gs://lake/sales/orders --site east --site west
  driftless table list --status blocked
  driftless table show lake.sales.orders
  driftless table pause lake.sales.orders
  driftless table sync lake.sales.orders                    now, and wait for it
  driftless table unregister lake.sales.orders --delete-replicas";

pub(super) const ENGINES_HELP: &str = "\
The text is that of the project's own tests with these engines, with the site's address filled in. \
Keys are never shown: set DRIFTLESS_SITE_KEY and DRIFTLESS_SITE_SECRET to keys that may read the \
site's store and nothing else.

Examples:
  driftless engines trino east --metastore thrift://metastore:9083
  driftless engines spark east --spark 4.0
  driftless engines duckdb east";

pub(super) const LAG_HELP: &str = "\
Examples:
  driftless lag
  driftless lag --project lake --top 5 --output json";

pub(super) const WATCH_HELP: &str = "\
Examples:
  driftless watch
  driftless watch --table lake.sales.orders --from 0 --output json";
