"""Dashboards as code: Grafana boards generated into `grafana/`, Prometheus rules and alerts, and how Compose wires them."""
