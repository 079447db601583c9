"""Writes ``flask_llmchat/models/listed.py`` from lists of models that others publish.

Run ``nox -s catalogue``, then the tests. It needs pip and npm, downloads three packages into a
folder that it removes again, and keeps facts alone: names, numbers and dates.

- ``@earendil-works/pi-ai`` (npm, MIT): limits, and whether a model reasons.
- ``litellm`` (PyPI, MIT): the same where the first has none, and shutdown dates.
- ``openai`` (PyPI, Apache-2.0): OpenAI's shutdown dates, in the docstring of ``ChatModel``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

LISTED = Path(__file__).parents[1] / "flask_llmchat" / "models" / "listed.py"
JSON = dict[str, Any]


class Source(NamedTuple):
    """Where the models of one catalogue are listed.

    :param pi: the provider's name in pi-ai; "" for none.
    :param litellm: its name in litellm; "" for none.
    :param pattern: of the names to take, of a maker's models.
    :param names: the names to take, of a gateway that serves hundreds.
    """

    pi: str
    litellm: str
    pattern: str = ""
    names: str = ""


SOURCES = {
    "openai": Source(
        "openai",
        "openai",
        r"gpt-(4o|4\.1|[5-9](\.\d+)?)(-search-api|-(?!cyber|rosalind)[a-z]+)?|o\d(-mini|-pro)?"
        r"|chat-latest",
    ),
    "anthropic": Source("anthropic", "anthropic", r"claude-[a-z]+-\d(-\d)?"),
    "google": Source(
        "google", "gemini", r"gemini-\d(\.\d)?-[a-z]+(-lite)?(-preview)?|gemini-[a-z-]+-latest"
    ),
    "mistral": Source(
        "mistral",
        "mistral",
        r"mistral-(large|medium|small)-(latest|\d)"
        r"|(codestral|devstral|magistral-medium|ministral-\d+b)-latest",
    ),
    "groq": Source("groq", "groq", r"(?!.*guard).*"),
    "deepseek": Source("deepseek", "deepseek", r"deepseek-(flash|v[4-9]-pro)"),
    "xai": Source("xai", "", ".*"),
    "cerebras": Source("cerebras", "", ".*"),
    "moonshot": Source("moonshotai", "", ".*"),
    "meta": Source("meta", "", r"muse-[a-z]+-[\d.]+"),
    "zai": Source("zai", "", ".*"),
    "alibaba": Source(
        "qwen-token-plan", "dashscope", r"qwen(3\.[7-9]|[4-9])[\d.]*-(max|plus|flash)"
    ),
    "minimax": Source("minimax", "", ".*"),
    "perplexity": Source("", "perplexity", names="perplexity/sonar"),
    "bedrock": Source("", "bedrock_mantle", names="openai.gpt-oss-120b openai.gpt-oss-20b"),
    "nvidia": Source(
        "nvidia",
        "",
        names="nvidia/nemotron-3.5-lightning-30b-a3b nvidia/nemotron-3-ultra-550b-a55b"
        " minimaxai/minimax-m3.1-flash z-ai/glm-5.3-flash",
    ),
    "openrouter": Source(
        "openrouter",
        "",
        names="openrouter/auto openai/gpt-6-luna openai/gpt-6.1-terra openai/gpt-6.2-sol"
        " openai/gpt-oss-120b anthropic/claude-haiku-5.5 anthropic/claude-sonnet-5.5"
        " anthropic/claude-opus-5.5 google/gemini-3.8-flash google/gemini-4-neon"
        " deepseek/deepseek-v4.1-flash deepseek/deepseek-v4-pro moonshotai/kimi-k3.1-pro"
        " meta/muse-spark-1.3 meta-llama/llama-3.3-70b-instruct qwen/qwen3.8-flash x-ai/grok-4.3"
        " x-ai/grok-4.7 mistralai/mistral-large-4-0 z-ai/glm-5.3",
    ),
    "vercel": Source(
        "vercel-ai-gateway",
        "",
        names="openai/gpt-6-luna openai/gpt-6.2-sol anthropic/claude-sonnet-5.5"
        " google/gemini-3.8-flash deepseek/deepseek-v4.1-flash moonshotai/kimi-k3.1-pro"
        " zai/glm-5.3",
    ),
    "together": Source(
        "together",
        "together_ai",
        names="openai/gpt-oss-120b deepseek-ai/DeepSeek-V4.1-Flash zai-org/GLM-5.3"
        " zai-org/GLM-5.3-Flash moonshotai/Kimi-K3 moonshotai/Kimi-K3.1-Pro"
        " meta-models/Muse-Spark-Open-816B-A42B Qwen/Qwen3.7-Max",
    ),
    "fireworks": Source(
        "fireworks",
        "fireworks_ai",
        r"accounts/fireworks/(models/(deepseek-v4p1-flash|glm-5p3.*|kimi-k3|kimi-k3p1-pro"
        r"|minimax-m3p1-flash|qwen3p8-max)|routers/(glm|kimi)-latest)",
    ),
    "deepinfra": Source(
        "",
        "deepinfra",
        names="openai/gpt-oss-120b deepseek-ai/DeepSeek-V4.1-Flash moonshotai/Kimi-K3"
        " zai-org/GLM-5.2 Qwen/Qwen3.8-Max google/gemma-4-31B-it",
    ),
    "huggingface": Source(
        "huggingface",
        "",
        names="openai/gpt-oss-120b deepseek-ai/DeepSeek-V4.1-Flash zai-org/GLM-5.3"
        " moonshotai/Kimi-K3 moonshotai/Kimi-K3.1-Pro google/gemma-4-31B-it",
    ),
}
"""By catalogue, that is by the name of a provider's row."""


class Lists:
    """The published lists, each as a mapping of provider to model name to its facts."""

    def __init__(self, folder: Path) -> None:
        """Download the packages into a folder and read what they list."""
        # "latest" points to an old version of pi-ai, so a version is asked for.
        _run("npm", "pack", "--silent", "@earendil-works/pi-ai@>=1", cwd=folder)
        pip = (sys.executable, "-m", "pip", "download", "-q", "--no-deps")
        _run(*pip, "litellm", "openai", cwd=folder)
        self.versions = sorted(_version(path.name) for path in folder.iterdir())
        with tarfile.open(next(folder.glob("*.tgz"))) as archive:
            archive.extractall(folder, filter="data")
        self.pi = {
            path.stem: {
                model["id"]: model
                for models in json.loads(path.read_text()).values()
                for model in models.values()
                if model["type"] == "chat"
            }
            for path in folder.glob("package/dist/providers/data/[a-z]*.json")
        }
        self.litellm: dict[str, JSON] = {}
        listed = _member(folder, "litellm", "litellm/model_prices_and_context_window_backup.json")
        for name, facts in json.loads(listed).items():
            if facts.get("mode") in ("chat", "responses"):
                provider = facts["litellm_provider"]
                self.litellm.setdefault(provider, {})[name.removeprefix(f"{provider}/")] = facts
        told = _member(folder, "openai", "openai/types/shared/chat_model.py")
        _, _, told = told.partition("Deprecated values:")
        self.shutdowns = {
            name: found.group(1)
            for entry in told.split("\n- ")
            if (found := re.search(r"shutdown\s+date:\s+(\d{4}-\d\d-\d\d)", entry))
            for name in re.findall(r'"(.+?)"', entry)
        }
        assert self.shutdowns.get("gpt-4o"), "the docstring of ChatModel has another form now"

    def rows(self, catalogue: str, source: Source, today: str) -> Iterator[tuple[Any, ...]]:
        """Yield name, context window, longest output, whether it reasons, and shutdown date.

        Models that have been shut down are left out.
        """
        pi, litellm = self.pi.get(source.pi, {}), self.litellm.get(source.litellm, {})
        names = [n for n in sorted({*pi, *litellm}) if re.fullmatch(source.pattern, n)]
        for name in names or source.names.split():
            ours, theirs = pi.get(name, {}), litellm.get(name, {})
            if not (ours or theirs):
                print(f"{catalogue}: no list has {name} any longer", file=sys.stderr)
                continue
            window = ours.get("contextWindow") or theirs.get("max_input_tokens")
            output = ours.get("maxTokens") or theirs.get("max_output_tokens")
            if catalogue == "openai":
                # pi-ai has the length up to which the price stays the same, litellm the input's.
                same = self.pi["openrouter"].get(f"openai/{name}", {}).get("contextWindow", 0)
                window = max(window, same) if ours else window + output
            if name == "openrouter/auto" or (window and output == window * 9 // 10):
                output = None  # the list's own guess
            reasons = ours.get("reasoning", theirs.get("supports_reasoning", False))
            dates = self.shutdowns if catalogue == "openai" else {}
            shutdown = dates.get(name) or theirs.get("deprecation_date") or ""
            if not shutdown or shutdown >= today:
                yield name, window, output, bool(reasons), shutdown


def _run(*command: str, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def _version(file: str) -> str:
    name, version = re.match(r"(.+?)-(\d[\w.]*?)(?:-|\.tgz)", file).groups()  # type: ignore[union-attr]
    return f"{name} {version}"


def _member(folder: Path, package: str, name: str) -> str:
    with zipfile.ZipFile(next(folder.glob(f"{package}-*.whl"))) as wheel:
        return wheel.read(name).decode()


def main() -> None:
    """Write the module."""
    today = datetime.now(UTC).date().isoformat()
    with tempfile.TemporaryDirectory() as folder:
        lists = Lists(Path(folder))
    lines = [
        '"""Models as their providers list them. Written by maintenance/catalogue.py, not by hand.',
        "",
        f"Made on {today} from {', '.join(lists.versions)}.",
        '"""',
        "",
        "Row = tuple[str, int | None, int | None, bool, str]",
        '"""Name, context window, longest output, whether it reasons, last day ("": unknown)."""',
        "",
        "LISTED: dict[str, tuple[Row, ...]] = {",
    ]
    for catalogue, source in SOURCES.items():
        rows = lists.rows(catalogue, source, today)
        lines += [f"{catalogue!r}: (", *(f"{row!r}," for row in rows), "),"]
    LISTED.write_text("\n".join([*lines, "}"]))
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", str(LISTED)], check=True)


if __name__ == "__main__":
    main()
