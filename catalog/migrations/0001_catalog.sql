-- The catalog: what is wanted, and an index of how far it is. One script for SQLite and PostgreSQL.
-- Times are milliseconds since the epoch. JSON is kept as text. Never a row per file.

CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('events', 0), ('wakes', 0);

-- Values that all processes of a catalog share, each made once.
CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE organisations (
    name TEXT NOT NULL PRIMARY KEY,
    created_ms BIGINT NOT NULL
);

CREATE TABLE projects (
    name TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES organisations (name),
    share BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE TABLE namespaces (
    project TEXT NOT NULL REFERENCES projects (name),
    name TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (project, name)
);

CREATE TABLE stores (
    name TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    region TEXT,
    options TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE TABLE sites (
    name TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    region TEXT,
    revision BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    started_ms BIGINT NOT NULL,
    beat_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

CREATE TABLE tables (
    id TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    source TEXT NOT NULL,
    format TEXT,
    policy TEXT NOT NULL,
    priority TEXT NOT NULL,
    desired TEXT NOT NULL,
    rule TEXT,
    -- Of the newest change that the table's owner has to look at.
    wake BIGINT NOT NULL,
    -- The node that works on it, as long as that node's heartbeat goes on.
    lease_node TEXT,
    -- Grows with each owner.
    epoch BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    UNIQUE (project, namespace, name),
    FOREIGN KEY (project, namespace) REFERENCES namespaces (project, name)
);
CREATE INDEX tables_by_wake ON tables (wake);
CREATE INDEX tables_by_lease ON tables (lease_node);

CREATE TABLE replicas (
    table_id TEXT NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    site TEXT NOT NULL REFERENCES sites (name),
    location TEXT NOT NULL UNIQUE,
    incarnation BIGINT NOT NULL,
    -- Of the owner that reported last: an older one changes nothing any more.
    epoch BIGINT NOT NULL,
    condition TEXT NOT NULL,
    reason_code TEXT,
    reason TEXT,
    reason_position TEXT,
    condition_since_ms BIGINT NOT NULL,
    source_head TEXT,
    source_head_ms BIGINT,
    checked_ms BIGINT,
    head TEXT,
    head_committed_ms BIGINT,
    published_ms BIGINT,
    earliest_readable TEXT,
    pending_versions BIGINT,
    pending_bytes BIGINT,
    oldest_pending_ms BIGINT,
    moved_ms BIGINT,
    deadline_ms BIGINT,
    revision BIGINT NOT NULL,
    PRIMARY KEY (table_id, site)
);
CREATE INDEX replicas_by_site ON replicas (site);
CREATE INDEX replicas_by_lag ON replicas (oldest_pending_ms);

-- Locations that readers may still use for a while.
CREATE TABLE former_locations (
    location TEXT NOT NULL PRIMARY KEY,
    table_name TEXT NOT NULL,
    site TEXT NOT NULL REFERENCES sites (name),
    delete_after_ms BIGINT,
    left_ms BIGINT NOT NULL
);

CREATE TABLE versions (
    table_id TEXT NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    site TEXT NOT NULL,
    incarnation BIGINT NOT NULL,
    position TEXT NOT NULL,
    -- The order in which they were published.
    ordinal BIGINT NOT NULL,
    kind TEXT NOT NULL,
    committed_ms BIGINT,
    published_ms BIGINT NOT NULL,
    files BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    commit_sha256 TEXT,
    chain_sha256 TEXT,
    live_digest TEXT,
    PRIMARY KEY (table_id, site, incarnation, position)
);
CREATE INDEX versions_by_ordinal ON versions (table_id, site, incarnation, ordinal);

CREATE TABLE events (
    seq BIGINT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    kind TEXT NOT NULL,
    project TEXT,
    table_name TEXT,
    site TEXT,
    body TEXT NOT NULL
);
CREATE INDEX events_by_table ON events (table_name, seq);

CREATE TABLE audit (
    id TEXT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    request_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    role TEXT NOT NULL,
    action TEXT NOT NULL,
    resource TEXT NOT NULL,
    outcome TEXT,
    status BIGINT,
    ended_ms BIGINT
);
CREATE INDEX audit_by_time ON audit (at_ms, id);

CREATE TABLE tokens (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    project TEXT,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    revoked_ms BIGINT
);

CREATE TABLE idempotency (
    actor TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status BIGINT,
    body TEXT,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (actor, key)
);
CREATE INDEX idempotency_by_time ON idempotency (created_ms);

CREATE TABLE operations (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    table_id TEXT,
    resource TEXT NOT NULL,
    state TEXT NOT NULL,
    request TEXT NOT NULL,
    progress TEXT NOT NULL,
    error TEXT,
    actor TEXT NOT NULL,
    cancel BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);
CREATE INDEX operations_by_state ON operations (state, created_ms);
CREATE INDEX operations_by_time ON operations (created_ms, id);

CREATE TABLE rules (
    name TEXT NOT NULL PRIMARY KEY,
    pattern TEXT NOT NULL,
    spec TEXT NOT NULL,
    last_run_ms BIGINT,
    last_error TEXT,
    revision BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);

-- What a rule found: tables that it registered, those that vanished, and names it could not use.
CREATE TABLE found_tables (
    rule TEXT NOT NULL REFERENCES rules (name) ON DELETE CASCADE,
    source TEXT NOT NULL,
    table_name TEXT,
    state TEXT NOT NULL,
    message TEXT,
    seen_ms BIGINT NOT NULL,
    PRIMARY KEY (rule, source)
);

CREATE TABLE pins (
    table_id TEXT NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    position TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (table_id, name)
);

CREATE TABLE alerts (
    fingerprint TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    severity TEXT NOT NULL,
    -- Empty where it is about no project.
    project TEXT NOT NULL,
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    starts_ms BIGINT NOT NULL,
    ends_ms BIGINT,
    seen_ms BIGINT NOT NULL
);
CREATE INDEX alerts_by_end ON alerts (ends_ms);

-- What each receiver was told about an alert last.
CREATE TABLE notifications (
    fingerprint TEXT NOT NULL REFERENCES alerts (fingerprint) ON DELETE CASCADE,
    receiver TEXT NOT NULL,
    -- Nothing so far where it is NULL.
    told TEXT,
    -- When the alert began that it was told of.
    starts_ms BIGINT,
    told_ms BIGINT,
    tries BIGINT NOT NULL,
    -- Somebody tells it just now, or it is to be left alone, until then.
    next_ms BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (fingerprint, receiver)
);
