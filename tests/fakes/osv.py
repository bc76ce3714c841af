"""An advisory database that speaks OSV's query API: one release a question, its advisories or ``{}`` as the answer."""

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from fakes.serving import FakeServer


def an_advisory(
    name: str, *, package: str, aliases: Iterable[str] = (), fixed_in: str = "", withdrawn: bool = False
) -> dict[str, Any]:
    """A record in OSV's schema, as far as it is read."""
    events = [{"introduced": "0"}, *([{"fixed": fixed_in}] if fixed_in else [])]
    affected = {"package": {"name": package, "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    record: dict[str, Any] = {"schema_version": "1.7.3", "id": name, "aliases": list(aliases), "summary": "It is bad."}
    record |= {"affected": [affected], "published": "2026-03-24T00:00:00Z"}
    return {**record, "withdrawn": "2026-04-01T00:00:00Z"} if withdrawn else record


FLASK = an_advisory("PYSEC-2019-179", package="flask", aliases=["CVE-2019-1010083"], fixed_in="1.0")


class FakeOsv(FakeServer):
    """``know`` teaches it an advisory. It fails at the packages in ``stumbles_at``."""

    def __init__(self) -> None:
        super().__init__()
        self.stumbles_at: set[str] = set()
        self._known: dict[tuple[str, str], list[dict[str, Any]]] = {}

    @property
    def query_url(self) -> str:
        return f"{self.url}/v1/query"

    @property
    def asked(self) -> set[tuple[str, str]]:
        """The releases that it was asked about, the one that shows what it is worth left out."""
        return {(one.json["package"]["name"], one.json["version"]) for one in self.requests} - {("flask", "0.5")}

    def know(self, package: str, version: str, *advisories: dict[str, Any]) -> None:
        self._known[package, version] = list(advisories)

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/query", self._query)]

    async def _query(self, request: web.Request) -> web.StreamResponse:
        question = await request.json()
        package = question["package"]["name"]
        if package in self.stumbles_at:
            raise web.HTTPInternalServerError
        known = self._known.get((package, question["version"]))
        return await self.answer_json(request, {"vulns": known} if known else {})
