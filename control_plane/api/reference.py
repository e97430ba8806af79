"""``/docs``: the API's reference as one page, made from the OpenAPI document. No script, nothing fetched."""

import json
from html import escape
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

router = APIRouter()

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem 1.5rem }
code, pre { font: 13px/1.45 ui-monospace, monospace }
pre { overflow-x: auto; padding: .6rem; background: color-mix(in srgb, currentColor 7%, transparent) }
details { border-top: 1px solid color-mix(in srgb, currentColor 20%, transparent); padding: .4rem 0 }
summary { cursor: pointer } summary b { display: inline-block; min-width: 4.2rem }
table { border-collapse: collapse; width: 100% } td { vertical-align: top; padding: .15rem .8rem .15rem 0 }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@router.get("/docs", include_in_schema=False)
async def reference(request: Request) -> Response:
    """The page."""
    page = render(request.app.openapi())
    return Response(page, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _POLICY})


def render(document: dict[str, Any]) -> str:
    """The whole reference as HTML."""
    info = document["info"]
    sections = "".join(_section(document, tag) for tag in document.get("tags", ()))
    schemas = "".join(
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> {escape(schema.get("description", ""))}'
        f"</summary><pre>{_json(schema)}</pre></details>"
        for name, schema in sorted(document["components"]["schemas"].items())
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<pre>{escape(info.get('description', ''))}</pre>"
        f'<p>For programs: <a href="/openapi.json">/openapi.json</a></p>'
        f"{sections}<h2>Schemas</h2>{schemas}</body></html>"
    )


def _section(document: dict[str, Any], tag: dict[str, str]) -> str:
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag["name"] in operation.get("tags", ())
    )
    return f"<h2>{escape(tag['name'])}</h2><p>{escape(tag.get('description', ''))}</p>{operations}"


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{escape(one['in'])}</td>"
        f"<td>{escape(one.get('description', ''))} <code>{_json(one.get('schema', {}), indent=None)}</code></td></tr>"
        for one in operation.get("parameters", ())
    )
    body = "".join(
        f"<p>Body: {_reference(content.get('schema', {}))}</p>"
        for content in operation.get("requestBody", {}).get("content", {}).values()
    )
    responses = "".join(
        f"<tr><td><code>{escape(status)}</code></td><td>{escape(response.get('description', ''))}</td><td>"
        + ", ".join(
            f"<code>{escape(kind)}</code> {_reference(content.get('schema', {}))}"
            for kind, content in response.get("content", {}).items()
        )
        + "</td></tr>"
        for status, response in sorted(operation["responses"].items())
    )
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> {escape(operation.get('summary', ''))}"
        f"</summary><p>{escape(operation.get('description', ''))}</p><table>{parameters}</table>{body}"
        f"<table>{responses}</table></details>"
    )


def _reference(schema: dict[str, Any]) -> str:
    name = str(schema.get("$ref", "")).rsplit("/", 1)[-1]
    return (
        f'<a href="#{escape(name)}">{escape(name)}</a>'
        if name
        else f"<code>{_json(schema, indent=None)}</code>"
    )


def _json(value: Any, indent: int | None = 1) -> str:
    return escape(json.dumps(value, indent=indent, ensure_ascii=False, default=str))
