"""`contimg producer`: files into groups, groups into messages; the reconciler beside it."""

import click


@click.command()
def producer() -> None:
    """Watch the incoming directory and keep the queue going, until SIGTERM or Ctrl-C.

    The workers are processes of their own: celery -A workers.app worker -Q convert.
    """
    from workers.producer.main import produce  # Celery loads only for those who need it

    produce()
