"""The image's Dockerfile without Docker: its copies, its commands, its start."""

import json
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One `FROM` with its instructions, up to the next: names in upper case with the rest of their lines."""

    name: str
    instructions: tuple[tuple[str, str], ...]

    def of(self, instruction: str) -> list[str]:
        """The lines of one instruction."""
        return [rest for name, rest in self.instructions if name == instruction]


def stages(dockerfile: Path) -> list[Stage]:
    """Return the stages in their order. Raise ValueError for an instruction before all of them."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text(encoding="utf-8"), flags=re.M)
    found: list[tuple[str, list[tuple[str, str]]]] = []
    for line in filter(None, map(str.strip, text.replace("\\\n", " ").splitlines())):
        instruction, _, rest = line.partition(" ")
        if instruction.upper() == "FROM":
            found.append((rest.partition(" AS ")[2], []))
        elif not found:
            raise ValueError(f"{dockerfile.name}: {line!r} is in no stage")
        else:
            found[-1][1].append((instruction.upper(), rest.strip()))
    return [Stage(name=name, instructions=tuple(lines)) for name, lines in found]


def let_in(ignore_file: Path, files: Iterable[str]) -> list[str]:
    """Return the files (paths below the root of the context) that the ignore file leaves in the context.

    The rule is Docker's: of the patterns that match a file or a folder above it, the last decides.
    """
    patterns = [line.strip() for line in ignore_file.read_text(encoding="utf-8").splitlines()]
    rules = [
        (not pattern.startswith("!"), re.compile(_regex(pattern.removeprefix("!").strip("/"))))
        for pattern in patterns
        if pattern and not pattern.startswith("#")
    ]
    kept = []
    for name in files:
        parts = name.split("/")
        places = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        verdicts = [ignored for ignored, regex in rules if any(map(regex.fullmatch, places))]
        if not verdicts or not verdicts[-1]:
            kept.append(name)
    return kept


def copy(line: str, context: Path, working_directory: Path) -> None:
    """Copy one `COPY` from the context. Raise ValueError where a source is missing, like Docker."""
    *sources, target = shlex.split(line)
    if any(word.startswith("--") for word in sources):
        raise ValueError(f"COPY {line}: options are not followed here")
    into = working_directory / target
    for source in sources:
        path = context / source
        if not path.exists():
            raise ValueError(f"COPY {line}: the ignore file lets no {source} into the context")
        if path.is_dir():
            shutil.copytree(path, into, dirs_exist_ok=True)
        else:
            to_folder = target.endswith("/") or target == "." or len(sources) > 1
            file = into / path.name if to_folder else into
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, file)


def entrypoint(stage: Stage) -> list[str]:
    """The command that a container of the stage starts."""
    (line,) = stage.of("ENTRYPOINT")
    words: list[str] = json.loads(line)
    return words


def _regex(pattern: str) -> str:
    return "".join(_translated(pattern))


def _translated(pattern: str) -> Iterator[str]:
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    for word in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", pattern):
        yield words.get(word, re.escape(word))
