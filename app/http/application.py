"""ASGI application of the HTTP server: its paths, each with a handler."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from app.http.access import AccessRules, restrict_access
from app.http.api import Api, Handler
from app.http.endpoints import API, ENDPOINTS
from app.http.health import HealthCheck
from app.http.metrics import MetricsExporter
from app.http.openapi import make_document
from app.http.responses import make_error_response, make_json_response, make_response
from app.service.context import Call


def make_application(call: Call, rules: AccessRules, health: HealthCheck) -> ASGIApp:
    """Return the application of a runtime; `call` names the user that reads."""
    routes = list_routes(call, health)
    router = Router(routes, redirect_slashes=False, default=_handle_unknown_path)
    return restrict_access(router, rules)


def list_routes(call: Call, health: HealthCheck) -> Sequence[Route]:
    """Return the paths of the server."""
    api = Api(call)
    return [
        *(Route(f"{API}{one.path}", api.make_handler(one)) for one in ENDPOINTS),
        Route(f"{API}/openapi.json", _handle_document_request),
        Route("/healthz", _make_health_handler(health)),
        Route("/metrics", _make_metrics_handler(MetricsExporter(call))),
    ]


def _make_health_handler(health: HealthCheck) -> Handler:
    async def handle(request: Request) -> Response:
        reasons = await health.list_reasons()
        value = {"healthy": not reasons, "reasons": reasons}
        return make_json_response(value, 503 if reasons else 200)

    return handle


def _make_metrics_handler(exporter: MetricsExporter) -> Handler:
    async def handle(request: Request) -> Response:
        text, content_type = await exporter.scrape(request.headers.get("accept", ""))
        return make_response(text, content_type)

    return handle


async def _handle_document_request(request: Request) -> Response:
    return make_json_response(make_document())


async def _handle_unknown_path(scope: Scope, receive: Receive, send: Send) -> None:
    response = make_error_response(404, "there is no such path.", "See: /api/v1/openapi.json")
    await response(scope, receive, send)
