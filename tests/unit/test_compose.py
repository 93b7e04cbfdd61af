"""The containers of compose.yaml and of the image: what each has, and that every setting reaches the servers."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from clients.cli.readiness import ServerName
from services.__main__ import LAKE, SERVERS
from services.gateway.settings import GatewaySettings
from shared.runtime.setting_names import NAMES

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
MODULES = {server.name: server.module for server in (*SERVERS, LAKE)}
UNCHECKED = {"loadtest", "collector", "jaeger"}
"""Those that end by themselves, or have no program in their image that could ask."""
OWN = {name: service for name, service in SERVICES.items() if service["image"] == "comanda"}
"""The services that run this program."""
ON_DYNAMODB = {"first-on-dynamodb", "second-on-dynamodb"}
WITH_SETTINGS = sorted({*MODULES, *ON_DYNAMODB})


def test_every_server_has_a_container() -> None:
    for name, module in MODULES.items():
        assert SERVICES[name]["command"] == ["python", "-m", module]
    assert set(get_args(ServerName)) == set(MODULES)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_container_has_bounds_and_a_check(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["restart"] == ("no" if name == "loadtest" else "unless-stopped")
    if name in UNCHECKED:
        return
    test = service["healthcheck"]["test"]
    assert test[0] == "CMD"
    if name in MODULES:
        assert test[1:] == ["python", "-m", "clients", "ready", name]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_files_that_are_mounted_exist(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source = volume.partition(":")[0]
        assert source in COMPOSE["volumes"] or (ROOT / source).exists()


@pytest.mark.parametrize("name", sorted(OWN))
def test_container_writes_to_its_volume_alone_and_has_no_rights(name: str) -> None:
    service = OWN[name]
    assert service["read_only"] is True
    assert "/tmp" in service["tmpfs"]
    assert service["cap_drop"] == ["ALL"]
    # A volume without a name would be left behind.
    assert all(re.match(r"(data|\./handlers):/", volume) for volume in service.get("volumes", ()))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_open_to_this_machine_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert port.startswith(("127.0.0.1:", "[::1]:"))


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_every_setting_reaches_a_server_from_the_environment(name: str) -> None:
    environment: dict[str, str | None] = SERVICES[name]["environment"]
    where = re.compile(r"(SERVER|TCP_PERSIST|DISTRIBUTED|MAIN_SERVER)_(HOST|BIND|PORT)|DATA_DIR|DB_PATH|PUBLIC_URL")
    store = {"STORE", "DYNAMODB_ENDPOINT", "AWS_REGION"} if name in ON_DYNAMODB else set()
    assert environment.keys() >= NAMES
    # Without a value, it is that of the environment of the command, or of .env.
    fixed = {setting for setting in NAMES if environment[setting] is not None}
    assert fixed == {setting for setting in NAMES if where.fullmatch(setting)} | store
    assert SERVICES[name]["env_file"] == [{"path": ".env", "required": False}]


def test_servers_find_each_other_at_the_ports_of_the_containers_network() -> None:
    for setting, name in (
        ("SERVER", "intake"),
        ("TCP_PERSIST", "persistence"),
        ("DISTRIBUTED", "distributed"),
        ("MAIN_SERVER", "gateway"),
    ):
        environment = SERVICES["gateway"]["environment"]
        assert environment[f"{setting}_HOST"] == name
        assert environment[f"{setting}_BIND"] == "::"
        inner = environment[f"{setting}_PORT"]
        # On this machine the port can be another.
        assert SERVICES[name]["ports"][0] == f"127.0.0.1:${{{setting}_PORT:-{inner}}}:{inner}"
    assert SERVICES["client"]["environment"]["SERVER_HOST"] == "intake"


@pytest.mark.parametrize("name", ["gateway", *sorted(ON_DYNAMODB)])
def test_links_lead_to_the_port_of_this_machine(name: str) -> None:
    (outer,) = (port.removesuffix(":5000") for port in SERVICES[name]["ports"] if port.endswith(":5000"))
    port = outer.removeprefix("127.0.0.1:")
    assert SERVICES[name]["environment"]["PUBLIC_URL"] == (f"${{PUBLIC_URL:-http${{TLS_CERT:+s}}://localhost:{port}}}")
    # Commands in other containers show links, too.
    if name == "gateway":
        assert {SERVICES[other]["environment"]["PUBLIC_URL"] for other in MODULES} == {
            SERVICES[name]["environment"]["PUBLIC_URL"]
        }


def test_load_test_may_look_up_its_orders_and_the_client_may_not() -> None:
    assert "INTAKE_READ_TOKEN" in SERVICES["loadtest"]["environment"]
    assert "INTAKE_READ_TOKEN" not in SERVICES["client"]["environment"]


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_server_has_more_time_to_stop_than_it_takes(name: str) -> None:
    assert float(SERVICES[name]["stop_grace_period"].removesuffix("s")) > GatewaySettings().shutdown_seconds


def test_image_has_every_package_and_declares_no_volume() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for package in ("clients", "services", "shared", "workers"):
        assert f"\nCOPY {package} {package}\n" in dockerfile
        assert f"!{package}" in ignored
    # Docker would make a volume without a name of it for each container.
    assert "\nVOLUME" not in dockerfile
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
    assert not [name for line in copied for name in line.split() if f"!{name}" not in ignored]
    # With what traces need, and without asking for anything that is not pinned.
    assert "opentelemetry-sdk==" in (ROOT / "requirements-traces.lock").read_text()
    assert all(re.search("--require-hashes|--no-deps", line) for line in re.findall(r"bin/pip \w+ .*", dockerfile))


def test_own_handlers_are_mounted_where_modules_are_found() -> None:
    assert "./handlers:/handlers:ro" in SERVICES["intake"]["volumes"]
    # The folder `handlers` of the folder that servers run in.
    assert re.search(
        r"^WORKDIR /app\n(.*\n)*.* ln -s /handlers handlers\n", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    assert (ROOT / "handlers").is_dir()
