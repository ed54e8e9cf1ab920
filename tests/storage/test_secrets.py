"""Secrets in URLs are refused, and not repeated; names that look like chains of URLs are names."""

from pathlib import Path

import pytest

from vbert.corpus.sources import list_corpus
from vbert.errors import UserError
from vbert.storage.files import filesystem_of, open_file
from vbert.storage.secrets import refuse_secrets, without_secrets
from vbert.tables.schemas import video_id_of

AMAZON = (
    "https://corpus.s3.amazonaws.com/a.mp4?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20261127"
    "&X-Amz-Date=20261127T000000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature={secret}"
)
SIGNED = {
    "Amazon": AMAZON,
    "Amazon, version 2": "https://corpus.s3.amazonaws.com/a.mp4?AWSAccessKeyId=AKIA&Expires=1&Signature={secret}",
    "Google": "https://storage.googleapis.com/corpus/a.mp4?X-Goog-Algorithm=x&X-Goog-Signature={secret}",
    "CloudFront": "https://d1.cloudfront.net/a.mp4?Expires=1&Key-Pair-Id=K&Policy=p&Signature={secret}",
    "Azure": "https://me.blob.core.windows.net/corpus/a.mp4?sv=2024-11-04&se=2026-11-28&sr=b&sp=r&sig={secret}",
    "in capitals": "https://corpus.s3.amazonaws.com/a.mp4?x-amz-SIGNATURE={secret}",
    "a token": "https://host/a.mp4?token={secret}",
}
USERS = {
    "a token": "https://{secret}@host/a.mp4",
    "a password": "https://me:{secret}@host/a.mp4",
    "a key": "s3://AKIA:{secret}@bucket/a.mp4",
    "a user of a bucket": "s3://{secret}@bucket/a.mp4",
}


@pytest.mark.parametrize("url", [*SIGNED.values(), *USERS.values()], ids=[*SIGNED, *USERS])
def test_a_url_with_a_secret_is_refused_and_the_secret_not_repeated(url: str):
    with pytest.raises(UserError) as refused:
        filesystem_of(url.format(secret="hunter2"))
    assert "hunter2" not in str(refused.value)
    with pytest.raises(UserError) as refused:
        list_corpus(url.format(secret="hunter2"))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", SIGNED.values(), ids=list(SIGNED))
def test_an_id_does_not_change_with_the_signature(url: str):
    first, second = (video_id_of(url.format(secret=secret)) for secret in ("one", "two"))
    assert first == second == video_id_of(url.partition("?")[0])


@pytest.mark.parametrize(
    "url",
    [
        "https://host/watch?v=dQw4w9WgXcQ&list=a%20b",
        "abfs://container@account.dfs.core.windows.net/a.mp4",
        "https://host/a@b.mp4",
        "s3://bucket/what?.mp4",
        "/videos/a?sig=1.mp4",
        "https://host/a.mp4?page=2&sr=b",
    ],
)
def test_other_urls_stay_as_they_are(url: str):
    refuse_secrets(url)
    assert without_secrets(url) == url


def test_what_else_a_query_says_stays():
    assert without_secrets("https://h/a?v=1&token=x&w") == "https://h/a?v=1&w"


@pytest.mark.parametrize("name", ["a::b.mp4", "simplecache::s3.mp4", "zip::memory:.mp4"])
def test_colons_in_a_name_are_a_name(name: str, tmp_path: Path):
    (tmp_path / name).write_bytes(b"here")
    filesystem, path = filesystem_of(str(tmp_path / name))
    assert filesystem.cat_file(path) == b"here"
    assert list_corpus(str(tmp_path))["uri"].to_pylist() == [str(tmp_path / name)]
    store, path = filesystem_of(f"s3://bucket/{name}")
    assert (type(store).__name__, path) == ("S3FileSystem", f"bucket/{name}")


@pytest.mark.parametrize("url", ["simplecache::https://host/a.mp4", "zip://a.mp4::s3://bucket/all.zip"])
def test_no_chain_of_urls_is_opened(url: str):
    with pytest.raises(UserError, match="use a local path, s3://"):
        open_file(url)


def test_a_manifest_with_a_signed_url_names_its_row(tmp_path: Path):
    manifest = tmp_path / "all.csv"
    manifest.write_text(f"video\na.mp4\n{AMAZON.format(secret='hunter2')}\n")
    with pytest.raises(UserError, match=r"all\.csv: row 2: https://corpus.*/a\.mp4: is signed") as refused:
        list_corpus(str(manifest))
    assert "hunter2" not in str(refused.value)
