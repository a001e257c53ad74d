"""The producer: scanner and watcher of the incoming directory."""

# Names under which the producer records the time of its last scan and of its end in the store.
SCAN_BEAT = "producer.scan"
END_BEAT = "producer.ended"
