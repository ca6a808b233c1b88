-- The relay looks for changes by itself. Announcing them had every commit wait for the one before, its flush included:
-- a transaction that notifies holds a lock of the whole server while it commits.
DROP TRIGGER outbox_notify ON outbox;
DROP FUNCTION notify_outbox();
