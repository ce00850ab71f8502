"""What a request of Nova says to Beamdesk. Sees flavor and scheduler hints, no more: Nova's
scheduler knows nothing of a server's metadata, and drops an image's properties that it does not know."""

from __future__ import annotations

SCOPE = "heps:"
# Longer ones are names of nothing.
_HINT_CHARS_MAX = 255


def wish(spec) -> dict:
    """What is sent of a `nova.objects.RequestSpec`."""
    flavor = spec.flavor
    moves = is_move(spec)
    asked = {
        "vcpus": flavor.vcpus,
        "memory_mib": flavor.memory_mb,
        "disk_gib": _disk_gib(flavor, bool(_field(spec, "is_bfv"))),
        "metadata": {
            key: str(value)
            for key, value in (_field(flavor, "extra_specs") or {}).items()
            if key.startswith(SCOPE)
        },
        "move": moves,
    }
    # Hints stay with a server: what was preferred at its creation says nothing of where it moves.
    if not moves:
        _put(asked, "preferred_host", spec, "heps_preferred_host")
    _put(asked, "station", spec, "heps_station")
    _put(asked, "desktop", spec, "heps_desktop")
    return asked


def is_move(spec) -> bool:
    """Whether the server is on a host already. Nova's conductor keeps migrations, evacuations and
    unshelved servers in their cell, and says so; a new server may go to any."""
    target = _field(spec, "requested_destination")
    if target is not None and _field(target, "cell") is not None:
        return True
    return bool(_field(target, "allow_cross_cell_move")) or bool(_field(spec, "ignore_hosts"))


def _disk_gib(flavor, is_on_volume: bool) -> int:
    root = 0 if is_on_volume else flavor.root_gb
    return root + flavor.ephemeral_gb + -(-(flavor.swap or 0) // 1024)


def _put(asked: dict, name: str, spec, hint: str) -> None:
    value = (_field(spec, "scheduler_hints") or {}).get(hint)
    # Nova puts each into a list.
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) and 0 < len(value) <= _HINT_CHARS_MAX:
        asked[name] = value


def _field(thing, name: str):
    """Of an object of Nova a field that was never set raises `NotImplementedError`, or is looked up
    in the database; `in` tells."""
    if thing is None or name not in thing:
        return None
    return getattr(thing, name)
