"""Nova's classes for tests: the real ones where Nova is installed, else stand-ins that do the same.

Import this before anything of Nova or of `beamdesk_nova.filters` and `beamdesk_nova.weights`."""

import importlib.util
import sys
import types

IS_REAL = importlib.util.find_spec("nova") is not None


class Fields:
    """Has what it was given, and like Nova's objects tells with `in` what that is."""

    def __init__(self, **fields):
        self.__dict__.update(fields)

    def __contains__(self, name):
        return name in self.__dict__


class _Filter:
    RUN_ON_REBUILD = False
    run_filter_once_per_request = False

    def run_filter_for_index(self, index):
        return True


class _Weigher:
    minval = None
    maxval = None


class _Filters:
    def get_filtered_objects(self, filters, hosts, spec, index=0):
        hosts = list(hosts)
        for one in filters:
            hosts = list(one.filter_all(hosts, spec))
        return hosts


class _Weights:
    def get_weighed_objects(self, weighers, hosts, spec):
        weighed = [Fields(obj=host, weight=0.0) for host in hosts]
        if len(weighed) <= 1:
            return weighed
        for weigher in weighers:
            weights = weigher.weigh_objects(weighed, spec)
            least = min(weights) if weigher.minval is None else weigher.minval
            most = max(weights) if weigher.maxval is None else weigher.maxval
            for one, weight in zip(weighed, weights):
                scaled = (weight - least) / (most - least) if most != least else 0
                one.weight += weigher.weight_multiplier(one.obj) * scaled
        return sorted(weighed, key=lambda one: one.weight, reverse=True)


def _is_rebuild(spec):
    return (getattr(spec, "scheduler_hints", None) or {}).get("_nova_check_type") == ["rebuild"]


def _multiplier(host, name, default):
    told = [float(a.metadata[name]) for a in host.aggregates if name in a.metadata]
    return min(told) if told else default


class _Conf:
    def register_opts(self, options, group):
        setattr(self, group, Fields(**{name: value for name, value in options}))

    def set_override(self, name, value, group):
        setattr(getattr(self, group), name, value)


def _module(name, **members):
    module = types.ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


def _stand_in():
    def option(name, default, **_):
        return name, default

    cfg = types.SimpleNamespace(StrOpt=option, IntOpt=option, FloatOpt=option)
    _module("oslo_config", cfg=cfg)
    _module("nova")
    _module("nova.conf", CONF=_Conf())
    _module("nova.scheduler")
    _module("nova.scheduler.filters", BaseHostFilter=_Filter, HostFilterHandler=_Filters)
    _module("nova.scheduler.weights", BaseHostWeigher=_Weigher, HostWeightHandler=_Weights)
    utils = {"request_is_rebuild": _is_rebuild, "get_weight_multiplier": _multiplier}
    _module("nova.scheduler.utils", **utils)


if IS_REAL:
    from nova import objects
    from nova.scheduler import host_manager

    objects.register_all()
else:
    _stand_in()


def spec(metadata=None, hints=None, cell=False, ignored=None):
    """A request of a flavor with 4 vCPUs, 8 GiB, 40 GB and a bit of swap."""
    sizes = {"vcpus": 4, "memory_mb": 8192, "root_gb": 30, "ephemeral_gb": 10, "swap": 512}
    hints = {name: [value] for name, value in (hints or {}).items()}
    if not IS_REAL:
        target = Fields(cell=Fields(uuid="1")) if cell else None
        return Fields(
            instance_uuid="x",
            is_bfv=False,
            flavor=Fields(extra_specs=metadata or {}, **sizes),
            scheduler_hints=hints,
            requested_destination=target,
            ignore_hosts=ignored,
        )
    target = objects.Destination(cell=objects.CellMapping(uuid=CELL)) if cell else None
    return objects.RequestSpec(
        instance_uuid=CELL,
        is_bfv=False,
        flavor=objects.Flavor(extra_specs=metadata or {}, **sizes),
        scheduler_hints=hints,
        requested_destination=target,
        ignore_hosts=ignored,
    )


CELL = "6f8d0d2b-2a1b-4a43-9a53-6ce8a6de3c1f"


def hosts(*names, multiplier=None):
    """States of hosts as Nova's scheduler has them."""
    metadata = {} if multiplier is None else {"beamdesk_weight_multiplier": str(multiplier)}
    if not IS_REAL:
        aggregates = [Fields(metadata=metadata)]
        return [Fields(host=name, nodename=name, aggregates=aggregates) for name in names]
    states = [host_manager.HostState(name, name, CELL) for name in names]
    for state in states:
        state.aggregates = [objects.Aggregate(id=1, metadata=metadata)]
    return states


def filtered(*arguments, **more):
    """Names of the hosts that pass, by Nova's own handler."""
    from nova.scheduler.filters import HostFilterHandler

    from beamdesk_nova.filters import BeamdeskFilter

    found = HostFilterHandler().get_filtered_objects([BeamdeskFilter()], *arguments, **more)
    return [host.host for host in found]


def weighed(*arguments):
    """Names and weights, the best first, by Nova's own handler."""
    from nova.scheduler.weights import HostWeightHandler

    from beamdesk_nova.weights import BeamdeskWeigher

    found = HostWeightHandler().get_weighed_objects([BeamdeskWeigher()], *arguments)
    return [(one.obj.host, one.weight) for one in found]
