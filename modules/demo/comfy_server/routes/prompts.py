"""Prompts: handing them in, following them by polling, taking them back."""

from __future__ import annotations

import asyncio

from aiohttp import web

from modules.demo.comfy_server.core import Refused, Route, ServerCore
from modules.demo.comfy_server.routes import job_views
from modules.demo.comfy_server.routes.bodies import broken, json_body, object_body


class PromptRoutes:
    """/prompt, /queue, /history, /interrupt, /free and the jobs."""

    def __init__(self, core: ServerCore) -> None:
        self._core = core

    def table(self) -> list[Route]:
        """All but the jobs."""
        return [
            ("GET", "/prompt", self.queue_info),
            ("POST", "/prompt", self.submit),
            ("GET", "/queue", self.queue),
            ("POST", "/queue", self.change_queue),
            ("GET", "/history", self.history),
            ("POST", "/history", self.change_history),
            ("GET", "/history/{prompt_id}", self.history_of),
            ("POST", "/interrupt", self.interrupt),
            ("POST", "/free", self.free),
        ]

    def jobs_table(self) -> list[Route]:
        """The jobs, which exist only under /api."""
        return [
            ("GET", "/api/jobs", self.jobs),
            ("GET", "/api/jobs/{prompt_id}", self.job),
            ("POST", "/api/jobs/{prompt_id}/cancel", self.cancel_job),
        ]

    async def queue_info(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._core.status()["status"])

    async def submit(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request)
        await asyncio.sleep(self._core.bench.timing.handover)
        try:
            return web.json_response(self._core.submit(body))
        except Refused as refused:
            return web.json_response(refused.body, status=400)
        except (AttributeError, TypeError, ValueError, LookupError) as error:
            raise broken() from error

    async def queue(self, request: web.Request) -> web.StreamResponse:
        queue = self._core.queue
        running = [] if queue.running is None else [queue.running.as_list()]
        pending = [prompt.as_list() for prompt in queue.pending()]
        return web.json_response({"queue_running": running, "queue_pending": pending})

    async def change_queue(self, request: web.Request) -> web.StreamResponse:
        body = await object_body(request)
        if body.get("clear"):
            self._core.queue.clear()
        for prompt_id in body.get("delete", ()):
            self._core.queue.delete(prompt_id)
        return web.Response()

    async def history(self, request: web.Request) -> web.StreamResponse:
        entries = list(self._core.queue.history.items())
        most, offset = request.query.get("max_items"), int(request.query.get("offset", -1))
        if most is not None:
            start = len(entries) - int(most) if offset < 0 else offset
            entries = entries[max(0, start) :][: int(most)]
        elif offset > 0:
            entries = entries[offset:]
        return web.json_response({prompt_id: record.as_dict() for prompt_id, record in entries})

    async def history_of(self, request: web.Request) -> web.StreamResponse:
        prompt_id = request.match_info["prompt_id"]
        record = self._core.queue.history.get(prompt_id)
        return web.json_response({} if record is None else {prompt_id: record.as_dict()})

    async def change_history(self, request: web.Request) -> web.StreamResponse:
        body = await object_body(request)
        if body.get("clear"):
            self._core.queue.history.clear()
        for prompt_id in body.get("delete", ()):
            self._core.queue.history.pop(prompt_id, None)
        return web.Response()

    async def interrupt(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.json()
        except ValueError:
            body = {}
        self._core.interrupt(body.get("prompt_id"))
        return web.Response()

    async def free(self, request: web.Request) -> web.StreamResponse:
        body = await object_body(request)
        if body.get("unload_models") or body.get("free_memory"):
            self._core.free()
        return web.Response()

    async def jobs(self, request: web.Request) -> web.StreamResponse:
        wanted = request.query.get("status", ",".join(job_views.STATUSES)).split(",")
        limit = request.query.get("limit")
        if unknown := [status for status in wanted if status not in job_views.STATUSES]:
            valid = ", ".join(job_views.STATUSES)
            why = f"Invalid status value(s): {', '.join(unknown)}. Valid values: {valid}"
            return web.json_response({"error": why}, status=400)
        if limit is not None and not limit.isdigit():
            return web.json_response({"error": "limit must be an integer"}, status=400)
        offset = max(0, int(request.query.get("offset", 0)))
        page = job_views.listing(self._core.queue, set(wanted), offset, None if limit is None else int(limit))
        return web.json_response(page)

    async def job(self, request: web.Request) -> web.StreamResponse:
        found = job_views.detail(self._core.queue, request.match_info["prompt_id"])
        return (
            web.json_response({"error": "Job not found"}, status=404)
            if found is None
            else web.json_response(found)
        )

    async def cancel_job(self, request: web.Request) -> web.StreamResponse:
        prompt_id = request.match_info["prompt_id"]
        cancelled = self._core.queue.delete(prompt_id) or self._core.interrupt(prompt_id)
        return web.json_response({"cancelled": cancelled})
