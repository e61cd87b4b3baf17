"""Options of a command in a file of TOML."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


class CommandParser(argparse.ArgumentParser):
    """Parses the words of a command, after those of the file that `--config` names where the command has that option.

    The namespace gets `options`: every option that has a value, by name, as it was written or is by default.

    Attributes:
        file_without_config: what says, of the words, which file is read where `--config` names none.
    """

    file_without_config: Callable[[Sequence[str]], Path | None] = staticmethod(lambda words: None)

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def] # overloaded in typeshed
        """Parse words; see `argparse.ArgumentParser`."""
        words = list(sys.argv[1:] if args is None else args)
        if "--config" not in self._option_string_actions:
            return super().parse_known_args(words, namespace)
        words = [*self._words_of_file(words), *words]
        parsed, rest = super().parse_known_args(words, namespace)  # first, for it may end in help, which names choices
        as_written, _ = self._without_types(words)
        parsed.options = {
            action.option_strings[0][2:]: as_written[action.dest]
            for action in self._actions
            if action.option_strings and as_written.get(action.dest) is not None
        }
        return parsed, rest

    def _without_types(self, words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        kept = [(action, action.type, action.choices) for action in self._actions]
        try:
            for action in self._actions:
                action.type = action.choices = None  # choices are of values, not of words
            parsed, rest = super().parse_known_args(words, None)
        finally:
            for action, its_type, its_choices in kept:
                action.type, action.choices = its_type, its_choices
        return vars(parsed), rest

    def _words_of_file(self, words: Sequence[str]) -> Iterator[str]:
        finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, usage=argparse.SUPPRESS)
        finder.add_argument("--config", type=Path)
        path = finder.parse_known_args(words)[0].config or self.file_without_config(words)
        if path is None:
            return
        given = {self._option_string_actions.get(word.split("=")[0]) for word in words}
        keys: dict[argparse.Action, str] = {}
        for key, value in self._read(path).items():
            action = self._option_string_actions.get(_option(key))
            if action is None or action.dest in ("config", "help"):
                self.error(f"{path}: there is no option {key!r}")
            if action in keys:
                self.error(f"{path}: {keys[action]!r} and {key!r} are the same option; leave one of them")
            keys[action] = key
            if not (action in given or self._excludes(given, action)):
                yield from self._words(path, key, action, value)

    def _excludes(self, given: set[argparse.Action | None], action: argparse.Action) -> bool:
        return any(
            action in group._group_actions and given & {*group._group_actions}
            for group in self._mutually_exclusive_groups
        )

    def _read(self, path: Path) -> dict[str, Any]:
        import tomlkit
        from tomlkit.exceptions import TOMLKitError

        try:
            return tomlkit.parse(path.read_text(encoding="utf-8", errors="surrogateescape")).unwrap()
        except (OSError, UnicodeDecodeError, TOMLKitError) as error:
            self.error(f"options of {path}: {getattr(error, 'strerror', None) or error}")

    def _words(self, path: Path, key: str, action: argparse.Action, value: object) -> list[str]:
        option = action.option_strings[0]
        if action.nargs == 0 and isinstance(value, bool):
            written = _option(key)
            opposites = [
                name for name in action.option_strings if name.startswith("--no-") != written.startswith("--no-")
            ]
            return [written] if value else opposites
        if isinstance(value, list) and action.nargs is None:
            value = ",".join(map(str, value))
        if isinstance(value, bool | dict | list) or action.nargs == 0:
            kind = "true or false" if action.nargs == 0 else "a text or a number"
            self.error(f"{path}: {key} must be {kind}, got {value!r}")
        return [f"{option}={value}"]


def _option(key: str) -> str:
    """The word of the command line that a key stands for."""
    return f"--{key.replace('_', '-')}"


def to_toml(head: str, options: Mapping[str, Any]) -> str:
    """Write options as a file that `--config` takes, in order of their names.

    Args:
        head: the first line, a comment.
        options: by name, as words or numbers.
    """
    import tomlkit

    document = tomlkit.document()
    document.add(tomlkit.comment(head.removeprefix("# ")))
    for name in sorted(options):
        document.add(name, tomlkit.item(_plain(options[name])))
    return tomlkit.dumps(document)


def _plain(value: Any) -> Any:
    """Numbers of a text that is exactly one, and texts of paths and the like."""
    if isinstance(value, bool | int | float):
        return value
    text = str(value)
    for kind in (int, float):
        try:
            if str(kind(text)) == text:
                return kind(text)
        except ValueError:
            continue
    return text
