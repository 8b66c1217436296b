"""Print a completion script for bash, zsh or fish."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from tf_signbin import console
from tf_signbin.arguments import output_file

EXAMPLES = """examples:
  tf-signbin completion bash > ~/.local/share/bash-completion/completions/tf-signbin
  tf-signbin completion zsh >> ~/.zshrc
  tf-signbin completion fish > ~/.config/fish/completions/tf-signbin.fish
"""


class _Option(NamedTuple):
    flags: tuple[str, ...]
    choices: tuple[str, ...]
    help: str
    takes_value: bool


class _Words(NamedTuple):
    """What can follow a command: options, and the fixed words of its positional arguments."""

    help: str
    options: list[_Option]
    positionals: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    parser.add_argument(
        "--json", type=output_file, metavar="FILE", help="write commands and options; - for stdout"
    )


def run(args: argparse.Namespace) -> int:
    words = _collect()
    if args.json:
        value = {
            name: {**command._asdict(), "options": [option._asdict() for option in command.options]}
            for name, command in words.items()
        }
        console.write_json(args.json, value)
    if args.json == "-":
        return console.OK
    if args.shell == "fish":
        print(_fish(words))
    else:
        # zsh runs the bash function through its own emulation.
        prefix = "autoload -U +X bashcompinit && bashcompinit\n" if args.shell == "zsh" else ""
        print(prefix + _bash(words))
    return console.OK


def _collect() -> dict[str, _Words]:
    from tf_signbin.cli import COMMANDS, make_parser

    (subparsers,) = (
        action
        for action in make_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    words = {}
    for name, parser in subparsers.choices.items():
        options: list[_Option] = []
        positionals: list[str] = []
        for action in parser._actions:
            choices = tuple(str(choice) for choice in action.choices or ())
            if action.option_strings:
                text = (action.help or "").partition(";")[0].partition(":")[0].replace("'", "")
                options.append(
                    _Option(tuple(action.option_strings), choices, text, action.nargs != 0)
                )
            else:
                positionals += choices
        words[name] = _Words(COMMANDS[name].help, options, tuple(positionals))
    return words


def _bash(words: dict[str, _Words]) -> str:
    cases = []
    for name, command in words.items():
        flags = [flag for option in command.options for flag in option.flags]
        values = "\n".join(
            f"      {'|'.join(option.flags)}) choices='{' '.join(option.choices)}' ;;"
            for option in command.options
            if option.choices
        )
        cases.append(
            f"  {name})\n"
            f"    words='{' '.join([*flags, *command.positionals])}'\n"
            f'    case "$previous" in\n{values}\n      *) choices= ;;\n    esac ;;'
        )
    body = "\n".join(cases)
    return f"""_tf_signbin() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} words choices
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '{" ".join(words)} --help --version' -- "$current"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{body}
  esac
  if [ -n "$choices" ]; then
    COMPREPLY=($(compgen -W "$choices" -- "$current"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$current") $(compgen -f -- "$current"))
  fi
}}
complete -o filenames -F _tf_signbin tf-signbin"""


def _fish(words: dict[str, _Words]) -> str:
    lines = []
    for name, command in words.items():
        lines.append(
            f"complete -c tf-signbin -n __fish_use_subcommand -a {name} -d '{command.help}'"
        )
        here = f"complete -c tf-signbin -n '__fish_seen_subcommand_from {name}'"
        if command.positionals:
            lines.append(f"{here} -a '{' '.join(command.positionals)}'")
        for option in command.options:
            flags = " ".join(
                f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
                for flag in option.flags
            )
            value = " -r" if option.takes_value else ""
            value = f" -x -a '{' '.join(option.choices)}'" if option.choices else value
            lines.append(f"{here} {flags}{value} -d '{option.help}'")
    return "\n".join(lines)
