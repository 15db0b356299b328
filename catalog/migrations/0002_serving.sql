-- Second schema. See 0001_catalog.sql for what columns may hold.

-- What readers are shown while a replica is begun anew at another place, until it is whole: JSON.
ALTER TABLE replicas ADD COLUMN serving TEXT;

-- Names of the projects whose tables may use a store, as JSON; none = all.
ALTER TABLE stores ADD COLUMN projects TEXT NOT NULL DEFAULT '[]';
