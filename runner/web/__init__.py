"""The service's HTTP endpoints: hooks, health, metrics, reload, and the document that describes them."""
