"""Downloads, from a server on this machine: fetched once, checked, refused where the checksum differs."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pyconv.data.files import download

pytest.importorskip("pooch")
CONTENT = b"what its authors published"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The address of a file, and what to call to take it away."""
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "set.bin").write_bytes(CONTENT)
    monkeypatch.setenv("PYCONV_CACHE", str(tmp_path / "cache"))
    served = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "published"))
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}/set.bin"
    served.shutdown()
    served.server_close()
    thread.join()


def test_a_file_is_fetched_once_and_kept(server, tmp_path):
    known = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    path = download(server, known, "set")
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path / "cache" / "set")
    (tmp_path / "published" / "set.bin").unlink()
    assert download(server, known, "set") == path


@pytest.mark.parametrize("missing", [False, True])
def test_another_file_or_none_is_an_error_that_says_what_to_do(server, tmp_path, missing):
    known = f"md5:{hashlib.md5(b'another').hexdigest()}"
    if missing:
        (tmp_path / "published" / "set.bin").unlink()
    with pytest.raises(ConnectionError) as refused:
        download(server, known, "set")
    message = str(refused.value)
    assert server in message
    assert ("404" if missing else "does not match the known hash") in message
    assert "put the official files of set into a folder and name it with data_dir" in message
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
