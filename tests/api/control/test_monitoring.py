"""The management door's numbers."""

from __future__ import annotations

import httpx

from tests.api.control.conftest import Api, problem


async def scraped(api: Api, **headers: str) -> httpx.Response:
    """Asked from this machine, which the test client does not claim to be."""
    transport = httpx.ASGITransport(app=api.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://control") as client:
        return await client.get("/metrics", headers=headers)


async def test_requests_are_counted_by_route_and_the_backlog_of_rights_is_told(api: Api) -> None:
    api.get("/api/v1/customers/nobody")
    text = (await scraped(api)).text
    assert 'route="/api/v1/customers/{customer_id}",status="404"' in text
    assert "aforo_rights_outbox_rows" in text and "aforo_database_up 1.0" in text
    assert "nobody" not in text


async def test_they_are_not_told_through_a_proxy_or_to_strangers(api: Api) -> None:
    problem(await scraped(api, forwarded="for=203.0.113.9"), 403, "FORBIDDEN")
    problem(api.client.get("/metrics"), 403, "FORBIDDEN")
