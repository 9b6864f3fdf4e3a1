"""Flink's REST interface, as far as we need it."""

from __future__ import annotations

from typing import Any

import httpx

from retaild.api import TransientError

#: Seconds that an answer may take.
SECONDS = 4.0
#: States of a job that will not run again.
ENDED = frozenset({"FAILED", "CANCELED", "FINISHED", "SUSPENDED"})


class FlinkAwayError(TransientError):
    key = "flink.away"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"Flink at {url} does not answer: {reason}.",
            hint="It takes half a minute to start. Nothing is lost, the log keeps the events.",
        )


class FlinkRest:
    """Every call raises FlinkAwayError when Flink does not answer, or answers with a fault."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.Client(base_url=self._url, timeout=SECONDS, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def overview(self) -> dict[str, Any]:
        """taskmanagers, slots-total, slots-available, jobs-running, ..."""
        return dict(self._get("/overview"))

    def jobs(self) -> dict[str, str]:
        """Id -> name, of the jobs that have not ended."""
        found = self._get("/jobs/overview")["jobs"]
        return {job["jid"]: job["name"] for job in found if job["state"] not in ENDED}

    def state(self, job: str) -> str | None:
        """RUNNING, RESTARTING, FAILED, ...; None if it is not known."""
        answer = self._answer("GET", f"/jobs/{job}")
        return None if answer.status_code == 404 else str(self._body(answer)["state"])

    def checkpoints(self, job: str) -> dict[str, Any]:
        return dict(self._get(f"/jobs/{job}/checkpoints"))

    def fault(self, job: str) -> str:
        """What a job failed of last, in its root cause's line."""
        entries = self._get(f"/jobs/{job}/exceptions").get("exceptionHistory", {}).get("entries")
        if not entries:
            return ""
        lines = str(entries[0].get("stacktrace", "")).splitlines()
        causes = [line for line in lines if line.startswith("Caused by:")]
        return str((causes or lines or [""])[-1])[:500]

    def cancel(self, job: str) -> None:
        answer = self._answer("PATCH", f"/jobs/{job}?mode=cancel")
        if answer.status_code not in (404, 409):  # it is unknown, or has ended
            self._body(answer)

    def _get(self, path: str) -> Any:
        return self._body(self._answer("GET", path))

    def _answer(self, method: str, path: str, body: object = None) -> httpx.Response:
        try:
            return self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise FlinkAwayError(self._url, str(error) or type(error).__name__) from error

    def _body(self, answer: httpx.Response) -> Any:
        if answer.is_error:
            raise FlinkAwayError(self._url, f"{answer.status_code} {answer.text[:300]}")
        try:
            return answer.json() if answer.content else {}
        except ValueError as error:
            raise FlinkAwayError(self._url, "it sent no JSON") from error
