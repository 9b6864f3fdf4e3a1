"""Errors as problem+json (RFC 9457): type, title, status, detail, and a hint what to do next."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from retaild.api.errors import RetaildError

_log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
#: Seconds after which a refused request may be sent again.
RETRY_AFTER = {429: "1", 503: "5"}

#: Keys of errors that are not 400 and do not say their status by their ending.
_STATUS = {
    "access.not_signed_in": 401,
    "access.login": 401,
    "access.forbidden": 403,
    "access.csrf": 403,
    "access.throttled": 429,
    "identity.not_ready": 503,
    "events.queue_full": 429,
    "events.backlog": 503,
    "events.log_failed": 503,
    "events.too_many": 413,
    "request.too_large": 413,
    "bus.disk_full": 507,
    "proposal.decided": 409,
    "price.not_learned": 404,
    "price.no_model": 404,
    "price.unknown_product": 404,
    "registry.unknown_version": 404,
    "registry.busy": 503,
    "daemon.not_running": 503,
    "daemon.no_answer": 504,
    "lake.no_table": 404,
    "serve.not_ready": 503,
    "serve.too_many_streams": 503,
    "transient": 503,
}
_ENDINGS = {
    "unknown": 404,
    "not_found": 404,
    "running": 409,
    "busy": 409,
    "queued": 409,
    "conflict": 409,
}


class Problem(BaseModel):
    """What went wrong."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "customer.unknown",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "There is no customer 'x'.",
                    "hint": "Search with GET /api/v1/customers?q=.",
                }
            ]
        }
    )

    type: str = Field(description="Stable key of the error, safe to match on.")
    title: str = Field(description="The HTTP status in words.")
    status: int
    detail: str = Field(description="What happened, in a sentence.")
    hint: str = Field(description="What to do next; may be empty.")


def status_of(error: RetaildError) -> int:
    """The HTTP status of an error, by its stable key."""
    return _STATUS.get(error.key) or _ENDINGS.get(error.key.rpartition(".")[2], 400)


def problem_bytes(status: int, key: str, detail: str, hint: str = "", **more: Any) -> bytes:
    body = {
        "type": key,
        "title": _title(status),
        "status": status,
        "detail": detail,
        "hint": hint,
        **more,
    }
    return json.dumps(body).encode()


def problem(status: int, key: str, detail: str, hint: str = "", **more: Any) -> Response:
    headers = {"retry-after": RETRY_AFTER[status]} if status in RETRY_AFTER else None
    content = problem_bytes(status, key, detail, hint, **more)
    return Response(content, status, headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Every error of the app becomes a problem."""
    app.add_exception_handler(RetaildError, _retaild_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _unexpected)


async def _retaild_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RetaildError)
    return problem(status_of(error), error.key, error.message, error.hint)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    key = {404: "http.not_found", 405: "http.method_not_allowed"}.get(error.status_code, "http")
    detail = f"{request.method} {request.url.path}: {error.detail}."
    response = problem(error.status_code, key, detail, "See /api/v1/openapi.json for the routes.")
    if error.headers:
        response.headers.update(error.headers)
    return response


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [
        {"where": ".".join(str(part) for part in fault["loc"]), "message": fault["msg"]}
        for fault in error.errors()
    ]
    detail = "; ".join(f"{fault['where']}: {fault['message']}" for fault in faults)
    hint = "Correct the named fields; /api/v1/openapi.json describes them."
    return problem(422, "request.invalid", detail, hint, faults=faults)


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("%s %s", request.method, request.url.path, exc_info=error)
    detail = f"An unexpected {type(error).__name__}."
    return problem(500, "server.unexpected", detail, "The serve worker's log says more.")


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
