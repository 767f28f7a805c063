"""`dify-exporter demo`: recorded traffic of a real Dify 1.14.0, replayed through the whole program on this machine."""
