"""What must outlive the process: runs, node results, deliveries, budgets, heartbeats, in SQLite or PostgreSQL."""
