// The devices of a host that is not there: a folder with just what a monitor reads.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** RTX A6000, given away to virtual machines. */
export const a6000 = { vendor: '0x10de', device: '0x2230', class: '0x030000', driver: 'vfio-pci' };

/** A host with these cards in a temporary folder; `end` removes it. */
export function fixture(cards) {
  const root = mkdtempSync(join(tmpdir(), 'beamdesk-host-'));
  const file = (path, text) => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  file('etc/machine-id', 'c0ffee00c0ffee00c0ffee00c0ffee00\n');
  file('proc/stat', 'cpu  100 0 100 9800 0 0 0 0 0 0\ncpu0 100 0 100 9800 0 0 0 0 0 0\n');
  file('proc/meminfo', 'MemTotal: 528000000 kB\nMemAvailable: 500000000 kB\n');
  file('proc/cpuinfo', 'processor\t: 0\nmodel name\t: Some CPU\n');
  mkdirSync(join(root, 'sys/bus/pci/devices'), { recursive: true });
  for (const [index, card] of cards.entries()) {
    const address = `0000:${(0x41 + index).toString(16)}:00.0`;
    const device = `sys/devices/pci0000:40/${address}`;
    for (const name of ['vendor', 'device', 'class']) file(`${device}/${name}`, `${card[name]}\n`);
    file(`${device}/reset`, '');
    file(`${device}/numa_node`, `${index % 2}\n`);
    const group = `sys/kernel/iommu_groups/${30 + index}`;
    mkdirSync(join(root, group, 'devices'), { recursive: true });
    symlinkSync(join('../../../../', device), join(root, group, 'devices', address));
    symlinkSync(join('../../../', group.slice(4)), join(root, device, 'iommu_group'));
    mkdirSync(join(root, 'sys/bus/pci/drivers', card.driver), { recursive: true });
    symlinkSync(join('../../../bus/pci/drivers', card.driver), join(root, device, 'driver'));
    symlinkSync(join('../../../', device.slice(4)), join(root, 'sys/bus/pci/devices', address));
  }
  return { root, end: () => rmSync(root, { recursive: true, force: true }) };
}
