"""The Compose file cannot be run here; so every file, port, variable, path and setting it names is held against what exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import config
from tests.dashboards import boards

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
PROVISIONING = ROOT / "dashboards" / "provisioning"
WRITES_ITS_OWN_FOLDERS = {"langfuse-web", "langfuse-worker"}
EVERY_SERVICE = pytest.mark.parametrize("name", sorted(SERVICES))
DEFAULT = re.compile(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}")


def settled(text: str, given: dict[str, str]) -> str:
    """The text as Compose fills it in."""

    def value(found: re.Match[str]) -> str:
        name, kind, default = found.groups()
        assert given.get(name) or kind == ":-", f"{name} is needed"
        return given.get(name) or default or ""

    return DEFAULT.sub(value, text).replace("$$", "$")


@EVERY_SERVICE
def test_a_service_is_locked_down(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is (name not in WRITES_ITS_OWN_FOLDERS)
    assert service["restart"] == "unless-stopped"
    assert "privileged" not in service
    assert "network_mode" not in service


@EVERY_SERVICE
def test_ports_are_open_on_this_machine_alone_and_each_only_once(name: str) -> None:
    mine = SERVICES[name].get("ports", [])
    assert all(port.startswith("127.0.0.1:") for port in mine)
    taken = [
        settled(port, {}).split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])
    ]
    assert len(taken) == len(set(taken))


@EVERY_SERVICE
def test_an_image_is_pinned_to_a_whole_version(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].rpartition(":")
    assert image
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)*(-alpine)?|RELEASE\.[\dTZ-]+", tag), tag


@EVERY_SERVICE
def test_a_service_tells_whether_it_is_well(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "start_period", "retries"} <= set(check)


def test_every_mounted_file_exists_and_every_volume_is_declared() -> None:
    used = set()
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source, target, *_ = mount.split(":")
            assert target.startswith("/")
            if source.startswith("."):
                assert (ROOT / source).exists(), source
                assert mount.endswith(":ro")
            else:
                used.add(source)
    assert used == set(COMPOSE["volumes"])


def test_services_that_are_named_exist_and_start_with_the_same_profile() -> None:
    for name, service in SERVICES.items():
        for other in service.get("depends_on", []):
            assert SERVICES[other].get("profiles") == service.get("profiles"), (name, other)
    addresses = re.findall(r"(?:https?|clickhouse|postgresql)://(?:[^@\s/]+@)?([a-z][a-z-]+):\d+", TEXT)
    hosts = {host for host in addresses if not host.startswith("127")}
    assert hosts - {"langfuse"} <= set(SERVICES)
    assert {SERVICES[name]["environment"]["REDIS_HOST"] for name in WRITES_ITS_OWN_FOLDERS} == {
        "langfuse-redis"
    }


def test_without_a_profile_there_are_the_exporter_prometheus_and_grafana() -> None:
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == {
        "dify-exporter",
        "prometheus",
        "grafana",
    }


def test_difys_network_is_joined_by_the_exporter_alone() -> None:
    assert COMPOSE["networks"]["dify"] == {"external": True, "name": "${DIFY_NETWORK:-docker_default}"}
    assert {name for name, service in SERVICES.items() if "dify" in service.get("networks", [])} == {
        "dify-exporter"
    }
    assert "default" in SERVICES["dify-exporter"]["networks"]


def test_every_variable_is_in_the_example_file_and_nothing_else_is() -> None:
    asked = {name for name, *_ in DEFAULT.findall(TEXT)}
    told = set(re.findall(r"^#? ?([A-Z][A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert told == asked
    for name, value in re.findall(r"^# ([A-Z][A-Z_]+)=([^'\n]*)$", EXAMPLE, re.MULTILINE):
        assert f"${{{name}:-{value}}}" in TEXT, f"{name}={value} is not the default"


def test_the_documented_variables_and_addresses_are_those_of_the_file() -> None:
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    section = page.partition("## Beside Dify in Docker Compose")[2].partition("\n## ")[0]
    defaults = {name: default for name, kind, default in DEFAULT.findall(TEXT) if kind == ":-"}
    for names, values in re.findall(r"^\| ((?:`[A-Z_]+`(?:, )?)+) \| ([^|]+) \|", section, re.MULTILINE):
        told = [value.strip("` ").replace("–", "") for value in values.split(",")]
        for name, value in zip(re.findall("[A-Z_]+", names), told, strict=True):
            assert defaults.get(name, "") == value, name
    published = {
        settled(port, {}).split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])
    }
    assert set(re.findall(r"`http://127\.0\.0\.1:(\d+)/`", section)) == published
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", [])}
    assert set(re.findall(r"--profile (\w+)", section)) == profiles


def test_no_secret_has_a_default() -> None:
    for name, kind, default in DEFAULT.findall(TEXT):
        if re.search("PASSWORD|SECRET|KEY|TOKEN", name):
            assert kind == ":?" or default == "", name


def filled_example() -> dict[str, str]:
    """`.env` made from the example with everything filled in."""
    given = dict(re.findall(r"^#? ?([A-Z][A-Z_]+)='?([^'\n]*)'?$", EXAMPLE, re.MULTILINE))
    own = {
        "LANGFUSE_HOST": "http://langfuse-web:3000",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    for name in given:
        if not given[name]:
            given[name] = own.get(name, "https://otlp.example.com" if name.endswith("ENDPOINT") else "a" * 24)
    return {**given, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=token"}


@pytest.mark.parametrize(
    "given", [filled_example(), {"DIFY_EXPORTER_DB_PASSWORD": "secret"}], ids=["all", "only what is needed"]
)
def test_the_exporters_settings_are_accepted(given: dict[str, str]) -> None:
    environ = {name: settled(text, given) for name, text in SERVICES["dify-exporter"]["environment"].items()}
    settings = config.load(Path("/dev/null"), environ).settings
    assert settings.dify.database.url is not None
    kinds = {item.kind for item in settings.destinations}
    assert kinds == ({"postgresql", "langfuse", "langsmith", "otlp"} if len(given) > 1 else set())


def test_prometheus_scrapes_the_exporter_where_it_listens_and_reads_the_mounted_rules() -> None:
    document = yaml.safe_load((ROOT / "dashboards" / "prometheus.yml").read_text("utf-8"))
    port = config.WebSettings().port  # type: ignore[call-arg]
    targets = [
        item
        for job in document["scrape_configs"]
        for group in job["static_configs"]
        for item in group["targets"]
    ]
    assert targets == [f"dify-exporter:{port}"]
    assert SERVICES["dify-exporter"]["ports"] == [f"127.0.0.1:${{DIFY_EXPORTER_PORT:-{port}}}:{port}"]
    mounts = {
        target: source
        for source, target, *_ in (mount.split(":") for mount in SERVICES["prometheus"]["volumes"])
    }
    assert set(document["rule_files"]) <= set(mounts)
    assert "--config.file=/etc/prometheus/prometheus.yml" in SERVICES["prometheus"]["command"]
    assert mounts["/etc/prometheus/prometheus.yml"] == "./dashboards/prometheus.yml"
    assert "--enable-feature=exemplar-storage" in SERVICES["prometheus"]["command"]


def test_new_series_are_seen_at_zero_at_this_scrape_interval() -> None:
    document = yaml.safe_load((ROOT / "dashboards" / "prometheus.yml").read_text("utf-8"))
    seconds = int(document["global"]["scrape_interval"].removesuffix("s"))
    assert 2 * seconds <= config.WebSettings().new_at_zero  # type: ignore[call-arg]


def test_grafana_finds_its_boards_and_data_sources() -> None:
    mounts = {
        target: source
        for source, target, *_ in (mount.split(":") for mount in SERVICES["grafana"]["volumes"])
    }
    provider = yaml.safe_load((PROVISIONING / "dashboards" / "dify-exporter.yml").read_text("utf-8"))
    assert mounts[provider["providers"][0]["options"]["path"]] == "./dashboards/grafana"
    for kind in ("datasources", "dashboards"):
        assert mounts[f"/etc/grafana/provisioning/{kind}"] == f"./dashboards/provisioning/{kind}"
    text = (PROVISIONING / "datasources" / "dify-exporter.yml").read_text("utf-8")
    sources = yaml.safe_load(text)["datasources"]
    asked = {item["pluginId"] for board in boards.BOARDS.values() for item in board["__inputs"]}
    assert {item["type"] for item in sources} == asked
    assert [item["name"] for item in sources if item.get("isDefault")] == ["Prometheus"]
    for item in sources:
        host, port = re.sub("^http://", "", item["url"]).split(":")
        assert host in SERVICES
        assert port in {"prometheus": "9090", "ledger": "5432"}[host]
    ledger = next(item for item in sources if item["uid"] == "ledger")
    made = SERVICES["ledger"]["environment"]
    assert (ledger["user"], ledger["jsonData"]["database"]) == (made["POSTGRES_USER"], made["POSTGRES_DB"])
    read = set(re.findall(r"(?<!\$)\$([A-Z_]+)", re.sub(r"#.*", "", text)))
    assert read <= set(SERVICES["grafana"]["environment"])


def test_links_of_the_boards_lead_to_the_published_ports() -> None:
    for board in boards.BOARDS.values():
        for item in board["templating"]["list"]:
            if item["name"] == "page":
                assert item["query"] == "http://127.0.0.1:9464"
            if item["name"] == "langfuse":
                assert item["query"] == "http://127.0.0.1:3000/project/dify"
    assert SERVICES["langfuse-web"]["environment"]["LANGFUSE_INIT_PROJECT_ID"] == "dify"


def test_compose_files_are_not_built_into_the_image_but_stand_in_the_repository() -> None:
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert ".env" in ignored
    assert ".env.example" not in ignored
