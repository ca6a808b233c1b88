-- Which tenants fail most decides which endpoints can be among those that do: of the others' endpoints nothing is read.
CREATE INDEX rollups_failing_tenants ON rollups (grain, bucket) INCLUDE (tenant_id, failed_attempts, failed)
    WHERE tenant_id <> '' AND endpoint_id = '' AND event_type = '' AND (failed_attempts > 0 OR failed > 0);
DROP INDEX rollups_failing_anywhere;

-- Most deliveries are delivered: they are found in any list of a tenant's. Of the others alone it is looked for how far
-- they have come, so a delivery at its first attempt has one index less to be written to.
DROP INDEX deliveries_by_status;
CREATE INDEX deliveries_by_status ON deliveries (tenant_id, status, matched_at, message_id, run)
    WHERE status <> 'delivered';

-- Of one endpoint, too. What waits is counted by it, of an endpoint and of a tenant.
DROP INDEX deliveries_pending;
CREATE INDEX deliveries_by_endpoint_status ON deliveries (tenant_id, endpoint_id, status, matched_at, message_id, run)
    WHERE status <> 'delivered';
