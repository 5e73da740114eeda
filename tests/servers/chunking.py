"""The scripted server with BDAT (RFC 3030), as strict as Postfix: what a refused transaction leaves behind stays
until RSET, and a second MAIL is refused while it does.

Its script knows ``BDAT`` (the reply to a last chunk, when somebody is to get the message) and ``EARLY`` (done
before the octets of a chunk are read).
"""

from __future__ import annotations

import socket

from servers.scripted import EXTENSIONS, Connection, Mail, ScriptedServer, _Dialogue, _foretold

CHUNKING = (*EXTENSIONS, "CHUNKING")


class ChunkingServer(ScriptedServer):
    """See ``ScriptedServer``; ``extensions`` has to name CHUNKING."""

    def __init__(self, **options: object) -> None:
        super().__init__(**({"extensions": CHUNKING, "tls": "none"} | options))  # type: ignore[arg-type]

    def _dialogue(self, sock: socket.socket, connection: Connection) -> _Dialogue:
        return _ChunkDialogue(self, sock, connection)


class _ChunkDialogue(_Dialogue):
    def on_mail(self, line: str) -> None:
        if self.sender is not None:
            self.reply("503 5.5.1 nested MAIL command")
            return
        super().on_mail(line)

    def on_bdat(self, line: str) -> None:
        words = line.split(" ")
        early = self.server._action("EARLY")
        if early != "ok":
            self.perform(early, line)
        wanted = int(words[1])
        while len(self.buffer) < wanted:
            self.buffer += self.read()
        content, self.buffer = self.buffer[:wanted], self.buffer[wanted:]
        if self.sender is None or not self.recipients:
            self.reply("554 5.5.1 no valid recipients")
            return
        assert words[2:] == ["LAST"]
        mail = Mail(
            self.sender,
            self.recipients,
            content,
            self.secure,
            self.user,
            self.options,
            self.connection.number,
        )
        action = self.server._action("BDAT")
        if action == "ok":
            action = f"250 2.0.0 queued as {len(self.server.received) + 1}"
        mail.code = _foretold(action)
        if mail.code is None or 200 <= mail.code < 300:
            self.sender, self.recipients = None, []
        with self.server._lock:
            self.server.received.append(mail)
        self.perform(action, line)
