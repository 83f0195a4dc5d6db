"""The state folder: ours by its marker, begun anew only then, and never left half written."""

import os
import resource
from pathlib import Path
from stat import S_IMODE

import pytest

from config.whole_file import write_whole
from replay.state import MARKER, StateError, default_directory, open_state, token_key_file


def test_a_new_folder_is_marked_and_a_second_start_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert not open_state(folder, "sample 1")
    (folder / "kafka").mkdir()
    assert open_state(folder, "sample 1")
    assert (folder / "kafka").exists()


def test_fresh_removes_what_is_ours_and_marks_it_again(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    open_state(folder, "sample 1")
    (folder / "kafka").mkdir()
    (folder / "kafka" / "segment").write_bytes(b"x")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (folder / "link").symlink_to(elsewhere)
    assert not open_state(folder, "sample 2", fresh=True)
    assert {path.name for path in folder.iterdir()} == {MARKER}
    assert (elsewhere / "kept").exists()


@pytest.mark.parametrize("before", ["going on", "fresh", "empty"])
def test_a_folder_that_others_could_read_becomes_its_owners_alone(tmp_path: Path, before: str) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    if before != "empty":
        open_state(folder, "sample 1")
    folder.chmod(0o755)
    assert open_state(folder, "sample 1", fresh=before == "fresh") == (before == "going on")
    assert S_IMODE(folder.stat().st_mode) == 0o700


def test_a_new_folder_is_its_owners_alone_whatever_the_mask(tmp_path: Path) -> None:
    mask = os.umask(0o000)
    try:
        open_state(tmp_path / "new", "sample 1")
    finally:
        os.umask(mask)
    assert S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


@pytest.mark.parametrize("fresh", [False, True])
def test_the_folder_of_somebody_else_is_refused_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    open_state(tmp_path / "state", "sample 1")
    (tmp_path / "state").chmod(0o755)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(StateError, match=f"belongs to user {owner}, and we are user {owner + 1}: name another folder"):
        open_state(tmp_path / "state", "sample 1", fresh=fresh)
    assert S_IMODE((tmp_path / "state").stat().st_mode) == 0o755
    assert (tmp_path / "state" / MARKER).exists()


def test_the_token_key_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = token_key_file(tmp_path)
    key = path.read_bytes()
    assert len(bytes.fromhex(key.decode())) == 32
    path.chmod(0o644)
    assert token_key_file(tmp_path).read_bytes() == key
    assert S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_without_our_marker_is_left_alone(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StateError, match=f"has no {MARKER}"):
        open_state(tmp_path, "sample 1", fresh=fresh)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_state_of_another_source_is_refused_by_name(tmp_path: Path) -> None:
    open_state(tmp_path, "sample 1")
    with pytest.raises(StateError, match=r"another replay or version \(sample 1\): use --fresh"):
        open_state(tmp_path, "sample 2")


def test_a_marker_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_bytes(b'{"source":"\xff","key":"\xff"}')
    with pytest.raises(StateError, match=f"{MARKER}: "):
        open_state(tmp_path, "sample 1")


def test_a_file_is_no_state_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="file is no folder: name another"):
        open_state(tmp_path / "file", "sample 1")


def test_a_file_that_cannot_be_begun_is_named_and_not_the_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "x", Path("/proc/xinliu")):
        with pytest.raises(OSError, match=r": '.*'$") as raised:
            write_whole(path, b"")
        assert raised.value.filename == str(path)


def test_a_full_disk_is_reported_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "outputs"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))  # Python ignores the signal, and the write fails
    try:
        with pytest.raises(OSError, match=r"File too large: '.*outputs'") as raised:
            write_whole(path, bytes(2_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    write_whole(path, b"old")
    with pytest.raises(TypeError):
        write_whole(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_environment_names_the_root_of_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINLIU_STATE", str(tmp_path))
    assert default_directory("sample") == tmp_path / "sample"
