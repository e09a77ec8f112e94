import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.scheduling.devices import (
    AMD,
    assign_devices,
    format_devices,
    make_variables,
    parse_devices,
)

UUIDS = ["GPU-5f2c81d0-1111-2222-3333-444444444444", "GPU-00aa00bb-1111-2222-3333-444444444444"]


def test_each_run_gets_the_lowest_free_indices():
    assert assign_devices([2, 1], {"1", "4"}) == [("0", "2"), ("3",)]


def test_known_devices_are_given_in_their_order_while_some_are_left():
    assert assign_devices([1, 2, 1], {UUIDS[0]}, UUIDS) == [(UUIDS[1],), (), ()]


@given(
    st.lists(st.integers(0, 4), max_size=8),
    st.sets(st.integers(0, 12).map(str)),
    st.none() | st.lists(st.integers(0, 12).map(str), unique=True),
)
def test_no_device_is_given_twice(wanted: list[int], held: set[str], known: list[str] | None):
    found = assign_devices(wanted, held, known)
    given = [name for devices in found for name in devices]
    assert len(given) == len(set(given)) and not held.intersection(given)
    assert all(len(devices) in (0, n) for devices, n in zip(found, wanted, strict=True))
    assert known is None or set(given) <= set(known)


def test_variables_name_indices_in_bus_order_and_uuids_by_themselves():
    assert make_variables(["0", "2"]) == {
        "CUDA_VISIBLE_DEVICES": "0,2",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "TASKDECK_DEVICES": "0,2",
    }
    assert "CUDA_DEVICE_ORDER" not in make_variables(UUIDS)
    assert make_variables([]) == {"CUDA_VISIBLE_DEVICES": ""}
    assert make_variables(["1"], AMD) == {"ROCR_VISIBLE_DEVICES": "1", "TASKDECK_DEVICES": "1"}
    assert make_variables([], AMD) == {"ROCR_VISIBLE_DEVICES": ""}


def test_devices_are_read_back_and_shown_short():
    assert parse_devices(",".join(UUIDS)) == tuple(UUIDS)
    assert format_devices(UUIDS) == "GPU-5f2c81d0,GPU-00aa00bb"
    assert format_devices(["0", "1"]) == "0,1"


@pytest.mark.parametrize("text", ["", "0,", "a", "\x1b[31m", "0;1", "GPU-", ",".join("0" * 2000)])
def test_a_variable_that_names_no_devices_is_refused(text: str):
    with pytest.raises(ValueError):
        parse_devices(text)
