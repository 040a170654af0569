import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from voicewire.commands.problems import Exit, Problem
from voicewire.commands.target import DEFAULT_URL, Target, find_target, get, key_named, problem, server_config
from voicewire.dial import ServerError, Unreachable
from voicewire.storage.whereabouts import leave_address

KEY = "key-of-the-server-here"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "client-key").write_text(KEY + "\n")
    return tmp_path


def test_what_is_given_wins_over_the_environment_and_that_over_the_folder(data_dir: Path) -> None:
    environ = {"VOICEWIRE_URL": "http://127.0.0.1:9", "VOICEWIRE_API_KEY": "key-of-the-environment"}
    assert find_target(None, None, data_dir, {}) == ("http://127.0.0.1:8080", KEY, data_dir)
    assert find_target(None, None, data_dir, environ) == ("http://127.0.0.1:9", "key-of-the-environment", None)
    given = find_target("localhost:8", "key-that-was-given", data_dir, environ)
    assert given == ("localhost:8", "key-that-was-given", None)


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """As long as a server runs on it."""
    with (folder / "lock").open("w") as lock:
        lock.write("1")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_a_server_that_runs_on_the_folder_is_found_where_it_says_that_it_is(data_dir: Path) -> None:
    leave_address(data_dir, "http://localhost:8123")
    assert find_target(None, None, data_dir, {}).url == DEFAULT_URL, "it has ended"
    with kept(data_dir):
        assert find_target(None, None, data_dir, {}) == ("http://localhost:8123", KEY, data_dir)
        assert find_target("http://127.0.0.1:9", None, data_dir, {}).url == "http://127.0.0.1:9"
        assert find_target(None, None, data_dir, {"VOICEWIRE_URL": "http://[::1]:7"}).url == "http://[::1]:7"
        leave_address(data_dir, "https://voice.example")
        assert find_target(None, None, data_dir, {}).url == DEFAULT_URL


def test_the_data_folder_is_the_servers(data_dir: Path) -> None:
    assert find_target(None, None, None, {"VOICEWIRE_DATA_DIR": str(data_dir)}).key == KEY


def test_the_key_of_this_machine_is_not_shown_to_another(data_dir: Path) -> None:
    with pytest.raises(Problem, match="no key for https://voice") as refused:
        find_target("https://voice.example", None, data_dir, {})
    assert refused.value.exit is Exit.REFUSED


@pytest.mark.parametrize("url", ["http://127.0.0.1.evil.example", "http://localhost@evil.example", "http://[::2]:8080"])
def test_a_name_that_only_looks_like_this_machine_is_another(data_dir: Path, url: str) -> None:
    with pytest.raises(Problem):
        find_target(url, None, data_dir, {})


def test_without_any_key_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=rf"in {tmp_path}: start `voicewire serve`, name its folder with --data"):
        find_target(None, None, tmp_path, {})


def test_a_key_that_was_found_and_is_refused_is_named(data_dir: Path) -> None:
    found, given = find_target(None, None, data_dir, {}), find_target(None, KEY, data_dir, {})
    with pytest.raises(Problem, match=rf"wrong \(the key is from {data_dir}; .+ another --data"), key_named(found):
        raise ServerError("unauthorized", "wrong")
    with pytest.raises(ServerError), key_named(given):
        raise ServerError("unauthorized", "wrong")
    with pytest.raises(ServerError), key_named(found):
        raise ServerError("forbidden", "no")


@pytest.mark.parametrize("key", ["short", "a key with spaces", "key\r\nX-Injected: yes", "schlüssel-schlüssel"])
def test_what_cannot_be_a_key_never_reaches_a_header(tmp_path: Path, key: str) -> None:
    with pytest.raises(Problem, match="not a key") as refused:
        find_target(None, key, tmp_path, {})
    assert key not in str(refused.value)


def test_what_only_clients_read_is_no_setting_of_the_server() -> None:
    config = server_config({"VOICEWIRE_API_KEY": "x", "VOICEWIRE_URL": "y", "VOICEWIRE_PORT": "81"}, port=None)
    assert config.port == 81


def test_a_target_does_not_show_its_key() -> None:
    assert KEY not in repr(Target("http://127.0.0.1:8080", KEY))


@pytest.mark.parametrize(
    ("error", "exit_status"),
    [
        (Unreachable("gone"), Exit.UNREACHABLE),
        (ServerError("unauthorized", "no"), Exit.REFUSED),
        (ServerError("forbidden", "no"), Exit.REFUSED),
        (ServerError("unknown_voice", "no"), Exit.FAILED),
    ],
)
def test_each_kind_of_trouble_has_its_exit_status(error: ServerError | Unreachable, exit_status: Exit) -> None:
    assert problem(error).exit is exit_status


def test_an_address_where_nobody_answers_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="Connection refused"):
        get(Target("http://127.0.0.1:1", KEY), "/v1/voices")
