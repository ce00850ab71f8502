"""The filter: hosts that Beamdesk would not take. One question for all hosts of a request."""

from __future__ import annotations

import collections
import logging

from nova.scheduler import filters, utils

from beamdesk_nova.options import CORE

LOG = logging.getLogger(__name__)

# What Placement and Nova's own filters judge, from better knowledge: a server that is resized in
# place is counted twice here, and overcommit may be another there.
NOT_OURS = frozenset(["vcpus", "memory", "disk", "disabled", "unknown"])


class BeamdeskFilter(filters.BaseHostFilter):
    """Passes hosts with the cards that are asked for; hosts in use, believed, not kept for others."""

    # A rebuilt server stays where it is.
    RUN_ON_REBUILD = False

    def filter_all(self, filter_obj_list, spec_obj):
        hosts = list(filter_obj_list)
        if not hosts or utils.request_is_rebuild(spec_obj):
            return hosts
        verdicts = CORE.verdicts(spec_obj, [host.host for host in hosts])
        if verdicts is None:
            return hosts
        reasons = {host.host: _refusal(verdicts[host.host]) for host in hosts}
        passing = [host for host in hosts if reasons[host.host] is None]
        if not passing:
            counts = collections.Counter(reasons.values()).most_common()
            words = ", ".join(f"{reason}: {count}" for reason, count in counts)
            LOG.info("Beamdesk passes none of %d hosts (%s)", len(hosts), words)
        return passing

    def host_passes(self, host_state, spec_obj):
        return bool(self.filter_all([host_state], spec_obj))


def _refusal(verdict):
    if verdict.passes or verdict.reason in NOT_OURS:
        return None
    return verdict.reason or "no reason"
