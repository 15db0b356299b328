-- Third schema. See 0001_catalog.sql for what columns may hold.

-- The stores whose keys engines read a project's replicas with, by site: JSON.
ALTER TABLE projects ADD COLUMN readers TEXT NOT NULL DEFAULT '{}';
