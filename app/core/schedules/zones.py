"""Time zones of schedules: lookup by name, and wall times around a clock change."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

from tzlocal import get_localzone_name

from app.core.text.sanitize import find_nearest
from app.core.text.units import quote
from app.translation import tr


def get_local_zone_name() -> str:
    """Return the name of this machine's zone, such as `Europe/Berlin`, or `UTC`."""
    try:
        return get_localzone_name() or "UTC"
    except (LookupError, OSError, ValueError):  # TZ, /etc/timezone and /etc/localtime are wrong
        return "UTC"


def get_zone(name: str) -> ZoneInfo:
    """Return a zone by name. Raise ValueError with the nearest name."""
    try:
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError):
        near = find_nearest_zone(name)
        hint = f" (nearest: {near})" if near else ""
        raise ValueError(
            tr(
                "must be a time zone such as Europe/Berlin, not {name}{advice}",
                name=quote(name),
                advice=hint,
            )
        ) from None


def find_nearest_zone(name: str) -> str | None:
    """Return the zone that a name probably means: `Europe/Berlin` for `Berlin`."""
    zones = sorted(available_timezones())
    cities = {zone.rpartition("/")[2]: zone for zone in zones if "/" in zone}
    near = None if "/" in name else find_nearest(name, cities)
    return cities[near] if near else find_nearest(name, zones)


def is_zone(name: str) -> bool:
    """Return whether this machine knows a zone of that name."""
    return name in available_timezones()


def resolve_wall_time(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return a wall time of a zone in UTC.

    Of a time that occurs twice, the first is taken. A time that the clock skips moves forward by
    the length of the gap: 02:30 becomes 03:30.
    """
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
