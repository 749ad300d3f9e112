"""Waits until this ComfyUI has nothing more to do, before its container is stopped.

    python drain.py                  (in Kubernetes' preStop and in the pre_stop of docker compose)

The bot gives it nothing more once the server's name no longer resolves to this address. Until the bot has
noticed that, new runs may arrive, and pictures of the last one are still fetched. So the queue must stay
empty for QUIET seconds: DNS's time to live (30 in many clusters), the bot's next lookup (5), and what
fetching takes (10).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.request

QUIET = 45.0
WITHIN = 1740.0
"""Seconds after which it gives up; less than terminationGracePeriodSeconds in deploy/kubernetes/base."""
EVERY = 1.0


def left(url: str) -> int | None:
    """How many runs the server has, waiting and running; None while it does not answer."""
    try:
        with urllib.request.urlopen(f"{url}/queue", timeout=10) as answer:
            queue = json.load(answer)
    except (OSError, ValueError):
        return None
    return len(queue["queue_running"]) + len(queue["queue_pending"])


def drain(url: str, *, quiet: float, within: float) -> bool:
    """True once the queue has been empty for ``quiet`` seconds, False when ``within`` seconds are over. A
    server that does not answer may be at work: that does not count as empty."""
    began = time.monotonic()
    empty_since: float | None = None
    told = ""
    while (now := time.monotonic()) - began < within:
        runs = left(url)
        if runs != 0:
            empty_since, doing = None, "it does not answer" if runs is None else f"runs left: {runs}"
        else:
            empty_since = now if empty_since is None else empty_since
            if now - empty_since >= quiet:
                print(f"Drained after {now - began:.0f} s", flush=True)
                return True
            doing = f"the queue is empty; waiting for {quiet:g} s without a new run"
        if doing != told:
            print(f"Draining: {doing}", flush=True)
            told = doing
        time.sleep(EVERY)
    print(f"Not drained within {within:g} s: {told}", flush=True)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description="Wait until this ComfyUI has nothing more to do.")
    parser.add_argument("--url", default="http://127.0.0.1:8188")
    parser.add_argument("--quiet", type=float, default=QUIET, help="seconds without a run (%(default)g)")
    parser.add_argument("--within", type=float, default=WITHIN, help="seconds at most (%(default)g)")
    given = parser.parse_args()
    return 0 if drain(given.url, quiet=given.quiet, within=given.within) else 1


if __name__ == "__main__":
    sys.exit(main())
