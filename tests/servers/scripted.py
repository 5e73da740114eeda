"""A real SMTP server that does what its script says: a kind one or a hostile one, for every test that
needs one.

It runs in threads of its own, so that an async test, a synchronous one and a flowpost started as a
subprocess use it alike::

    async with ScriptedServer(tls="implicit", script={"RCPT": ["450 4.2.1 busy", "250 ok"]}) as server:
        ...  # server.port, server.ca_pem, server.messages, server.commands
    with ScriptedServer(tls="starttls", certificate="expired") as server: ...

The script's keys are ``CONNECT`` (the greeting), ``TLS`` (before an implicit handshake), ``EHLO``,
``STARTTLS``, ``CHALLENGE`` (each question of the login), ``AUTH`` (its end), ``MAIL``, ``RCPT``, ``DATA``,
``DATA_END`` (the final dot), ``RSET``, ``NOOP``, ``QUIT``, and ``IDLE`` (done at once after a message was
answered). A list is used up, one action each time over all connections, and then the server behaves; a
single action is done every time. An action is

- ``"450 4.2.1 busy"``: this reply, lines separated by ``\\n``; ``{line}`` stands for the client's own line;
- ``b"25"``: these bytes and no others (after STARTTLS: and no handshake);
- ``"ok"``: what a well-behaved server does;
- ``"drop"``, ``"reset"``: close the connection, with FIN or with RST;
- ``"hang"``: say nothing more, read nothing more, keep the connection open;
- ``"endless"``: continuation lines without end; ``"flood 100000000"``: a line of so many bytes, unended;
- ``"drip 0.2: 250 ok"``: the reply one byte at a time; ``"after 0.5: 250 ok"``: later;
- several of them: ``"250 ok then drop"``.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import re
import socket
import ssl
import struct
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from servers.certificates import Certificate, certificate

Action = str | bytes
Script = Mapping[str, Action | Sequence[Action]]

EXTENSIONS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")


class _Gone(Exception):
    """The connection ended, by the script or by the client."""


@dataclass
class Mail:
    """A message that arrived whole. ``code`` is the reply to its final dot, None when there was none."""

    sender: str
    recipients: list[str]
    data: bytes
    tls: bool
    user: str | None
    options: str
    connection: int
    code: int | None = None


@dataclass
class Connection:
    """Every byte of one connection, in clear and under TLS."""

    number: int
    clear_in: bytearray = field(default_factory=bytearray)
    clear_out: bytearray = field(default_factory=bytearray)
    tls_in: bytearray = field(default_factory=bytearray)
    tls_out: bytearray = field(default_factory=bytearray)
    commands: list[str] = field(default_factory=list)
    tls_version: str | None = None
    server_name: str | None = None
    handshake_error: str | None = None
    ended: bool = False


class ScriptedServer:
    """See the head of this file.

    ``starttls=False``: in starttls mode, do not offer it.
    ``drop_received``, ``drop_sent``: cut each connection (the first ``drops`` of them; default all) once
    exactly so many bytes were read from, or written to, the client, TLS's own bytes not counted.
    """

    def __init__(
        self,
        *,
        tls: str = "implicit",
        script: Script | None = None,
        certificate: str | Certificate = "good",
        extensions: Sequence[str] = EXTENSIONS,
        mechanisms: str = "PLAIN LOGIN CRAM-MD5",
        clear_mechanisms: str | None = None,
        username: str = "user",
        password: str = "pass-word-1",
        max_tls: ssl.TLSVersion | None = None,
        starttls: bool = True,
        drop_received: int | None = None,
        drop_sent: int | None = None,
        drops: int | None = None,
        receive_buffer: int | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        if tls not in ("implicit", "starttls", "none"):
            raise ValueError(tls)
        self.tls = tls
        self.host = host
        self.extensions = tuple(extensions)
        self.mechanisms = mechanisms
        self.clear_mechanisms = (
            clear_mechanisms if clear_mechanisms is not None else (mechanisms if tls == "none" else "")
        )
        self.username = username
        self.password = password
        self.starttls = starttls
        self.drop_received = drop_received
        self.drop_sent = drop_sent
        self.drops = drops
        self.received: list[Mail] = []
        """Arrived whole, whatever was answered."""
        self.connections: list[Connection] = []
        self._script = {
            key.upper(): value if isinstance(value, str | bytes) else list(value)
            for key, value in (script or {}).items()
        }
        self._certificate = _certificate(certificate)
        self._max_tls = max_tls
        self._receive_buffer = receive_buffer
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._port = 0
        self._open: set[int] = set()
        self.most_open = 0
        """The largest number of connections that were open at one time."""

    @property
    def port(self) -> int:
        """Where it listens, or listened."""
        assert self._port
        return self._port

    @property
    def ca_pem(self) -> str:
        """What a client trusts: enough for the good certificate, and not for the other personas."""
        return self._certificate.ca_pem

    @property
    def commands(self) -> list[str]:
        """Every command line of every connection, in order of connections."""
        return [line for connection in self.connections for line in connection.commands]

    @property
    def clear(self) -> bytes:
        """All that clients sent without TLS (but for the handshake itself)."""
        return b"".join(bytes(connection.clear_in) for connection in self.connections)

    @property
    def messages(self) -> list[Mail]:
        """What was answered with 2xx: what this server promised to deliver."""
        return [mail for mail in self.received if mail.code is not None and 200 <= mail.code < 300]

    def logins(self) -> int:
        """How often a client tried to log in."""
        return sum(line.upper().startswith("AUTH") for line in self.commands)

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> Self:
        self._context = self._certificate.context()
        if self._max_tls is not None:
            with warnings.catch_warnings():
                # That old versions are deprecated is why they are tested.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._context.minimum_version = ssl.TLSVersion.TLSv1
                self._context.maximum_version = self._max_tls
            self._context.set_ciphers("ALL:@SECLEVEL=0")
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._receive_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        listener.bind((self.host, 0))
        listener.listen(256)
        self._listener = listener
        self._port = int(listener.getsockname()[1])
        self._spawn(self._accept)
        return self

    def stop(self) -> None:
        self._stopping.set()
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        if self._listener is not None:
            self._listener.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(self, *exc: object) -> None:
        self.stop()

    def _spawn(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        assert self._listener is not None
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            # Replies leave at once: with Nagle's delay a test of 200 messages would last 40 ms for each.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if self._stopping.is_set():
                    sock.close()
                    return
                connection = Connection(len(self.connections))
                self.connections.append(connection)
                self._sockets.append(sock)
                self._open.add(connection.number)
                self.most_open = max(self.most_open, len(self._open))
            self._spawn(self._serve, sock, connection)

    def _serve(self, sock: socket.socket, connection: Connection) -> None:
        dialogue = self._dialogue(sock, connection)
        try:
            dialogue.run()
        except (_Gone, OSError):
            pass
        finally:
            self._leaves(connection)
            with self._lock:
                if sock in self._sockets:
                    self._sockets.remove(sock)
            dialogue.close()
            connection.ended = True

    def _dialogue(self, sock: socket.socket, connection: Connection) -> _Dialogue:
        return _Dialogue(self, sock, connection)

    def _leaves(self, connection: Connection) -> None:
        with self._lock:
            self._open.discard(connection.number)

    def _action(self, key: str) -> Action:
        """The next action for ``key``."""
        with self._lock:
            planned = self._script.get(key, "ok")
            if isinstance(planned, list):
                return planned.pop(0) if planned else "ok"
            return planned


def running_server(**options: object) -> ScriptedServer:
    """The server for a synchronous test: ``with running_server(tls="starttls") as server``."""
    return ScriptedServer(**options)  # type: ignore[arg-type]


def _certificate(which: str | Certificate) -> Certificate:
    return which if isinstance(which, Certificate) else certificate(which)


class _Dialogue:
    """One connection, in a thread of its own, on a blocking socket."""

    def __init__(self, server: ScriptedServer, sock: socket.socket, connection: Connection) -> None:
        self.server = server
        self.sock: socket.socket = sock
        self.raw = sock
        self.connection = connection
        self.buffer = b""
        self.secure = False
        self.user: str | None = None
        self.sender: str | None = None
        self.options = ""
        self.recipients: list[str] = []
        self.received = 0
        self.sent = 0
        cut = server.drops is None or connection.number < server.drops
        self.drop_received = server.drop_received if cut else None
        self.drop_sent = server.drop_sent if cut else None

    # -- bytes -------------------------------------------------------------------------------------

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()
        with contextlib.suppress(OSError):
            self.raw.close()

    def read(self) -> bytes:
        size = 65536
        if self.drop_received is not None:
            size = min(size, self.drop_received - self.received)
            if size <= 0:
                raise _Gone
        data = self.sock.recv(size)
        if not data:
            raise _Gone
        self.received += len(data)
        (self.connection.tls_in if self.secure else self.connection.clear_in).extend(data)
        return data

    def line(self) -> bytes:
        while b"\n" not in self.buffer:
            self.buffer += self.read()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def write(self, data: bytes) -> None:
        last = False
        if self.drop_sent is not None and self.sent + len(data) >= self.drop_sent:
            data, last = data[: self.drop_sent - self.sent], True
        if data:
            self.sock.sendall(data)
            self.sent += len(data)
            log = self.connection.tls_out if self.secure else self.connection.clear_out
            if len(log) < 1_000_000:
                log.extend(data)
        if last:
            raise _Gone

    def reply(self, text: str) -> int:
        self.write(text.replace("\n", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n")
        digits = text[:3]
        return int(digits) if digits.isdigit() else 0

    def handshake(self) -> None:
        def remember(_: object, name: str | None, __: object) -> None:
            self.connection.server_name = name

        self.server._context.sni_callback = remember  # type: ignore[assignment]
        try:
            self.sock = self.server._context.wrap_socket(self.raw, server_side=True)
        except (ssl.SSLError, OSError) as exc:
            self.connection.handshake_error = str(exc)
            raise _Gone from exc
        with self.server._lock:
            self.server._sockets.append(self.sock)
            self.server._sockets.remove(self.raw)
        self.raw = self.sock
        self.secure = True
        self.connection.tls_version = self.sock.version()  # type: ignore[attr-defined]

    # -- actions -----------------------------------------------------------------------------------

    def perform(self, action: Action, line: str) -> int:
        """Do one action that is not "ok"; the code that was answered, or 0."""
        if isinstance(action, bytes):
            self.write(action)
            return 0
        code = 0
        for part in action.split(" then "):
            verb, _, rest = part.partition(" ")
            if part == "drop":
                raise _Gone
            if part == "reset":
                self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise _Gone
            if part == "hang":
                self.server._stopping.wait()
                raise _Gone
            if part == "endless":
                while not self.server._stopping.is_set():
                    self.write(b"250-and so on\r\n" * 64)
                raise _Gone
            if verb == "flood":
                for _ in range(int(rest) // 65536 + 1):
                    self.write(b"2" * 65536)
            elif verb in ("after", "drip"):
                seconds, _, text = rest.partition(": ")
                if verb == "after":
                    self.pause(float(seconds))
                    code = self.reply(text.replace("{line}", line))
                else:
                    for octet in text.encode() + b"\r\n":
                        self.write(bytes([octet]))
                        self.pause(float(seconds))
            else:
                code = self.reply(part.replace("{line}", line))
        return code

    def pause(self, seconds: float) -> None:
        if self.server._stopping.wait(seconds):
            raise _Gone

    def act(self, key: str, good: str, line: str = "") -> int:
        action = self.server._action(key)
        return self.reply(good) if action == "ok" else self.perform(action, line)

    # -- the exchange ------------------------------------------------------------------------------

    def run(self) -> None:
        if self.server.tls == "implicit":
            before = self.server._action("TLS")
            if before != "ok":
                self.perform(before, "")
            self.handshake()
        self.act("CONNECT", "220 localhost ESMTP scripted")
        while True:
            line = self.line().decode("utf-8", "surrogateescape")
            self.connection.commands.append(line)
            verb = line.split(" ", 1)[0].upper()
            handler = getattr(self, f"on_{verb.lower()}", None)
            if handler is None:
                self.act(verb, "500 5.5.2 unknown command", line)
            else:
                handler(line)

    def on_ehlo(self, line: str) -> None:
        offered = ["localhost", *self.server.extensions]
        if self.server.tls == "starttls" and self.server.starttls and not self.secure:
            offered.append("STARTTLS")
        mechanisms = self.server.mechanisms if self.secure else self.server.clear_mechanisms
        if mechanisms:
            offered.append(f"AUTH {mechanisms}")
        self.act("EHLO", "\n".join([*(f"250-{word}" for word in offered[:-1]), f"250 {offered[-1]}"]), line)

    def on_helo(self, line: str) -> None:
        self.act("HELO", "250 localhost", line)

    def on_starttls(self, line: str) -> None:
        if self.act("STARTTLS", "220 2.0.0 go ahead", line) == 220:
            self.buffer = b""
            self.handshake()

    def on_auth(self, line: str) -> None:
        words = line.split(" ")
        mechanism = words[1].upper() if len(words) > 1 else ""
        good = False
        if mechanism == "PLAIN":
            blob = words[2] if len(words) > 2 else self.challenge("")
            good = _decode(blob).split("\0")[1:] == [self.server.username, self.server.password]
        elif mechanism == "LOGIN":
            name = words[2] if len(words) > 2 else self.challenge("Username:")
            secret = self.challenge("Password:")
            good = (_decode(name), _decode(secret)) == (self.server.username, self.server.password)
        elif mechanism == "CRAM-MD5":
            challenge = "<1.2@localhost>"
            digest = hmac.new(self.server.password.encode(), challenge.encode(), hashlib.md5).hexdigest()
            good = _decode(self.challenge(challenge)) == f"{self.server.username} {digest}"
        line = self.connection.commands[-1]
        code = self.act("AUTH", "235 2.7.0 welcome" if good else "535 5.7.8 bad credentials", line)
        if code == 235:
            self.user = self.server.username

    def challenge(self, text: str) -> str:
        if self.act("CHALLENGE", "334 " + base64.b64encode(text.encode()).decode()) != 334:
            return ""
        answer = self.line().decode("ascii", "replace")
        self.connection.commands.append(answer)
        return answer

    def on_mail(self, line: str) -> None:
        if 200 <= self.act("MAIL", "250 2.1.0 ok", line) < 300:
            self.sender, self.options = _path(line)
            self.recipients = []

    def on_rcpt(self, line: str) -> None:
        if self.sender is None:
            self.reply("503 5.5.1 MAIL first")
        elif 200 <= self.act("RCPT", "250 2.1.5 ok", line) < 300:
            self.recipients.append(_path(line)[0])

    def on_data(self, line: str) -> None:
        if self.sender is None or not self.recipients:
            self.reply("503 5.5.1 no valid recipients")
            return
        if self.act("DATA", "354 go ahead", line) != 354:
            return
        while not (self.buffer.startswith(b".\r\n") or b"\r\n.\r\n" in self.buffer):
            self.buffer += self.read()
        if self.buffer.startswith(b".\r\n"):
            content, self.buffer = b"", self.buffer[3:]
        else:
            head, _, self.buffer = self.buffer.partition(b"\r\n.\r\n")
            content = head + b"\r\n"
        content = re.sub(rb"(?m)^\.", b"", content)
        mail = Mail(
            self.sender,
            self.recipients,
            content,
            self.secure,
            self.user,
            self.options,
            self.connection.number,
        )
        self.sender, self.recipients = None, []
        action = self.server._action("DATA_END")
        if action == "ok":
            action = f"250 2.0.0 queued as {len(self.server.received) + 1}"
        # Noted before the reply leaves: a test looks as soon as the client has it.
        mail.code = _foretold(action)
        self.server.received.append(mail)
        self.perform(action, "")
        after = self.server._action("IDLE")
        if after != "ok":
            self.perform(after, "")

    def on_rset(self, line: str) -> None:
        self.sender, self.recipients = None, []
        self.act("RSET", "250 2.0.0 ok", line)

    def on_noop(self, line: str) -> None:
        self.act("NOOP", "250 2.0.0 ok", line)

    def on_quit(self, line: str) -> None:
        # Counted out before the reply leaves: whoever hears it may open the next one at once.
        self.server._leaves(self.connection)
        self.act("QUIT", "221 2.0.0 bye", line)
        raise _Gone


def _foretold(action: Action) -> int | None:
    """The code that an action for the final dot answers with, if it answers whole."""
    text = action.decode("latin-1") if isinstance(action, bytes) else action
    match = re.search(r"(?:^|: | then )(\d{3}) ", text)
    return int(match[1]) if match and (isinstance(action, str) or text.endswith("\r\n")) else None


def _decode(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return ""


def _path(line: str) -> tuple[str, str]:
    """The address between the angle brackets, and what follows them."""
    match = re.search(r"<(.*)>(.*)", line)
    return (match[1], match[2].strip()) if match else ("", "")
