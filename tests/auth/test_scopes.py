from voicewire.auth.scopes import ALL_SCOPES, CLIENT_SCOPES, SCOPES, unknown_scopes


def test_every_scope_says_what_it_lets_do() -> None:
    assert all(meaning and not meaning.endswith(".") for meaning in SCOPES.values())


def test_a_client_gets_no_administration() -> None:
    assert CLIENT_SCOPES < ALL_SCOPES
    assert CLIENT_SCOPES.isdisjoint({"admin", "metrics:read"})


def test_names_what_is_not_in_the_table() -> None:
    assert unknown_scopes(["speak", "root", "Speak"]) == ["Speak", "root"]
    assert unknown_scopes(SCOPES) == []
