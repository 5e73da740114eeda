"""SMTP sessions: from an envelope and octets to what the server said, over connections that are kept and
bounded.
"""
