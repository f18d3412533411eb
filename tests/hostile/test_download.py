"""Downloads from a server that drops connections, lies, ignores what is asked, or sends more."""

import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from neurodecode.core.download import DownloadError, download
from neurodecode.data.haxby import unpacking_inside

DATA = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
RIGHT = {"size": len(DATA), "sha256": SHA256, "pause_s": 0.01}


class Server(BaseHTTPRequestHandler):
    """Serves `DATA` by the way that is the path: /drops, /ignores …; the class counts requests."""

    asked = []

    def do_GET(self):
        way, wanted = self.path.strip("/"), self.headers.get("Range")
        self.asked.append(wanted)
        first = int(wanted[6:].rstrip("-")) if wanted and way not in ("ignores", "longer") else 0
        data = {"wrong": bytes(len(DATA)), "longer": DATA + DATA}.get(way, DATA)
        if way == "busy" and len(self.asked) < 3:
            return self.send_error(503)
        if way == "missing":
            return self.send_error(404)
        if way == "lies" and wanted:
            first = 0  # and says that it goes on
        self.send_response(206 if first or (way == "lies" and wanted) else 200)
        said = int(wanted[6:].rstrip("-")) if way == "lies" and wanted else first
        self.send_header("Content-Range", f"bytes {said}-{len(data) - 1}/{len(data)}")
        if way != "endless":
            self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        dropped = way in ("drops", "ignores", "lies") and len(self.asked) < 4
        part = data[first:]
        self.wfile.write(part[: len(part) // 2] if dropped else part)
        while way == "endless":
            self.wfile.write(bytes(1 << 16))
        return None

    def log_message(self, *given):
        pass


@pytest.fixture
def server():
    Server.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_connection_that_breaks_is_taken_up_where_it_stopped(server, tmp_path):
    path = download(f"{server}/drops", tmp_path / "deep" / "a.bin", **RIGHT)
    assert path.read_bytes() == DATA and [p.name for p in path.parent.iterdir()] == ["a.bin"]
    starts = [int(r[6:-1]) if r else 0 for r in Server.asked]
    assert len(starts) == 4 and starts == sorted(starts) and starts[1] == len(DATA) // 2


@pytest.mark.parametrize("way", ["fine", "busy", "ignores"])
def test_what_the_server_does_the_file_is_whole(server, tmp_path, way):
    assert download(f"{server}/{way}", tmp_path / "a", **RIGHT).read_bytes() == DATA
    n = len(Server.asked)
    download(f"{server}/{way}", tmp_path / "a", **RIGHT)  # is there
    assert len(Server.asked) == n


def test_parts_that_do_not_fit_together_are_fetched_again(server, tmp_path):
    assert download(f"{server}/lies", tmp_path / "a", **RIGHT).read_bytes() == DATA
    (tmp_path / "b.part").write_bytes(b"of another file")
    assert download(f"{server}/fine", tmp_path / "b", **RIGHT).read_bytes() == DATA


@pytest.mark.parametrize(
    ("way", "given", "message"),
    [
        ("wrong", RIGHT, f"sha256 .*, not {SHA256}"),
        ("longer", RIGHT, "sends more than 300000 bytes: cut off"),
        ("endless", {"most": 1 << 20}, "sends more than 1048576 bytes: cut off"),
        ("missing", RIGHT, "404"),
    ],
)
def test_what_is_not_as_promised_is_removed_and_named(server, tmp_path, way, given, message):
    with pytest.raises(DownloadError, match=message) as error:
        download(f"{server}/{way}", tmp_path / "a", **given)
    assert f"{server}/{way}" in str(error.value) and not list(tmp_path.iterdir())


def test_without_a_server_the_message_says_what_to_do(tmp_path):
    with pytest.raises(DownloadError, match="run the command again, which goes on"):
        download("http://127.0.0.1:9/a", tmp_path / "a", attempts=2, pause_s=0.01)
    with pytest.raises(DownloadError, match="only http and https"):
        download("file:///etc/passwd", tmp_path / "a")


@pytest.mark.parametrize("kind", ["dots", "link"])
def test_an_archive_writes_below_its_folder_only(tmp_path, kind):
    entry = tarfile.TarInfo({"dots": "../out", "link": "a"}[kind])
    if kind == "link":
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(entry, io.BytesIO())
    before = tarfile.TarFile.extraction_filter
    with tarfile.open(tmp_path / "a.tar") as archive, unpacking_inside():
        with pytest.raises(tarfile.FilterError):
            archive.extractall(tmp_path / "inside")
    assert tarfile.TarFile.extraction_filter is before
    assert not (tmp_path / "out").exists()
