"""What a flow would send, without sending it."""
