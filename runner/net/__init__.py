"""The outbound guard: every connection leaves through here, to an address that was checked."""
