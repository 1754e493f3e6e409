drop table webhook_replays, webhook_head, webhook_pumps, webhook_attempts, webhook_deliveries, webhook_bodies, webhook_endpoints;
