"""The section `[beamdesk]` of nova.conf."""

from __future__ import annotations

import nova.conf
from oslo_config import cfg

from beamdesk_nova.core import Core

CONF = nova.conf.CONF
CONF.register_opts(
    [
        cfg.StrOpt(
            "socket",
            default="/run/beamdesk/sched.sock",
            help="Where Beamdesk's portal answers: its option --ask-socket.",
        ),
        cfg.IntOpt(
            "deadline_ms",
            default=200,
            min=1,
            max=5000,
            help="How long a scheduling request waits for Beamdesk, in milliseconds.",
        ),
        cfg.FloatOpt(
            "weight_multiplier",
            default=100000.0,
            help=(
                "How much Beamdesk's order counts. The default outweighs Nova's usual weighers "
                "with up to thousands of hosts, but not failed builds and other cells (1000000)."
            ),
        ),
    ],
    group="beamdesk",
)

# One for filter and weigher: they share its patience.
CORE = Core(lambda: CONF.beamdesk)
