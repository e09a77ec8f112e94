"""Type-ahead on a real terminal with a real runtime: keys sent before the form opens."""

from __future__ import annotations

from tests.acceptance.conftest import open_home


def test_one_burst_opens_the_form_fills_it_in_and_submits() -> None:
    """Submit exactly one task as typed, and trigger no verb of the deck."""
    with open_home() as house:
        house.run_ok("serve", "--detach")
        with house.open_terminal(columns=80, rows=24) as deck:
            deck.wait("1 Queues").type("nprintf %s qxrpt\t/\n").wait("Submitted #1.")
        [task] = house.run_json("ls", "--limit", "0")
    assert task["launch"]["argv"] == ["printf", "%s", "qxrpt"]
    assert task["cwd"] == "/"
