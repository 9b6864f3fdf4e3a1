"""A reload that brings a server which takes its time, as Java does, for others to work with."""

from __future__ import annotations

from pathlib import Path

from tests.daemon.conftest import Start, alive
from tests.daemon.strangers import install, with_site
from tests.daemon.test_reload import edit, reload

#: Its server listens only after `seconds`; never, where its program is `fails`.
SLOW = """
import http.client, sys, time
from pydantic import BaseModel
from retaild.api import API_VERSION, Endpoint, Server, ServiceSpec, TransientError, hookimpl

RETAILD_API = API_VERSION
PROGRAM = (
    "import http.server as h, time; time.sleep({seconds});"
    "h.test(h.SimpleHTTPRequestHandler, port=%d, bind='127.0.0.1')"
)


class Config(BaseModel):
    port: int
    fails: bool = False


class Slow:
    def __init__(self, config, context):
        self.config = config

    def open(self):
        pass

    def servers(self):
        program = PROGRAM % self.config.port
        if self.config.fails:
            program = "raise SystemExit('no licence')"
        return [Server("slow", (sys.executable, "-c", program))]

    def endpoints(self):
        return [Endpoint("slow", self.config.port)]

    def probe(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.config.port, timeout=2)
        try:
            connection.request("HEAD", "/")
            connection.getresponse()
        except OSError as error:
            raise TransientError(str(error)) from error
        finally:
            connection.close()
        return {{}}

    def close(self):
        pass


@hookimpl
def retaild_services():
    return [ServiceSpec(name="slow", summary="Slow.", config=Config, build=Slow)]
"""
CONFIG = "reload_seconds = 6\n[lake]\ninterval_seconds = 5\n"
SERVICE = '[service.slow]\nplugin = "slow"\nport = {port}\nfails = {fails}\n'


def test_what_needs_a_new_service_is_replaced_when_it_answers(
    start: Start, tmp_path: Path, port: int
) -> None:
    install(tmp_path / "site", "acme_slow", SLOW.format(seconds=9))
    daemon = start("stream=steady", "ingest=steady", PYTHONPATH=with_site(tmp_path / "site"))
    daemon.wait_running("stream", "ingest")
    edit(daemon, "[api]", f"{CONFIG}[api]")
    assert reload(daemon)["state"] == "done"
    edit(daemon, "interval_seconds = 5", "interval_seconds = 4")
    text = daemon.config.read_text()
    daemon.config.write_text(text + SERVICE.format(port=port, fails="false"))
    found = reload(daemon)
    assert (found["state"], found["touched"]["started"]) == ("done", ["service.slow"]), found
    when = {said: at for at, said in found["steps"]}
    assert when["stream: replacing"] - when["service.slow: starting"] > 8


def test_a_service_that_fails_holds_up_nothing(start: Start, tmp_path: Path, port: int) -> None:
    install(tmp_path / "site", "acme_slow", SLOW.format(seconds=0))
    daemon = start("stream=steady", "ingest=steady", PYTHONPATH=with_site(tmp_path / "site"))
    daemon.wait_running("stream", "ingest")
    edit(daemon, "[api]", f"{CONFIG}[api]")
    assert reload(daemon)["state"] == "done"
    stream = daemon.worker("stream")["pid"]
    edit(daemon, "interval_seconds = 5", "interval_seconds = 4")
    text = daemon.config.read_text()
    daemon.config.write_text(text + SERVICE.format(port=port, fails="true"))
    found = reload(daemon)
    assert found["state"] == "returned"
    assert "service.slow" in found["error"]
    assert daemon.worker("stream")["pid"] == stream
    assert alive(stream)
