"""Answers of the API: a verb is called, and its result becomes JSON of bounded size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from app.core.text.sanitize import sanitize
from app.errors import Conflict, NotFound, Problem, Storage, Usage
from app.http.endpoints import Endpoint
from app.http.log_pages import read_page
from app.http.parameters import parse_parameters
from app.http.responses import make_error_response, make_json_response, make_response
from app.service.context import Call
from app.service.registry import call_verb

MAX_CALLS = 4
"""Maximum number of verbs that run at once, so that deck and commands keep their share."""
MAX_ITEMS = 5_000
"""Maximum entries of a list in an answer: encoding more would delay the runtime."""
STATUS_BY_EXIT_CODE = {
    Usage.exit_code: 400, NotFound.exit_code: 404, Conflict.exit_code: 409, Storage.exit_code: 503,
}  # fmt: skip

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Api:
    """The endpoints of one runtime."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._semaphore = asyncio.Semaphore(MAX_CALLS)

    def make_handler(self, endpoint: Endpoint) -> Handler:
        """Return the function that answers requests to an endpoint."""

        async def handle(request: Request) -> Response:
            try:
                return await self._handle(endpoint, request)
            except Problem as problem:
                return make_problem_response(problem)

        return handle

    async def _handle(self, endpoint: Endpoint, request: Request) -> Response:
        query = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        values = parse_parameters(endpoint.parameters, request.path_params, query)
        async with self._semaphore:
            result = await call_verb(self._call, endpoint.verb, endpoint.make_arguments(values))
        if endpoint.verb == "log":
            return await _make_log_response(result, values)
        answer = endpoint.shape(result, values)
        if (count := count_items(answer)) > MAX_ITEMS:
            message = f"the answer has {count:,} entries, above the limit of {MAX_ITEMS:,}."
            return make_error_response(413, message, "Ask for less, or use the command line.")
        return make_json_response(answer)


async def _make_log_response(result: dict[str, Any], values: dict[str, Any]) -> Response:
    page = await asyncio.to_thread(read_page, result, values["offset"], values["limit"])
    data = page.pop("data")
    if values["format"] == "json":
        return make_json_response(page | {"text": data.decode("utf-8", "replace")})
    headers = {"x-log-offset": str(page["offset"]), "x-log-size": str(page["size"])}
    if page["next"] is not None:
        headers["x-log-next"] = str(page["next"])
    return make_response(data, "text/plain", headers=headers)


def count_items(answer: Any) -> int:
    """Return the length of the longest list of an answer, two levels deep."""
    if isinstance(answer, list):
        return len(answer)
    values = answer.values() if isinstance(answer, dict) else ()
    return max((len(value) for value in values if isinstance(value, list | dict)), default=0)


def make_problem_response(problem: Problem) -> Response:
    """Return an error of a verb, without control characters."""
    status = STATUS_BY_EXIT_CODE.get(problem.exit_code, 503)
    message = sanitize(problem.message).removesuffix(" Nothing was done.")
    return make_error_response(status, message, problem.hint, problem.code)
