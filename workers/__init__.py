"""What runs the stages: Celery tasks, the producer, the reconciler, the embedded broker and the service manager."""
