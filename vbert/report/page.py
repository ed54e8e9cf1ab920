"""The facts of a report as one HTML file that fetches nothing and runs nothing but its own script."""

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any


def render(facts: Mapping[str, Any]) -> str:
    """The page. Texts in `facts` are data: no markup or script in them is ever read as such."""
    parts = {
        name: files("vbert.report").joinpath("static", f"page.{name}").read_text()
        for name in ("html", "css", "js")
    }
    return Template(parts["html"]).substitute(
        style=parts["css"],
        script=parts["js"],
        style_hash=policy_hash(parts["css"]),
        script_hash=policy_hash(parts["js"]),
        facts=_as_data(facts),
    )


def _as_data(facts: Mapping[str, Any]) -> str:
    """JSON that cannot end its own <script> element, nor begin a comment in it."""
    text = json.dumps(_finite(facts), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value: Any) -> Any:
    """The same with null for what is no number: JSON has no NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


def policy_hash(text: str) -> str:
    """What the page's policy names its own style and script by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
