"""What SECURITY.md promises, where it can be seen: no code, path or URL is taken from data."""

import ast
import http.server
import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny import NUM_VISUAL_TOKENS, bert_config, vocabulary
from tests.videos import Video, write_video
from tools.audit import NOT_AUDITED, verdict
from vbert.corpus.manifest import read_manifest
from vbert.errors import UserError, VideoError
from vbert.features.featurizer_config import featurizer_id
from vbert.model.checkpoint_files import check_model
from vbert.model.configuration_videobert import from_bert_config
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.tables.schemas import is_id
from vbert.tasks.pipeline import VideoPipeline
from vbert.text.speech import recognizer_id
from vbert.video.media import probe_video
from vbert.vocabulary.tree import Vocabulary, load, save

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("vbert", "jobs", "tools") for path in (ROOT / folder).rglob("*.py"))

RUNS_CODE = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads"),
    *("marshal.load", "marshal.loads", "shelve.open", "joblib.load", "torch.hub.load"),
}
UNSAFE_OPTIONS = {"shell": True, "allow_pickle": True, "trust_remote_code": True, "weights_only": False}
# What our own processes have pickled for each other: the driver for the workers of its cluster, as Ray does,
# and a worker and the child that decodes for it, which runs as the same user.
ALLOWED = {(f"{name}.py", "pickle.loads") for name in ("pretrain", "finetune", "child_process")}


def dangers_of(source: str) -> list[str]:
    """The calls in some source that may run what they read."""
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        options = {option.arg: option.value for option in call.keywords}
        found += [name] if name in RUNS_CODE else []
        if name == "torch.load" and "weights_only" not in options:
            found.append("torch.load without weights_only")
        found += [
            f"{name}({option}={value.value})"
            for option, value in options.items()
            if isinstance(value, ast.Constant) and option in UNSAFE_OPTIONS
            if value.value is UNSAFE_OPTIONS[option]
        ]
    return found


def test_nothing_that_is_read_is_run():
    found = {(path.name, danger) for path in SOURCES for danger in dangers_of(path.read_text())}
    assert found == ALLOWED


@pytest.mark.parametrize(
    ("source", "danger"),
    [
        ("import pickle\npickle.load(open('x', 'rb'))", "pickle.load"),
        ("torch.load(path)", "torch.load without weights_only"),
        ("torch.load(path, weights_only=False)", "torch.load(weights_only=False)"),
        ("subprocess.run(f'ffmpeg {name}', shell=True)", "subprocess.run(shell=True)"),
        ("np.load(path, allow_pickle=True)", "np.load(allow_pickle=True)"),
        ("os.system(name)", "os.system"),
        ("eval(text)", "eval"),
        ("yaml.load(text)", "yaml.load"),
    ],
)
def test_the_scan_sees_what_it_looks_for(source: str, danger: str):
    assert dangers_of(source) == [danger]


def test_harmless_calls_are_not_dangers():
    assert dangers_of("model.eval()\nre.compile('a')\ntorch.load(path, weights_only=True)") == []


class Harmful:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A pretrained model's folder."""
    folder = tmp_path / "model"
    config = from_bert_config(bert_config(), num_visual_tokens=NUM_VISUAL_TOKENS)
    VideoBertForPreTraining(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(vocabulary().tokenizer_json)
    (folder / "progress.json").write_text('{"vocabulary": "0123456789abcdef"}')
    return folder


def test_a_checkpoint_of_pickles_is_refused_and_its_code_not_run(model: Path, tmp_path: Path):
    check_model(str(model))
    (model / "model.safetensors").unlink()
    torch.save({"a": Harmful(tmp_path / "harm")}, model / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"no checkpoint \(it has no model.safetensors\)"):
        check_model(str(model))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", ["../secret", "/etc/secret", "a/b", "..", ".", "", "a\n", None])
def test_an_id_that_a_file_gives_is_no_path(name: str | None, model: Path, tmp_path: Path):
    assert not is_id(name)
    (model / "progress.json").write_text(json.dumps({"vocabulary": name}))
    with pytest.raises(UserError, match=r"progress\.json: "):
        VideoPipeline(str(model))
    if name:
        made = Vocabulary(featurizer=name, centroids=[torch.randn(1, 2, 3)])
        with pytest.raises(UserError, match="is no featurizer's id"):
            load(save(made, str(tmp_path / "vocabularies")))


def test_the_ids_that_we_make_are_ids():
    from vbert.features.featurizer_config import FeaturizerConfig

    assert is_id(featurizer_id(FeaturizerConfig()))
    for name in ("whisper:../../etc/passwd", "whisper:org/wh.isper v3", "pocketsphinx"):
        assert is_id(recognizer_id(name))
    assert is_id(Vocabulary(featurizer="f", centroids=[torch.randn(1, 2, 3)]).id)


def test_a_manifests_relative_entry_goes_up_as_in_a_shell(tmp_path: Path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "all.csv").write_text("video\n../a.mp4\n")
    (uri,) = read_manifest(str(tmp_path / "lists" / "all.csv"))["uri"].to_pylist()
    assert uri == str(tmp_path / "a.mp4")


def test_a_bucket_is_not_left_by_a_manifests_relative_entry():
    import fsspec

    store = fsspec.filesystem("memory")
    for entry, expected in (
        ("../a.mp4", "memory://bucket/a.mp4"),
        ("x/./b.mp4", "memory://bucket/lists/x/b.mp4"),
    ):
        store.pipe_file("/bucket/lists/all.csv", f"video\n{entry}\n".encode())
        assert read_manifest("memory://bucket/lists/all.csv")["uri"].to_pylist() == [expected]
    store.pipe_file("/bucket/lists/all.csv", b"video\n../../other/a.mp4\n")
    with pytest.raises(UserError, match=r"leads out of memory://bucket"):
        read_manifest("memory://bucket/lists/all.csv")
    store.rm("/bucket", recursive=True)


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """The URL of a web server, and the paths that it has been asked for."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            return

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    thread.join()
    server.server_close()


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n{key}#EXTINF:2,\n{file}\n#EXT-X-ENDLIST\n"
PLAYLISTS = {
    "hls of a URL": HLS.format(key="", file="{url}/a.ts"),
    "hls with a key at a URL": HLS.format(key='#EXT-X-KEY:METHOD=AES-128,URI="{url}/key"\n', file="other.ts"),
    "hls of a file": HLS.format(key="", file="other.ts"),
    "hls of a file elsewhere": HLS.format(key="", file="file:{folder}/other.ts"),
    "concat of a URL": "ffconcat version 1.0\nfile {url}/a.mp4\n",
    "concat of a file elsewhere": "ffconcat version 1.0\nfile {folder}/other.ts\n",
    "concat of a file": "ffconcat version 1.0\nfile other.ts\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT2S"><Period><AdaptationSet contentType="video"><Representation id="1" '
    'bandwidth="1"><BaseURL>{url}/v.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9999 RTP/AVP 96\n",
}


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_that_is_named_a_video_reads_nothing_else(
    asked: tuple[str, list[str]], name: str, extension: str, tmp_path: Path
):
    url, paths = asked
    write_video(tmp_path / "other.ts", Video(num_frames=50))
    video = tmp_path / f"v.{extension}"
    video.write_text(PLAYLISTS[name].format(url=url, folder=tmp_path))
    with pytest.raises(VideoError):
        probe_video(str(video))
    assert paths == []


def test_a_playlist_is_not_opened_far_enough_to_look_at_its_neighbour(tmp_path: Path):
    """A pipe that is opened waits for a writer for ever."""
    os.mkfifo(tmp_path / "other.mp4")
    (tmp_path / "v.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n")
    with pytest.raises(VideoError, match="in none of the formats that are opened"):
        probe_video(str(tmp_path / "v.mp4"))


def test_the_server_that_counts_is_there(asked: tuple[str, list[str]]):
    url, paths = asked
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{url}/a.ts")
    refused.value.close()
    assert paths == ["/a.ts"]


FLAW = {"id": "CVE-2026-1", "fix_versions": ["1.1"]}


@pytest.mark.parametrize(
    ("dependencies", "lines", "is_vulnerable"),
    [
        ([], [NOT_AUDITED], False),
        ([{"name": "a", "skip_reason": "not found"}], [NOT_AUDITED], False),
        (
            [{"name": "a", "version": "1.0", "vulns": []}],
            ["audit: 1 packages, 0 known vulnerabilities"],
            False,
        ),
        (
            [{"name": "a", "version": "1.0", "vulns": [FLAW]}, {"name": "b", "skip_reason": "not found"}],
            [
                "a 1.0: CVE-2026-1, fixed in 1.1",
                "audit: 1 packages, 1 known vulnerabilities; 1 could not be audited",
            ],
            True,
        ),
    ],
)
def test_an_audit_fails_for_a_vulnerability_and_says_when_it_could_not_ask(
    dependencies: list[dict[str, Any]], lines: list[str], is_vulnerable: bool
):
    assert verdict(dependencies) == (lines, is_vulnerable)
