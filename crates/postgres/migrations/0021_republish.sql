-- What tells a database that was restored from an older backup from one that is current.

ALTER TABLE relay_state
    -- When a relay last worked on this database, to the hour: a backup is not older than this.
    ADD COLUMN worked_at timestamptz NOT NULL DEFAULT now(),
    -- Whether a relay found the directory's topic ahead of this database. Until that is put right nobody's key is
    -- believed: it may have been revoked since.
    ADD COLUMN behind    boolean NOT NULL DEFAULT false;
