"""The settings: where they come from, what is refused, and what is never shown."""

from __future__ import annotations

import os
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from voicewire.config import Config, ConfigError, Setting, is_loopback, settings, variable

SECRETS = {
    "bootstrap_key": "vw_live_secret",
    "redis_url": "redis://:hunter2@redis.internal:6379/0",
    "postgres_url": "postgresql://voicewire:hunter3@db.internal/voicewire",
    "jwt_secret": "hunter4" * 8,
    "key_pepper": "hunter5" * 8,
    "smtp_url": "smtps://voicewire:hunter5@mail.internal:465",
    "oidc_client_secret": "hunter6",
    "openai_key": "hunter7",
    "minimax_key": "hunter8",
    "elevenlabs_key": "hunter9",
    "twilio_auth_token": "hunter3-on-the-telephone",
    "call_webhook_secret": "whsec_aHVudGVyIG9uIHRoZSB0ZWxlcGhvbmUsIGFnYWlu",
    "cache_s3_secret": "hunter2-in-s3",
}
PAIRED = {variable("cache_s3_key_id"): "AKID"}  # goes with its secret


def refusal(environ: dict[str, str] | None = None, **overrides: object) -> str:
    with pytest.raises(ConfigError) as caught:
        Config.from_env(environ or {}, **overrides)
    return str(caught.value)


def test_an_empty_environment_gives_the_defaults() -> None:
    config = Config.from_env({"HOME": "/somewhere", "PATH": "/bin"})
    assert (config.host, config.port, config.engines) == ("127.0.0.1", 8080, ("espeak",))
    assert config == Config()


def test_every_variable_is_read_in_its_type() -> None:
    config = Config.from_env(
        {
            "VOICEWIRE_PORT": " 9000 ",
            "VOICEWIRE_IDLE_S": "2.5",
            "VOICEWIRE_ENGINES": "kokoro, tone,",
            "VOICEWIRE_LOCAL_ACCESS": "Off",
            "VOICEWIRE_BILLING": "on",
            "VOICEWIRE_DATA_DIR": "/srv/voicewire",
            "VOICEWIRE_LOG_FORMAT": "json",
        }
    )
    assert (config.port, config.idle_s, config.engines) == (9000, 2.5, ("kokoro", "tone"))
    assert (config.local_access, config.data_dir, config.log_format) == (False, Path("/srv/voicewire"), "json")
    assert (config.billing, config.sign_up) == (True, None)


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Config.from_env({row.variable: "" for row in settings()}) == Config()


def test_overrides_win_and_none_leaves_the_variable() -> None:
    environ = {"VOICEWIRE_PORT": "9000", "VOICEWIRE_HOST": "::1"}
    config = Config.from_env(environ, port=0, host=None, engines=("tone",))
    assert (config.port, config.host, config.engines) == (0, "::1", ("tone",))


def test_overrides_in_text_are_parsed_as_variables_are() -> None:
    assert Config.from_env({}, port="81", data_dir="/srv/a") == Config(port=81, data_dir=Path("/srv/a"))
    assert "VOICEWIRE_PORT must be a whole number, not '8o'" in refusal(port="8o")


def test_an_unknown_variable_is_refused_with_the_nearest_name() -> None:
    assert refusal({"VOICEWIRE_PROT": "1"}) == "VOICEWIRE_PROT is not a setting; did you mean VOICEWIRE_PORT?"
    assert refusal({"VOICEWIRE_ZZZ": ""}) == "VOICEWIRE_ZZZ is not a setting"
    assert "VOICEWIRE_QUEUE_LIMITS" in refusal(queue_limits=3)


def test_all_problems_are_named_at_once() -> None:
    lines = refusal({"VOICEWIRE_PORT": "x", "VOICEWIRE_IDLE_S": "soon"}).splitlines()
    assert [line.split()[0] for line in lines] == ["VOICEWIRE_PORT", "VOICEWIRE_IDLE_S"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "65536"),
        ("port", "-1"),
        ("port", "1e3"),
        ("idle_s", "nan"),
        ("idle_s", "inf"),
        ("idle_s", "0"),
        ("queue_limit", "0"),
        ("tick_ms", "101"),
        ("engines", "espeak,festival"),
        ("engines", ","),
        ("log_level", "INFO"),
        ("local_access", "maybe"),
        ("lead_ms", "30001"),
        ("public_url", "voice.example.org"),
        ("public_url", "https://voice.example.org/path"),
        ("allowed_origins", "*"),
        ("allowed_origins", "https://Example.org"),
        ("allowed_origins", "https://example.org/"),
        ("allowed_origins", "https://example.org:443"),
        ("allowed_origins", "https://example.org:notaport"),
        ("redis_url", "http://127.0.0.1"),
        ("bootstrap_key", "short"),
        ("bootstrap_key", "eight or more"),
        ("postgres_url", "mysql://127.0.0.1"),
        ("postgres_url", "postgresql://[::1"),
        ("smtp_url", "mail.example.org"),
        ("openai_url", "api.openai.com/v1"),
        ("elevenlabs_url", "ftp://127.0.0.1"),
        ("oidc_issuers", "https://id.example.org,id.example.org"),
        ("billing", "auto"),
        ("billing", "perhaps"),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: str) -> None:
    assert refusal({variable(name): value}).startswith(variable(name) + " ")


def test_what_is_on_or_off_is_not_offered_auto() -> None:
    assert refusal({"VOICEWIRE_BILLING": "perhaps"}) == "VOICEWIRE_BILLING must be on or off, not 'perhaps'"
    assert refusal({"VOICEWIRE_SIGN_UP": "perhaps"}) == "VOICEWIRE_SIGN_UP must be on, off or auto, not 'perhaps'"


def test_a_value_of_the_wrong_type_is_refused() -> None:
    assert "VOICEWIRE_PORT must be of type int" in refusal(port=True)
    assert "VOICEWIRE_ENGINES must be of type" in refusal(engines=["tone"])


@pytest.mark.parametrize("origin", ["https://example.org", "http://localhost:3000", "http://[::1]:8080"])
def test_an_origin_is_taken_as_browsers_write_it(origin: str) -> None:
    assert Config.from_env({"VOICEWIRE_ALLOWED_ORIGINS": origin}).allowed_origins == (origin,)


def test_secrets_are_neither_shown_nor_repeated_in_a_refusal() -> None:
    shown = repr(Config.from_env({variable(name): value for name, value in SECRETS.items()} | PAIRED))
    assert not any(secret in shown for secret in SECRETS.values())
    assert {row.name for row in settings() if row.secret} == set(SECRETS)
    assert "hunter2" not in refusal(redis_url="http://:hunter2@redis.internal")


def test_the_data_folder_follows_xdg_and_is_absolute() -> None:
    assert Config.from_env({"XDG_DATA_HOME": "/xdg"}).data_dir == Path("/xdg/voicewire")
    assert Config.from_env({"XDG_DATA_HOME": "relative"}).data_dir == Config().data_dir
    assert Config.from_env({"XDG_DATA_HOME": "/xdg"}, data_dir=Path("here")).data_dir == Path.cwd() / "here"
    assert Config().data_dir == Path.home() / ".local/share/voicewire"


@pytest.mark.parametrize(
    ("host", "trusted"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_only_a_loopback_server_trusts_its_callers_by_itself(host: str, trusted: bool) -> None:
    assert is_loopback(host) is trusted
    assert Config(host=host).trusts_local is trusted
    assert Config(host=host, local_access=False).trusts_local is False
    assert Config(host=host, local_access=True).trusts_local is True


def test_behind_a_proxy_every_caller_looks_local_and_none_is_trusted() -> None:
    assert Config(public_url="https://voice.example.org").trusts_local is False


def test_workers_are_one_for_each_core_up_to_four_unless_said() -> None:
    assert Config().worker_count == min(len(os.sched_getaffinity(0)), 4)
    assert Config(workers=7).worker_count == 7


def test_the_table_holds_every_field_with_a_meaning_and_a_default_that_is_allowed() -> None:
    assert [row.name for row in settings()] == [each.name for each in fields(Config)]
    for row in settings():
        assert row.variable == f"VOICEWIRE_{row.name.upper()}"
        assert row.meaning
        assert "\n" not in row.meaning
        assert (row.low is None) == (row.type not in {"int", "float"}), f"{row.name} has no bounds"


def documented(row: Setting) -> str:
    words: dict[object, str] = {None: "auto", True: "on", False: "off"} if row.type.startswith("bool") else {}
    default = ",".join(row.default) if isinstance(row.default, tuple) else words.get(row.default, str(row.default))
    bounds = f" ({row.low:.15g} to {row.high:.15g})" if row.low is not None else ""
    choices = f" ({', '.join(row.choices)})" if row.choices else ""
    return f"| `{row.variable}` | {f'`{default}`' if default else ''} | {row.meaning}{bounds}{choices} |"


def test_the_documentation_has_the_table_as_it_is() -> None:
    page = (Path(__file__).parent.parent / "docs/settings.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("| `")]
    assert table == [documented(row) for row in settings()]


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().port = 1  # type: ignore[misc]  # what the test is about


def test_a_gateway_may_have_no_engine_of_its_own() -> None:
    assert Config.from_env({"VOICEWIRE_ENGINES": "none"}).engines_here == ()
    assert Config.from_env({"VOICEWIRE_ENGINES": "espeak,tone"}).engines_here == ("espeak", "tone")
    assert refusal({"VOICEWIRE_ENGINES": "none,tone"}) == "VOICEWIRE_ENGINES is none, or names engines"
