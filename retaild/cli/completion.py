"""`retaildctl completion SHELL`."""

from __future__ import annotations

import click

from retaild.cli.command import command as make
from retaild.cli.session import Session


@make(
    json=False,
    help="""Print the completion script of a shell.

\b
bash: retaildctl completion bash > ~/.local/share/bash-completion/completions/retaildctl
zsh:  retaildctl completion zsh > "${fpath[1]}/_retaildctl"
fish: retaildctl completion fish > ~/.config/fish/completions/retaildctl.fish
""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(session: Session, shell: str) -> None:
    from click.shell_completion import get_completion_class

    from retaild.cli.app import cli

    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(cli, {}, "retaildctl", "_RETAILDCTL_COMPLETE")
    # Not source(): it runs the shell to learn its version, which a package build has not.
    click.echo(made.source_template % made.source_vars())
