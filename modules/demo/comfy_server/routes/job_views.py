"""The newer way to ask about prompts: /api/jobs, made of queue and history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modules.demo.comfy_server.prompt_queue import Prompt, PromptQueue, RunRecord

STATUSES = ("pending", "in_progress", "completed", "failed", "cancelled")


def listing(queue: PromptQueue, wanted: set[str], offset: int, limit: int | None) -> dict[str, Any]:
    """/api/jobs: the newest first."""
    jobs = [job for job in _all(queue) if job["status"] in wanted]
    jobs.sort(key=lambda job: job["create_time"], reverse=True)
    shown = jobs[offset:] if limit is None else jobs[offset : offset + limit]
    more = offset + len(shown) < len(jobs)
    return {
        "jobs": shown,
        "pagination": {"offset": offset, "limit": limit, "total": len(jobs), "has_more": more},
    }


def detail(queue: PromptQueue, prompt_id: str) -> dict[str, Any] | None:
    """/api/jobs/{id}, or None for an unknown one."""
    for prompt, status in _unfinished(queue):
        if prompt.id == prompt_id:
            return {**_summary(prompt, status), "workflow": _workflow(prompt)}
    record = queue.history.get(prompt_id)
    if record is None:
        return None
    return {
        **_ended(record),
        "outputs": record.outputs,
        "execution_status": record.status(),
        "workflow": _workflow(record.prompt),
    }


def _all(queue: PromptQueue) -> Iterator[dict[str, Any]]:
    for prompt, status in _unfinished(queue):
        yield _summary(prompt, status)
    for record in queue.history.values():
        yield _ended(record)


def _unfinished(queue: PromptQueue) -> Iterator[tuple[Prompt, str]]:
    for prompt in queue.pending():
        yield prompt, "pending"
    if queue.running is not None:
        yield queue.running, "in_progress"


def _summary(prompt: Prompt, status: str) -> dict[str, Any]:
    return {
        "id": prompt.id,
        "status": status,
        "priority": prompt.number,
        "create_time": prompt.extra.get("create_time"),
        "outputs_count": 0,
        "previewable_outputs_count": 0,
    }


def _ended(record: RunRecord) -> dict[str, Any]:
    images = [
        {**image, "nodeId": node_id, "mediaType": "images"}
        for node_id, ui in record.outputs.items()
        for image in ui.get("images", ())
    ]
    times = [data["timestamp"] for _, data in record.messages]
    shown: dict[str, Any] = {
        **_summary(record.prompt, _status(record)),
        "execution_start_time": times[0],
        "execution_end_time": times[-1],
        "outputs_count": sum(len(ui.get("images", ui.get("fullet", ()))) for ui in record.outputs.values()),
        "previewable_outputs_count": len(images),
    }
    if record.messages[-1][0] == "execution_error":
        shown["execution_error"] = record.messages[-1][1]
    return {**shown, "preview_output": images[-1]} if images else shown


def _status(record: RunRecord) -> str:
    if record.success:
        return "completed"
    return "cancelled" if record.messages[-1][0] == "execution_interrupted" else "failed"


def _workflow(prompt: Prompt) -> dict[str, Any]:
    return {"prompt": prompt.graph, "extra_data": prompt.extra}
