"""What a flow would send, to whom and how long that takes, and what has changed since a git revision."""
