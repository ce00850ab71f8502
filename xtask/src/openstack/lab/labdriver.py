"""Nova's fake driver with graphics cards, which remembers its servers when it starts again."""
import json

from nova import context as nova_context
from nova import objects
from nova.compute import power_state
from nova.compute import vm_states
from nova.virt import fake

CARDS = 4
# Where cards sit: 0000:10:00.0 and on.
FIRST_BUS = 0x10
GONE = (vm_states.DELETED, vm_states.SOFT_DELETED, vm_states.SHELVED_OFFLOADED, vm_states.ERROR)


class GpuFakeDriver(fake.FakeDriver):
    vcpus = 64
    memory_mb = 262144
    local_gb = 2000

    def init_host(self, host):
        super().init_host(host)
        # The stock driver would not know servers of its own past.
        found = objects.InstanceList.get_by_host(
            nova_context.get_admin_context(), host, expected_attrs=['flavor'])
        for instance in found:
            if instance.vm_state in GONE or instance.vm_state == vm_states.BUILDING:
                continue
            state = instance.power_state
            if state == power_state.NOSTATE:
                state = power_state.RUNNING
            flavor = instance.flavor
            self.resources.claim(
                vcpus=flavor.vcpus, mem=flavor.memory_mb, disk=flavor.root_gb)
            self.instances[instance.uuid] = fake.FakeInstance(
                instance.name, state, instance.uuid)

    def get_available_resource(self, nodename):
        resources = super().get_available_resource(nodename)
        if resources:
            resources['pci_passthrough_devices'] = json.dumps([
                {
                    'dev_id': 'pci_0000_%02x_00_0' % (FIRST_BUS + i),
                    'address': '0000:%02x:00.0' % (FIRST_BUS + i),
                    'product_id': '1eb8',
                    'vendor_id': '10de',
                    'status': 'available',
                    'dev_type': 'type-PCI',
                    'parent_addr': None,
                    'numa_node': i % 2,
                    'label': 'label_10de_1eb8',
                }
                for i in range(CARDS)
            ])
        return resources
