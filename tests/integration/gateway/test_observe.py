"""The dashboard of `deploy/observe` shows metrics that exist, by labels that they have."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.gateway.conftest import Suite
from tests.support.http import Http
from tests.support.intake import IntakeProcess

ROOT = Path(__file__).parents[3]
OBSERVE = ROOT / "deploy/observe"
DASHBOARD: dict[str, Any] = json.loads((OBSERVE / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
METRIC = re.compile(r"\b((?:comanda|process)_\w+)(?:\{([^}]*)\})?")
# Where in an expression, or in its legend, a label is named.
GROUPED = re.compile(r"\bby \(([^)]*)\)")
LEGEND = re.compile(r"\{\{(\w+)\}\}")


@pytest.fixture(scope="module")
def samples(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[set[str]]]:
    """The labels of every sample by its name, after one of everything has happened."""
    http = Http(suite.gateway)
    order = {"cliente": "Ana", "productos": ["pan"], "direccion": "Mayor 1"}
    http.ask("POST", "/api/v1/orders", order)
    with suite.intake.connect() as session:
        order_id = session.ask(order)["id"]
        session.wait_until(f"status {order_id}", "pedido.estado", "listo")
    with suite.persistence.connect() as session:
        assert session.ask({"action": "nonsense"})["success"] is False
    full = IntakeProcess(tmp_path_factory.mktemp("full"), {"MAX_PEDIDOS_EN_COLA": 1, "PROCESSING_SECONDS": 60})
    with full, full.connect() as session:
        session.ask(order)
        assert session.ask(order)["error"] == "queue_full"
        refused = session.ask("metrics")["metrics"]
    found: dict[str, list[set[str]]] = {}
    for family in text_string_to_metric_families(http.ask("GET", "/metrics").body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(set(sample.labels))
    for family in text_string_to_metric_families(refused):
        for sample in family.samples:
            if sample.name == "comanda_orders_refused_total":
                # The gateway adds whose sample it is.
                found[sample.name] = [{*sample.labels, "server"}]
    return found


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_panel_shows_metrics_that_exist(samples: dict[str, list[set[str]]], panel: dict[str, Any]) -> None:
    assert panel["description"]
    for target in panel["targets"]:
        named = METRIC.findall(target["expr"])
        assert named, target
        for name, matchers in named:
            assert name in samples
            labels = set(re.findall(r"(\w+)\s*[!=]", matchers))
            for group in GROUPED.findall(target["expr"]):
                labels |= {label.strip() for label in group.split(",")}
            assert all(labels <= has for has in samples[name]), (name, labels)
        grouped = {label.strip() for group in GROUPED.findall(target["expr"]) for label in group.split(",")}
        assert set(LEGEND.findall(target["legendFormat"])) <= grouped


def test_dashboard_is_where_grafana_looks() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    mounted = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    (provider,) = yaml.safe_load((OBSERVE / "dashboards.yaml").read_text())["providers"]
    assert Path(mounted["./deploy/observe/dashboard.json"]).parent == Path(provider["options"]["path"])
    sources = yaml.safe_load((OBSERVE / "datasources.yaml").read_text())["datasources"]
    hosts = {source["uid"]: re.sub(r"http://(\w+):\d+", r"\1", source["url"]) for source in sources}
    assert set(hosts.values()) <= set(services)
    used = {target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]}
    assert used <= set(hosts)
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_prometheus_asks_the_gateway_and_the_collector_hands_on_to_a_container() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    (job,) = yaml.safe_load((OBSERVE / "prometheus.yaml").read_text())["scrape_configs"]
    port = services["gateway"]["environment"]["MAIN_SERVER_PORT"]
    assert job["static_configs"] == [{"targets": [f"gateway:{port}"]}]
    collector = yaml.safe_load((OBSERVE / "collector.yaml").read_text())
    assert collector["exporters"]["otlp"]["endpoint"].partition(":")[0] in services
