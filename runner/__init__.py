"""flowpost: e-mail from your own SMTP server, from YAML flows in Git."""

__version__ = "0.1.0"
