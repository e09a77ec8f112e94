"""ASGI application of the HTTP server: the paths and who answers each."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from app.http.api import Api
from app.http.endpoints import API, ENDPOINTS
from app.http.guard import AccessRules, Application, Receive, Scope, Send, guard
from app.http.health import HealthCheck
from app.http.metrics import MetricsExporter
from app.http.openapi import make_document
from app.http.responses import make_error_response, make_json_response, make_response
from app.service.context import Call


def make_application(call: Call, rules: AccessRules, health: HealthCheck) -> Application:
    """Return the application of a runtime; `call` names the user that reads."""
    routes = list_routes(call, health)
    router = Router(routes, redirect_slashes=False, default=_answer_unknown_path)
    return guard(router, rules)


def list_routes(call: Call, health: HealthCheck) -> Sequence[Route]:
    """Return the paths of the server."""
    api = Api(call)
    return [
        *(Route(f"{API}{one.path}", api.make_answer(one)) for one in ENDPOINTS),
        Route(f"{API}/openapi.json", _answer_document),
        Route("/healthz", _make_health_endpoint(health)),
        Route("/metrics", _make_metrics_endpoint(MetricsExporter(call))),
    ]


def _make_health_endpoint(health: HealthCheck):
    async def answer(request: Request) -> Response:
        reasons = await health.list_reasons()
        value = {"healthy": not reasons, "reasons": reasons}
        return make_json_response(value, 503 if reasons else 200)

    return answer


def _make_metrics_endpoint(exporter: MetricsExporter):
    async def answer(request: Request) -> Response:
        text, content_type = await exporter.scrape(request.headers.get("accept", ""))
        return make_response(text, content_type)

    return answer


async def _answer_document(request: Request) -> Response:
    return make_json_response(make_document())


async def _answer_unknown_path(scope: Scope, receive: Receive, send: Send) -> None:
    response = make_error_response(404, "there is no such path.", "See: /api/v1/openapi.json")
    await response(scope, receive, send)
