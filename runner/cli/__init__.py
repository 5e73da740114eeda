"""The command line: one small file per verb, one boundary that turns errors into exit codes."""
