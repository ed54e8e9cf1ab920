"""Secrets that people put into URLs, which stand in tables and reports: passwords, tokens, signatures."""

from urllib.parse import parse_qsl, urlsplit, urlunsplit

from vbert.errors import UserError

CREDENTIALS = "give it in the environment, as the store's own tools want it"
OWN_URL = "give the store's own URL (s3://bucket/key, gs://, abfs://) and credentials in the environment"
# What a presigned URL adds: Amazon's and Google's (now, and once), Azure's; and tokens of web servers.
SIGNATURES = ("x-amz-", "x-goog-")
SECRETS = {
    *("signature", "awsaccesskeyid", "googleaccessid", "expires", "key-pair-id", "policy"),
    *("sig", "se", "st", "sp", "sv", "sr", "skoid", "sktid", "skt", "ske", "sks", "skv", "spr", "sip"),
    *("token", "access_token", "auth", "auth_token", "api_key", "apikey", "password", "secret"),
}
TELLING = {"signature", "sig", "token", "access_token", "auth", "auth_token", "api_key", "apikey"}
TELLING |= {"password", "secret", "awsaccesskeyid"}
# In these the part before @ is the container, and not a user.
CONTAINER_AT_ACCOUNT = {"abfs", "abfss", "az", "wasb", "wasbs"}


def refuse_secrets(url: str) -> None:
    """UserError, which does not repeat it, for a URL with a secret in it."""
    protocol, _, rest = url.partition("://")
    user, at, host = rest.split("/")[0].split("?")[0].rpartition("@")
    shown = f"{protocol}://...@{host}"
    if ":" in user:
        raise UserError(f"{shown}: has a password in it; {CREDENTIALS}")
    if at and protocol not in CONTAINER_AT_ACCOUNT:
        raise UserError(f"{shown}: has a token or user in it; {CREDENTIALS}")
    if any(_is_telling(name) for name, _ in _query(url)):
        raise UserError(f"{without_secrets(url)}: is signed, or has a token in it; {OWN_URL}")


def without_secrets(url: str) -> str:
    """The URL without signatures and tokens: the same for every time that it is signed."""
    if "?" not in url or "://" not in url:
        return url
    query = _query(url)
    if not any(_is_telling(name) for name, _ in query):
        return url
    kept = [f"{name}={value}" if value else name for name, value in query if not _is_part(name)]
    return urlunsplit(urlsplit(url)._replace(query="&".join(kept)))


def _query(url: str) -> list[tuple[str, str]]:
    """Names and values as they stand; none of what is no URL with a query."""
    if "://" not in url or "?" not in url:
        return []
    try:
        return parse_qsl(urlsplit(url).query, keep_blank_values=True)
    except ValueError:
        return []


def _is_part(name: str) -> bool:
    """Whether it belongs to a signature, and changes with it."""
    return name.lower().startswith(SIGNATURES) or name.lower() in SECRETS


def _is_telling(name: str) -> bool:
    """Whether it is a secret by itself."""
    return name.lower() in TELLING or name.lower() in ("x-amz-signature", "x-goog-signature")
