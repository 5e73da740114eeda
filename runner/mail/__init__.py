"""The message: addresses, headers, limits, and the bytes that leave the house."""
