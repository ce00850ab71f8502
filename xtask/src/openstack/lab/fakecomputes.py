"""Many nova-compute services in one process: fakecomputes.py FIRST COUNT --config-file FILE..."""
import nova.monkey_patch  # noqa: F401  Before everything else: it makes threads green.

import functools
import sys

import eventlet
import nova.utils
import os_vif

FIRST, COUNT = int(sys.argv[1]), int(sys.argv[2])
# So many start at a time: more only wait for each other at the conductor.
STARTS_AT_ONCE = 4

# The lock of the resource tracker is one per process. Here each host has its own.
_synchronized = nova.utils.synchronized


def synchronized(name, *args, **kwargs):
    if name != 'compute_resources':
        return _synchronized(name, *args, **kwargs)

    def decorate(call):
        @functools.wraps(call)
        def locked(self, *call_args, **call_kwargs):
            lock = _synchronized('%s-%s' % (name, self.host), *args, **kwargs)
            return lock(call)(self, *call_args, **call_kwargs)
        return locked
    return decorate


nova.utils.synchronized = synchronized

# Imported before the first service starts: half an import is an error in the next one.
import nova.compute.manager  # noqa: E402,F401
import nova.conf  # noqa: E402
import nova.db.main.api  # noqa: E402
from nova import config, objects, service  # noqa: E402
from nova.compute import rpcapi as compute_rpcapi  # noqa: E402
from nova.conductor import rpcapi as conductor_rpcapi  # noqa: E402
from nova.objects import base as objects_base  # noqa: E402
from oslo_log import log as logging  # noqa: E402


def main():
    config.parse_args(['nova-compute'] + sys.argv[3:])
    logging.setup(nova.conf.CONF, 'nova')
    objects.register_all()
    os_vif.initialize()
    nova.db.main.api.DISABLE_DB_ACCESS = True
    objects_base.NovaObject.indirection_api = conductor_rpcapi.ConductorAPI()
    objects.Service.enable_min_version_cache()
    import labdriver
    sys.modules['nova.virt.labdriver'] = labdriver  # Nova loads drivers from there only.
    services = []

    def start(number):
        host = service.Service.create(
            binary='nova-compute', host='fake%03d' % number, topic=compute_rpcapi.RPC_TOPIC)
        host.start()
        services.append(host)

    pool = eventlet.GreenPool(STARTS_AT_ONCE)
    for number in range(FIRST, FIRST + COUNT):
        pool.spawn(start, number)
    pool.waitall()
    if len(services) != COUNT:
        sys.exit('only %d of %d started' % (len(services), COUNT))
    print('READY', len(services), flush=True)
    while True:
        eventlet.sleep(3600)


if __name__ == '__main__':
    main()
