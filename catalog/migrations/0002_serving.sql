-- Second schema. See 0001_catalog.sql for what columns may hold.

-- What readers are shown while a replica is begun anew at another place, until it is whole: JSON.
ALTER TABLE replicas ADD COLUMN serving TEXT;

-- Names of the projects whose tables may use a store, as JSON; none = all.
ALTER TABLE stores ADD COLUMN projects TEXT NOT NULL DEFAULT '[]';

-- When the last whole look at the source began.
ALTER TABLE replicas ADD COLUMN listed_ms BIGINT;

-- The group of the policy, where it is looked for.
ALTER TABLE tables ADD COLUMN consistency_group TEXT;
CREATE INDEX tables_by_group ON tables (consistency_group);
