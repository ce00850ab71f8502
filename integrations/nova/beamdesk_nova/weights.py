"""The weigher: Beamdesk's order of the hosts as weights from 0 to 1."""

from __future__ import annotations

from nova.scheduler import utils, weights

from beamdesk_nova.options import CONF, CORE


class BeamdeskWeigher(weights.BaseHostWeigher):
    """1 for the best host, evenly less for the next; 0 where Beamdesk has no opinion."""

    # Told, so that Nova does not stretch what is there: without an answer all are 0, and equal.
    minval = 0.0
    maxval = 1.0

    def weight_multiplier(self, host_state):
        return utils.get_weight_multiplier(
            host_state, "beamdesk_weight_multiplier", CONF.beamdesk.weight_multiplier
        )

    def weigh_objects(self, weighed_obj_list, weight_properties):
        hosts = [weighed.obj.host for weighed in weighed_obj_list]
        verdicts = CORE.verdicts(weight_properties, hosts)
        if not verdicts:
            return [0.0] * len(hosts)
        return [_weight(verdicts[host].rank, len(verdicts)) for host in hosts]

    def _weigh_object(self, host_state, weight_properties):
        verdicts = CORE.verdicts(weight_properties, [host_state.host])
        return _weight(verdicts[host_state.host].rank, 1) if verdicts else 0.0


def _weight(rank, hosts):
    return 0.0 if rank is None else max(0.0, 1.0 - rank / hosts)
