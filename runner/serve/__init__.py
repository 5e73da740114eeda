"""The service: live flows, triggers, durable runs and the endpoint, from start to drain."""
