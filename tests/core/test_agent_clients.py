"""Section `mcp` of config.toml."""

from __future__ import annotations

import json
import tomllib

from app.core.agent_clients import AgentSettings, is_client_name, parse_mcp
from app.help import read_topic


def test_a_client_takes_what_it_leaves_open_from_the_defaults():
    found, faults = parse_mcp(
        {
            "defaults": {"queue": "agents", "tasks": 20, "cpu": 2},
            "clients": {"a": {"cpu": 4, "memory": "8G", "running": 3, "read_only": True}},
        }
    )

    assert faults == []
    assert found.get_client("a") == AgentSettings("agents", 4.0, 8192.0, 3, 20, True)
    assert found.get_client("b") == AgentSettings("agents", 2.0, tasks=20)


def test_a_fault_names_the_setting_and_the_nearest_one():
    _, faults = parse_mcp(
        {"default": {}, "clients": {"a": {"cpus": 4, "tasks": -1, "memory": 0}, "b=c": {}, "d": 1}}
    )

    assert [one.message.partition(" There are")[0] for one in faults] == [
        'mcp: there is no setting "default". Nearest: defaults.',
        'mcp.clients.a: there is no setting "cpus". Nearest: cpu.',
        "mcp.clients.a.tasks: must be a whole number from 0 to 10,000.",
        "mcp.clients.a.memory: must be an amount above 0, such as 4 cores or 8G.",
        'mcp.clients: "b=c" is no name of a client: letters, digits and ._- only.',
        "mcp.clients.d: must be a table.",
    ]


def test_a_section_that_is_no_table_is_a_fault():
    assert [one.message for one in parse_mcp(4)[1]] == ["mcp: must be a table."]
    assert parse_mcp({"clients": 4})[1] and parse_mcp({"defaults": 4})[1]


def test_the_name_of_a_client_is_plain():
    assert is_client_name("claude-1.x_y")
    assert not any(map(is_client_name, ("", "a b", "a=b", "-a", "é", "a\n", "x" * 41)))


def test_the_examples_of_the_topic_are_valid():
    blocks = read_topic("agents").split("```")[1::2]
    settings = next(block for block in blocks if "[mcp.clients.a]" in block).removeprefix("text")
    servers = next(block for block in blocks if "mcpServers" in block).removeprefix("text")

    found, faults = parse_mcp(tomllib.loads(settings)["mcp"])
    assert faults == [] and found.get_client("a").queue == "agents"
    assert json.loads(servers)["mcpServers"]["taskdeck"]["args"] == ["mcp", "--client", "a"]
