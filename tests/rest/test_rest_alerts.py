"""Alerts over the API of a real server, and in its metrics."""

from __future__ import annotations

import time
from pathlib import Path

from retaild.config.settings import Settings
from retaild.runtime.alerts import raise_alert
from retaild.runtime.alerts.engine import AlertEngine
from tests.rest.serving import InThread


def test_alerts_are_seen_taken_on_silenced_and_counted(tmp_path: Path) -> None:
    server = InThread(tmp_path)
    state = server.context.state
    settings = Settings.model_validate(
        {"alert": {"pager": {}}, "alerts": {"group_wait_seconds": 0}}
    )
    with server:
        ask = server.client
        assert ask.get("/api/v1/alerts").json() == {"alerts": []}
        raise_alert(state, "disk.data", "critical", "The disk is full.", source="disk")
        raise_alert(state, "job.a.failed", "error", "Job a failed.", source="job")
        AlertEngine(state, settings).step(time.time())

        alerts = ask.get("/api/v1/alerts").json()["alerts"]
        assert [(a["key"], a["state"]) for a in alerts] == [
            ("disk.data", "open"),
            ("job.a.failed", "open"),
        ]
        number = alerts[0]["id"]
        taken = ask.post(f"/api/v1/alerts/{number}/acknowledge").json()
        assert taken["state"] == "acknowledged"
        (message,) = ask.get(f"/api/v1/alerts/{number}").json()["messages"]
        assert (message["sink"], message["state"]) == ("pager", "pending")

        made = ask.post("/api/v1/alerts/silences", json={"key": "job.a", "seconds": 60})
        assert made.status_code == 201
        silence = ask.get("/api/v1/alerts/silences").json()["silences"][0]
        assert (silence["id"], silence["key"]) == (made.json()["id"], "job.a")
        assert ask.delete(f"/api/v1/alerts/silences/{silence['id']}").status_code == 200
        assert ask.delete(f"/api/v1/alerts/silences/{silence['id']}").status_code == 404
        assert ask.post("/api/v1/alerts/silences", json={"seconds": 1e9}).status_code == 422
        assert ask.post("/api/v1/alerts/999/acknowledge").status_code == 404
        assert ask.get("/api/v1/alerts/messages?sink=pager").json()["messages"]
        assert ask.get("/api/v1/alerts/sinks").json()["sinks"][0]["waiting"] == 2

        metrics = ask.get("/metrics").text
        assert 'retaild_alerts_open{severity="critical"} 1.0' in metrics
        assert 'retaild_alert_messages{sink="pager",state="waiting"} 2.0' in metrics
    what = [row["what"] for row in state.rows("SELECT what FROM audit ORDER BY id")]
    assert what == ["alert.acknowledge", "alert.silence", "alert.unsilence"]
