"""What the document promises is what the endpoints do: schemathesis looks for a difference."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx
import pytest
from hookservice import TOKEN, Service, ended_run, serving

from runner.triggers.webhook import Hooks
from runner.web.openapi import document

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


async def nothing_found(folder: Path, *arguments: str) -> None:
    """Fail with what schemathesis reports."""
    process = await asyncio.create_subprocess_exec(
        SCHEMATHESIS,
        "run",
        *arguments,
        "--max-examples=25",
        "--seed=1",
        "--no-color",
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode:
        pytest.fail(said.decode())


@pytest.mark.timeout(400)
async def test_schemathesis_finds_nothing_in_the_published_document(tmp_path: Path) -> None:
    service = Service()
    async with serving(service):
        await nothing_found(tmp_path, f"{service.url}/openapi.json")


@pytest.mark.timeout(400)
async def test_schemathesis_finds_nothing_in_the_hooks_of_flows(tmp_path: Path) -> None:
    service = Service(run=ended_run())
    # The hook whose credential is gone answers 503, as it must.
    service.replace_flows(*service.flow_list[:-1])
    described = tmp_path / "openapi.json"
    described.write_text(json.dumps(document(Hooks(service.flows).table().values())))
    async with serving(service):
        await nothing_found(
            tmp_path, str(described), f"--url={service.url}", "--header", f"Authorization: Bearer {TOKEN}"
        )

    assert {flow.name for flow, _, _ in service.events} == {"open", "crm-person", "token"}


async def test_every_answer_of_a_hook_is_in_the_document() -> None:
    responses = document()["paths"]["/hooks/{path}"]["post"]["responses"]

    wanted = {200, 202, 400, 401, 404, 405, 408, 409, 413, 415, 429, 431, 500, 503}
    assert set(responses) == {str(code) for code in wanted}


async def test_the_document_is_served_as_json() -> None:
    async with serving(Service()) as client:
        answer: httpx.Response = await client.get("/openapi.json")

    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == document()
