"""A data set's files, written and read as tests do."""

import json
from pathlib import Path
from typing import Any

from vbert.tasks.datasets import read_annotations


def rows(dataset: str, source: Path) -> list[dict[str, Any]]:
    """Without what is null."""
    found = read_annotations(str(source), dataset=dataset).to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in found]


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path
