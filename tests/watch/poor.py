"""Follows a workspace in a process of its own that lacks something, and says when a change was live, as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from pathlib import Path

from following import following


async def main(root: Path, changes: list[list[str]]) -> None:
    records: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.getMessage())

    logging.getLogger("flowpost").addHandler(Keep())
    logging.getLogger("flowpost").setLevel(logging.INFO)
    seconds = []
    async with following(root) as here:
        for name, text, shown in changes:
            start = time.monotonic()
            if text.startswith("mode "):
                (root / name).chmod(int(text.removeprefix("mode "), 8))
            else:
                (root / name).write_text(text)
            try:
                await here.until(lambda want=shown: json.dumps(here.texts(), sort_keys=True) == want, 10)
                seconds.append(time.monotonic() - start)
            except AssertionError as error:
                seconds.append(-1.0)
                records.append(str(error))
            await asyncio.sleep(0.3)
        stale = sorted(here.catalog.stale)
        found = [str(finding) for finding in here.catalog.findings]
    print(json.dumps({"seconds": seconds, "log": records, "stale": stale, "findings": found}))


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    asyncio.run(main(Path(given["root"]), given["changes"]))
