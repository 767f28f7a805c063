"""Our own HTTP server on loopback: metrics, health, and the pages a person reads. It only ever reads the state file."""
