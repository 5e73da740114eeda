"""Mistakes of the smtp node's parameters that show before any run: whatever is written out, not templated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from runner.errors import AttachmentError, FlowpostError, HeaderError, LimitError
from runner.mail import fields
from runner.mail.address import Address, from_value
from runner.mail.attach import check_cid, clean_filename, decode_base64, encode_text, read_content_type
from runner.mail.compose import check_not_taken, own_headers, taken_names
from runner.mail.headers import check_header
from runner.mail.limits import (
    MAX_ATTACHMENTS_BYTES,
    MAX_HEADERS,
    MAX_RECIPIENTS,
    MAX_SUBJECT,
    count_mailboxes,
)
from runner.mail.message import Unsubscribe
from runner.mail.unsubscribe import LIST_UNSUBSCRIBE, LIST_UNSUBSCRIBE_POST, unsubscribe_headers

Pointer = tuple[str | int, ...]
Found = tuple[Pointer, FlowpostError]


def lint(params: Mapping[str, object]) -> Iterator[Found]:
    """Every mistake in the literal parts of ``params``, with its place and the error that a run would raise."""
    yield from _addresses(params)
    yield from _subject(params.get("subject"))
    yield from _headers(params.get("headers"), _taken(params))
    yield from _attachments(params.get("attachments"))
    yield from _unsubscribe(params.get("unsubscribe"))


def _addresses(params: Mapping[str, object]) -> Iterator[Found]:
    recipients: list[Address] = []
    for name in ("to", "cc", "bcc"):
        for pointer, text in _literal_texts((name,), params.get(name)):
            try:
                recipients += from_value(text, name)
            except FlowpostError as error:
                yield pointer, error
    if (found := count_mailboxes(recipients)) > MAX_RECIPIENTS:
        yield ("to",), LimitError(f"{found} recipients, at most {MAX_RECIPIENTS} a message")
    for name in ("from", "reply_to"):
        value = params.get(name)
        if isinstance(value, str):
            problem = _problem(fields.single, value, name)
            if problem:
                yield (name,), problem


def _subject(value: object) -> Iterator[Found]:
    if not isinstance(value, str):
        return
    if any(char in value for char in "\r\n\0"):
        yield ("subject",), HeaderError("Header value contains forbidden characters: a line break in subject")
    elif len(value) > MAX_SUBJECT:
        yield ("subject",), LimitError(f"subject has {len(value):,} characters, at most {MAX_SUBJECT}")


def _taken(params: Mapping[str, object]) -> frozenset[str]:
    """The headers that other parameters set for certain: those that are written out, and right."""
    given = params.get("priority")
    own = own_headers(fields.priority(given) if given in ("low", "normal", "high") else None, None)
    value = params.get("unsubscribe")
    if isinstance(value, Mapping) and any(isinstance(value.get(name), str) for name in ("url", "mailto")):
        own.append((LIST_UNSUBSCRIBE, ""))
        if value.get("one_click") is True:
            own.append((LIST_UNSUBSCRIBE_POST, ""))
    return taken_names(own)


def _headers(value: object, taken: frozenset[str]) -> Iterator[Found]:
    pairs: list[tuple[Pointer, object, object]] = []
    if isinstance(value, Mapping):
        pairs = [(("headers", key), key, item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        pairs = [
            (("headers", index, "key"), item.get("key"), item.get("value"))
            for index, item in enumerate(value)
            if isinstance(item, Mapping)
        ]
    if len(pairs) > MAX_HEADERS:
        yield ("headers",), LimitError(f"{len(pairs)} custom headers, at most {MAX_HEADERS}")
    for pointer, name, item in pairs:
        if isinstance(name, str):
            text = item if isinstance(item, str) else "x"
            problem = _problem(check_header, name, text) or _problem(check_not_taken, name, taken)
            if problem:
                yield pointer, problem


def _attachments(value: object) -> Iterator[Found]:
    if not isinstance(value, list | tuple):
        return
    cids: dict[str, int] = {}
    for index, item in enumerate(value):
        if not isinstance(item, Mapping):
            continue
        data, url = item.get("base64"), item.get("url")
        kind, text = item.get("content_type"), item.get("content")
        if isinstance(kind, str) and isinstance(text, str):
            problem = _problem(encode_text, text, kind)
            if problem:
                yield ("attachments", index, "content_type"), problem
        if isinstance(url, str):
            try:
                from runner.net.url import parse_url

                parse_url(url)
            except ValueError as error:
                yield ("attachments", index, "url"), AttachmentError(str(error))
        if isinstance(data, str):
            problem = _problem(decode_base64, data, MAX_ATTACHMENTS_BYTES)
            if problem:
                yield ("attachments", index, "base64"), problem
        for key, check in _ATTACHED.items():
            text = item.get(key)
            problem = _problem(check, text) if isinstance(text, str) else None
            if problem:
                yield ("attachments", index, key), problem
        cid = item.get("cid")
        if isinstance(cid, str) and cids.setdefault(cid, index) != index:
            message = f'the cid "{cid}" is there twice; the first is that of attachment {cids[cid] + 1}'
            yield ("attachments", index, "cid"), AttachmentError(message)


_ATTACHED: dict[str, Callable[[str], object]] = {
    "filename": clean_filename,
    "content_type": read_content_type,
    "cid": check_cid,
}


def _unsubscribe(value: object) -> Iterator[Found]:
    url, mailto = (value.get("url"), value.get("mailto")) if isinstance(value, Mapping) else (None, None)
    if isinstance(value, Mapping) and isinstance(url, str):
        one_click = value.get("one_click") is True
        problem = _problem(unsubscribe_headers, Unsubscribe(url=url, one_click=one_click))
        if problem:
            yield ("unsubscribe", "url"), problem
    if isinstance(mailto, str) and "?" not in mailto:
        problem = _problem(fields.single, mailto.removeprefix("mailto:"), "unsubscribe.mailto")
        if problem:
            yield ("unsubscribe", "mailto"), problem


def files(params: Mapping[str, object]) -> Iterator[tuple[str, Pointer]]:
    """Files that are attached by a literal path."""
    attachments = params.get("attachments")
    for index, item in enumerate(attachments if isinstance(attachments, list | tuple) else ()):
        if isinstance(item, Mapping) and isinstance(item.get("file"), str):
            yield item["file"], ("attachments", index, "file")


def urls(params: Mapping[str, object]) -> Iterator[tuple[str, Pointer]]:
    """Attachment URLs that are written out."""
    attachments = params.get("attachments")
    for index, item in enumerate(attachments if isinstance(attachments, list | tuple) else ()):
        if isinstance(item, Mapping) and isinstance(item.get("url"), str):
            yield item["url"], ("attachments", index, "url")


def _literal_texts(pointer: Pointer, value: object) -> Iterator[tuple[Pointer, str]]:
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _literal_texts((*pointer, index), item)


def _problem(action: Callable[..., object], *arguments: object) -> FlowpostError | None:
    try:
        action(*arguments)
    except FlowpostError as error:
        return error
    return None
