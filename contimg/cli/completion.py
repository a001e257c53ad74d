"""`contimg completion bash|zsh|fish`."""

import click
from click.shell_completion import get_completion_class

from contimg.cli import contimg
from contimg.common.options import Choice


@click.command()
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands in a shell.

    \b
    bash  contimg completion bash > ~/.local/share/bash-completion/completions/contimg
    zsh   contimg completion zsh > DIRECTORY_OF_FPATH/_contimg
    fish  contimg completion fish > ~/.config/fish/completions/contimg.fish
    """
    script = get_completion_class(shell)
    if script is None:
        raise click.ClickException(f"{shell}: no completion for this shell")
    click.echo(script(contimg, {}, "contimg", "_CONTIMG_COMPLETE").source())
