"""The pages for people: the reader, the account, and the interactive documentation of the API."""

from __future__ import annotations

from pathlib import Path

import fastapi_offline
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parent


def pages() -> list[Route | Mount]:
    """Return the routes of the pages and of what they load."""

    async def reader(request: Request) -> Response:  # noqa: ARG001 - a route takes its request
        return FileResponse(FOLDER / "reader" / "index.html")

    async def account(request: Request) -> Response:  # noqa: ARG001 - a route takes its request
        return RedirectResponse("/account/")

    async def docs(request: Request) -> Response:  # noqa: ARG001 - a route takes its request
        return FileResponse(FOLDER / "docs_page" / "index.html")

    async def docs_script(request: Request) -> Response:  # noqa: ARG001 - a route takes its request
        return FileResponse(FOLDER / "docs_page" / "page.js")

    assets = Path(fastapi_offline.__file__).parent / "static"
    return [
        Route("/", reader),
        Mount("/reader", StaticFiles(directory=FOLDER / "reader")),
        Mount("/client", StaticFiles(directory=FOLDER / "client")),  # clients/javascript/src
        Route("/account", account),  # a relative address: no Host that somebody made up is in it
        Mount("/account", StaticFiles(directory=FOLDER / "account", html=True)),
        Route("/docs", docs),
        Route("/docs/page.js", docs_script),
        Mount("/docs/assets", StaticFiles(directory=assets)),
    ]
