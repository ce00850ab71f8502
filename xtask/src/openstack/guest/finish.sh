#!/bin/sh
# Runs in the new guest's tree, after its packages are there.
set -eu

systemd-sysusers beamdesk-agent.conf
install -d -m 0700 -o desktop -g desktop /home/desktop
install -d -m 0700 /etc/beamdesk
echo beamdesk-guest >/etc/hostname
: >/etc/machine-id
systemctl enable systemd-networkd.service beamdesk-agent.service
systemctl set-default multi-user.target
# Each costs seconds under emulation and serves nobody here.
systemctl mask --quiet \
  cloud-init.service cloud-config.service cloud-final.service \
  getty@tty1.service serial-getty@ttyS0.service systemd-networkd-wait-online.service \
  dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
  modprobe@configfs.service modprobe@drm.service modprobe@fuse.service modprobe@efi_pstore.service \
  modprobe@dm_mod.service modprobe@loop.service \
  systemd-pstore.service systemd-binfmt.service systemd-firstboot.service e2scrub_reap.service \
  systemd-update-utmp.service systemd-update-utmp-runlevel.service \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer man-db.timer

# An initrd that does no more than find the disk: Debian's own looks for devices of every kind, which under
# emulation takes as long as all the rest of the boot.
version=$(basename /lib/modules/*)
work=$(mktemp -d)
mkdir -p "$work/bin" "$work/dev" "$work/root"
cp /bin/busybox "$work/bin/"
ln -s busybox "$work/bin/sh"
{
  echo '#!/bin/sh'
  echo 'busybox mount -t devtmpfs dev /dev'
  for module in virtio_pci virtio_blk; do
    modprobe --set-version "$version" --show-depends "$module"
  done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r file; do
    cp "$file" "$work/"
    echo "busybox insmod /$(basename "$file")"
  done
  echo 'until [ -b /dev/vda ]; do busybox sleep 0.1; done'
  echo 'busybox mount -t ext4 /dev/vda /root'
  echo 'busybox mount -o move /dev /root/dev'
  echo 'exec busybox switch_root /root /sbin/init'
} >"$work/init"
chmod 755 "$work/init"
(cd "$work" && find . | cpio --quiet -o -H newc) | gzip -9 >/boot/initrd-direct
rm -rf "$work" /var/lib/apt/lists/* /var/cache/apt/* /finish.sh
