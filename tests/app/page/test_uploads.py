"""Files that visitors have sent, and how far they are heard."""

from app.page.files import _Progress
from app.page.uploads import Uploads


def test_files_go_when_the_last_visitor_does(tmp_path):
    paths = []
    for name in "abc":
        (tmp_path / name).mkdir()
        paths.append(str(tmp_path / name / "x.wav"))
        (tmp_path / name / "x.wav").write_bytes(b"x")
    a, b, c = (tmp_path / name for name in "abc")
    uploads = Uploads()
    uploads.replace("one", paths[:2])
    uploads.replace("two", paths[1:])
    uploads.replace("one", [])
    assert (a.exists(), b.exists(), c.exists()) == (False, True, True)
    uploads.leave("two")
    assert not b.exists()
    assert uploads.is_here("one")
    assert not uploads.is_here("two")
    uploads.leave("two")


def test_progress_of_nothing_is_no_share():
    shares = []
    uploads = Uploads()
    uploads.replace("visitor", [])
    _Progress(uploads, "visitor", lambda share, desc: shares.append(share), "empty.wav")(0.0, 0.0)
    assert shares == [0.0]
