"""The package is a one-way street: a module imports only from layers above it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vbert"

# Order is the data's order. A name may import any name to its left, never to its right.
LAYERS = [
    "errors",
    "schemas",
    "files",
    "listing",
    "records",
    "manifest",
    "corpus",
    "media",
    "frame_grid",
    "decode_pyav",
    "decode_decord",
    "decode_torchcodec",
    "decode",
    "child_process",
    "decode_child",
    "isolation",
    "color",
    "preprocess",
    "weight_files",
    "weights",
    "cpu_inference",
    "cpu_export",
    "backbones",
    "networks",
    "featurizer_config",
    "features",
    "torch_features",
    "backbone_process",
    "sampling",
    "kmeans",
    "vocabulary",
    "sentences",
    "transcripts",
    "caption_files",
    "documents",
    "audio",
    "speech",
    "text",
    "packing",
    "sequences",
    "lanes",
    "planning",
    "featurization",
    "tables",
    "commits",
    "continuous",
    "windows",
    "configuration_videobert",
    "modeling_videobert",
    "checkpoint_files",
    "encoders",
    "starting_model",
    "training",
    "parallel",
    "checkpoints",
    "objective",
    "pretrain",
    "metrics",
    "margins",
    "annotations",
    "datasets",
    "examples",
    "example_store",
    "modeling_heads",
    "modeling_captioning",
    "task",
    "finetune",
    "zero_shot",
    "classification",
    "question_answering",
    "caption_metrics",
    "captioning",
    "key_segments",
    "summarization",
    "retrieval",
    "tasks",
    "alignment",
    "text_embeddings",
    "thumbnails",
    "pipeline",
    "visual_prediction",
    "report_facts",
    "report_page",
    "training_job",
    "ledger",
    "progress",
    "metrics_log",
    "command_line",
    "ray_logging",
    "ray_cluster",
    "ray_metrics",
    "ray_backbone",
    "ray_featurize",
    "ray_vocabulary",
    "ray_transcribe",
    "ray_documents",
    "ray_compaction",
    "ray_windows",
    "ray_train_run",
    "ray_training_loop",
    "ray_pretrain_worker",
    "ray_pretrain",
    "ray_examples",
    "ray_zero_shot",
    "ray_finetune_worker",
    "ray_finetune",
    "ray_predict",
    "ray_retrieval",
    "ray_forecast",
    "ray_report",
]
MODULES = [p for p in sorted(PACKAGE.rglob("*.py")) if p.name != "__init__.py"]


def imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def test_every_module_has_a_layer():
    assert {module_name(p) for p in MODULES} == set(LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_left(path: Path):
    here = LAYERS.index(module_name(path))
    used = {name.removeprefix("vbert.") for name in imported_names(path) if name.startswith("vbert.")}
    assert used & set(LAYERS) <= set(LAYERS[:here])


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_only_the_glue_imports_ray_and_only_tables_and_commits_import_delta(path: Path):
    packages = {name.split(".")[0] for name in imported_names(path)}
    assert "ray" not in packages or module_name(path).startswith("ray_")
    assert "deltalake" not in packages or module_name(path) in {"tables", "commits"}


def test_jobs_leave_models_to_their_workers():
    """Hugging Face's models, and what of torch comes with them, take longer to import than all the rest."""
    jobs = sorted(path.stem for path in (ROOT / "jobs").glob("*.py"))
    loaded = "{'transformers.modeling_utils', 'torch.distributed.fsdp', 'sympy'} & set(sys.modules)"
    script = f"import importlib, sys\nfor name in {jobs}: importlib.import_module(name)\nprint({loaded})"
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT / "jobs", capture_output=True, text=True, check=True
    )
    assert found.stdout == "set()\n"


def test_batches_are_built_without_torch():
    """By processes on every worker's node, whose first batch training waits for."""
    script = "import sys, vbert.ray_windows; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_fits_in_one_sitting(path: Path):
    assert len(path.read_text().splitlines()) <= 350


def test_the_readme_lists_every_module():
    readme = (ROOT / "README.md").read_text()
    missing = {module_name(p) for p in MODULES if f"{p.stem}.py" not in readme}
    assert not missing
