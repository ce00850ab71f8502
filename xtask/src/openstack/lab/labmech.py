"""Binds ports of fake hosts, where no Neutron agent runs. Without it their servers fail."""
from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api

PREFIX = 'fake'


class LabMech(api.MechanismDriver):

    def initialize(self):
        pass

    def bind_port(self, context):
        if not (context.host or '').startswith(PREFIX):
            return
        for segment in context.segments_to_bind:
            context.set_binding(
                segment[api.ID],
                portbindings.VIF_TYPE_BRIDGE,
                {portbindings.CAP_PORT_FILTER: False},
                status=constants.PORT_STATUS_ACTIVE,
            )
            return
