"""STARTTLS against servers that do not want it, and against somebody in the middle who does not."""

from __future__ import annotations

import pytest
from conftest import corpus, needs_corpora
from servers.client import ENVELOPE, MESSAGE, credential_for, guard
from servers.loops import anyio_backend  # noqa: F401
from servers.scripted import Action, ScriptedServer

from runner.errors import FlowpostError
from runner.model import Outcome
from runner.smtp.pool import Sender

CASES = corpus("smtp-protocol/starttls-scripts.jsonl")
FORBIDDEN = (b"AUTH", b"MAIL", b"RCPT", b"DATA", b"Subject")


async def attempt(server: ScriptedServer) -> Outcome | FlowpostError:
    async with Sender(guard()) as sender:
        try:
            return await sender.send(credential_for(server, timeout_seconds=1.0), ENVELOPE, MESSAGE)
        except FlowpostError as exc:
            return exc


def spoke_in_clear(server: ScriptedServer) -> list[bytes]:
    return [word for word in FORBIDDEN if word in server.clear]


def scripted(script: dict[str, object]) -> ScriptedServer:
    """The corpus's description of a server, as one of ours."""
    actions: dict[str, Action | list[Action]] = {}
    for name in script["hide_commands"]:  # type: ignore[attr-defined]
        actions[name.upper()] = "500 5.5.2 unknown command"
    if script["greeting"]:
        actions["CONNECT"] = str(script["greeting"]).encode()
    for name, text in script["override_response"].items():  # type: ignore[attr-defined]
        # As bytes it is the whole of what the command does: no handshake follows.
        actions[name.upper()] = text.encode()
    if script["stls_response"]:
        text = str(script["stls_response"])
        actions["STARTTLS"] = (
            text.removesuffix("\r\n").replace("\r\n", "\n")
            if script["stls_make_transition"]
            else text.encode()
        )
    if "ehlo" in script.get("ignore_commands_tls", []):  # type: ignore[operator]
        actions["EHLO"] = ["ok", "hang"]
    extensions = ["PIPELINING", *(["STARTTLS"] if script["advertises_starttls"] else [])]
    return ScriptedServer(
        tls="starttls",
        starttls=bool(script["advertises_starttls"]),
        script=actions,
        extensions=[word for word in extensions if word != "STARTTLS"],
        mechanisms=" ".join(script["auth_in_tls"]),  # type: ignore[arg-type]
        clear_mechanisms=" ".join(script["advertises_auth_in_clear"]),  # type: ignore[arg-type]
    )


@needs_corpora
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
async def test_the_public_scripts_come_out_as_they_must(case: dict[str, object]) -> None:
    async with scripted(case["script"]) as server:  # type: ignore[arg-type]
        result = await attempt(server)

    assert spoke_in_clear(server) == []
    if case["expected"] == "send_ok_over_tls":
        assert isinstance(result, Outcome)
        assert server.messages[0].tls
    else:
        assert isinstance(result, FlowpostError)
        assert server.logins() == 0


REFUSALS: dict[str, Action] = {
    "refused for now": "454 4.7.0 TLS not available",
    "refused for good": "502 5.5.1 not implemented",
    "wrong positive code": "250 ok",
    "wrong intermediate code": "354 go ahead",
    "says yes and does nothing": b"220 go ahead\r\n",
    "says yes and closes": "220 go ahead then drop",
    "says yes, then a second reply": "220 go ahead\n250 ok",
    "two replies in one packet": b"220 go ahead\r\n250-localhost\r\n250 AUTH PLAIN\r\n",
    "half a reply behind": b"220 go ahead\r\n250-loc",
    "closes": "drop",
    "says nothing": "hang",
    "is no reply": b"\xff\xfe\r\n",
}


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS)
async def test_without_a_clean_yes_to_starttls_nothing_is_said(answer: Action) -> None:
    async with ScriptedServer(
        tls="starttls", clear_mechanisms="PLAIN", script={"STARTTLS": answer}
    ) as server:
        result = await attempt(server)

    assert isinstance(result, FlowpostError)
    assert spoke_in_clear(server) == []


async def test_a_server_without_starttls_is_named_and_told_nothing() -> None:
    async with ScriptedServer(tls="starttls", starttls=False, clear_mechanisms="PLAIN") as server:
        result = await attempt(server)

    assert isinstance(result, FlowpostError)
    assert result.code == "ETLS"
    assert result.message.startswith("STARTTLS is not offered by localhost:")
    assert server.commands[1:] == []


async def test_a_reply_too_many_in_clear_ends_the_session() -> None:
    async with ScriptedServer(
        tls="starttls", script={"EHLO": "250-localhost\n250 STARTTLS\n250 injected"}
    ) as server:
        result = await attempt(server)

    assert isinstance(result, FlowpostError)
    assert "not asked for" in result.message
    assert "STARTTLS" not in server.commands


async def test_a_reply_too_many_under_tls_ends_the_session_before_the_login() -> None:
    async with ScriptedServer(script={"CONNECT": "220 hello\n250 and more"}) as server:
        result = await attempt(server)

    assert isinstance(result, FlowpostError)
    assert server.logins() == 0
