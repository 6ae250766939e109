"""Names and passwords of those who may come in."""


def read_accounts(text: str) -> dict[str, str]:
    """Name -> password, from lines of `name:password`.

    Raises:
        ValueError: a line is no such pair, or there is none.
    """
    accounts = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            name, colon, password = line.strip().partition(":")
            if not (name and colon and password):
                raise ValueError(f"line {number} is not name:password")
            accounts[name] = password
    if not accounts:
        raise ValueError("no line name:password in it")
    return accounts
