"""What starts a flow: one file per kind of trigger, of the same name as its schema, and what those are made of."""
