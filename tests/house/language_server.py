"""A client of the YAML language server: the program that completes and explains YAML in people's editors."""

from __future__ import annotations

import json
import os
import pwd
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PACKAGE = "yaml-language-server"
VERSION = "1.25.0"
INSTALL_SECONDS = 180
ANSWER_SECONDS = 30


class Unavailable(Exception):
    """The server cannot be had here; the text says why."""


def cache_folder() -> Path:
    """Where the server is kept between runs: in the virtual environment, so that git sees nothing of it."""
    return Path(sys.prefix) / "share" / "flowpost-tests" / f"{PACKAGE}-{VERSION}"


def install(folder: Path) -> Path:
    """Install the server into ``folder`` unless it is there; returns its start file. Raises Unavailable."""
    start = folder / "node_modules" / PACKAGE / "bin" / PACKAGE
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise Unavailable(f"{tool} is not installed")
    if (folder / ".complete").exists():
        return start
    # Installed aside and renamed: a run that was interrupted leaves no half of a server behind.
    aside = folder.with_name(f"{folder.name}.{os.getpid()}")
    try:
        aside.mkdir(parents=True)
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(
            ["npm", "install", "--prefix", aside, "--cache", aside / ".npm", *quiet, f"{PACKAGE}@{VERSION}"],
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            # The tests have a home of their own; how the registry is reached stands in the person's.
            env=os.environ | {"HOME": pwd.getpwuid(os.getuid()).pw_dir},
        )
        if done.returncode:
            raise Unavailable(f"npm install failed: {done.stderr.strip()[-400:]}")
        shutil.rmtree(aside / ".npm", ignore_errors=True)
        (aside / ".complete").touch()
        aside.rename(folder)
    except subprocess.TimeoutExpired as expired:
        raise Unavailable(f"npm install took over {INSTALL_SECONDS} s") from expired
    except OSError as error:
        # Another run may have been faster.
        if not (folder / ".complete").exists():
            raise Unavailable(f"{folder} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return start


class LanguageServer:
    """One running server, spoken to in LSP over its standard input and output.

    ``root`` is the folder that the editor has open, ``schemas`` its setting ``yaml.schemas``.
    """

    def __init__(
        self, start: Path, *, root: Path | None = None, schemas: Mapping[str, object] | None = None
    ) -> None:
        self._folders = [{"uri": root.as_uri(), "name": root.name}] if root else None
        self._settings = {
            "schemaStore": {"enable": False},
            "schemas": dict(schemas or {}),
            "validate": True,
            "hover": True,
            "completion": True,
        }
        self._process = subprocess.Popen(
            ["node", str(start), "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self._diagnostics: dict[str, list[dict[str, Any]]] = {}
        self._serial = 0
        self._configured = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        self.request(
            "initialize",
            {
                "processId": None,
                "rootUri": self._folders[0]["uri"] if self._folders else None,
                "workspaceFolders": self._folders,
                "capabilities": {
                    "textDocument": {
                        "completion": {
                            "completionItem": {
                                "snippetSupport": True,
                                "documentationFormat": ["markdown", "plaintext"],
                            }
                        },
                        "hover": {"contentFormat": ["markdown", "plaintext"]},
                        "publishDiagnostics": {},
                    },
                    "workspace": {"configuration": True},
                },
            },
        )
        self.notify("initialized", {})
        # A document that is opened before the server knows its settings is judged without them.
        while not self._configured:
            self._handle(self._messages.get(timeout=ANSWER_SECONDS))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._reader.join()  # before the pipe is closed under its hands
        self._process.communicate()

    def open(self, path: Path, text: str) -> None:
        """Show the server a document, once for each path; ``text`` stands in for what is on disk."""
        self._diagnostics.pop(path.as_uri(), None)
        self._serial += 1
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": self._serial, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def complete(self, path: Path, line: int, column: int) -> dict[str, dict[str, Any]]:
        """The completions at a place (both from 0), by label."""
        answer = self.request("textDocument/completion", self._place(path, line, column))
        items = answer["items"] if isinstance(answer, dict) else answer or []
        return {item["label"]: item for item in items}

    def hover(self, path: Path, line: int, column: int) -> str:
        """The text of the hover at a place (both from 0); empty when there is none."""
        answer = self.request("textDocument/hover", self._place(path, line, column))
        if not answer:
            return ""
        contents = answer["contents"]
        return contents["value"] if isinstance(contents, dict) else str(contents)

    def diagnostics(self, path: Path) -> list[dict[str, Any]]:
        """What the server finds wrong with an open document, once it has said so."""
        while path.as_uri() not in self._diagnostics:
            self._handle(self._messages.get(timeout=ANSWER_SECONDS))
        return self._diagnostics[path.as_uri()]

    def request(self, method: str, parameters: dict[str, Any]) -> Any:
        """Ask, and wait for the answer; questions of the server are answered meanwhile."""
        self._serial += 1
        self._send({"jsonrpc": "2.0", "id": self._serial, "method": method, "params": parameters})
        while True:
            message = self._messages.get(timeout=ANSWER_SECONDS)
            if message.get("id") == self._serial and "method" not in message:
                assert "error" not in message, message["error"]
                return message["result"]
            self._handle(message)

    def notify(self, method: str, parameters: dict[str, Any]) -> None:
        """Tell, without an answer."""
        self._send({"jsonrpc": "2.0", "method": method, "params": parameters})

    def _handle(self, message: dict[str, Any]) -> None:
        if message.get("method") == "textDocument/publishDiagnostics":
            self._diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif message.get("method") == "workspace/configuration":
            self._configured = True
            sections = [item.get("section") for item in message["params"]["items"]]
            result = [self._settings if section == "yaml" else None for section in sections]
            self._send({"jsonrpc": "2.0", "id": message["id"], "result": result})
        elif "id" in message and "method" in message:
            self._send({"jsonrpc": "2.0", "id": message["id"], "result": None})

    def _send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        self._process.stdin.flush()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while True:
            length = 0
            while (line := stream.readline()).strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            content = stream.read(length)
            if not length or len(content) < length:
                return
            self._messages.put(json.loads(content))

    @staticmethod
    def _place(path: Path, line: int, column: int) -> dict[str, Any]:
        return {"textDocument": {"uri": path.as_uri()}, "position": {"line": line, "character": column}}
