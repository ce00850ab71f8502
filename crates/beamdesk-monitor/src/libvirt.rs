//! Which virtual machine holds which device, as libvirt notes it in `/run/libvirt/qemu`.
//!
//! The files are XML by a fixed program for its own use; this reads the few elements that matter and
//! leaves alone whatever looks different.

use crate::{pci::is_address, tree::Tree};

const FOLDER: &str = "run/libvirt/qemu";

/// One virtual machine that runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Domain {
    pub(crate) uuid: String,
    /// PCI addresses, and UUIDs of vGPUs.
    pub(crate) devices: Vec<String>,
}

/// The machines whose process is there; a note may be left behind by one that was killed.
pub(crate) fn domains(tree: &Tree) -> Vec<Domain> {
    let files = tree.names(FOLDER).into_iter().filter(|name| name.ends_with(".xml"));
    files
        .filter_map(|name| {
            let text = tree.text(&format!("{FOLDER}/{name}"))?;
            let (domain, pid) = domain(&text)?;
            tree.exists(&format!("proc/{pid}/cmdline")).then_some(domain)
        })
        .collect()
}

fn domain(text: &str) -> Option<(Domain, u32)> {
    let status = text.split_once("<domstatus")?.1;
    let pid = attribute(status.split_once('>')?.0, "pid")?.parse().ok()?;
    let uuid = text.split_once("<uuid>")?.1.split_once("</uuid>")?.0.trim().to_owned();
    let devices = text.split("<hostdev").skip(1).filter_map(|part| {
        let (hostdev, _) = part.split_once("</hostdev>")?;
        // Behind the source comes the address inside the machine.
        let (_, source) = hostdev.split_once("<source")?;
        let (source, _) = source.split_once("</source>")?;
        let (tag, _) = source.split_once("<address")?.1.split_once('>')?;
        device(tag)
    });
    Some((Domain { uuid, devices: devices.collect() }, pid))
}

fn device(tag: &str) -> Option<String> {
    if let Some(uuid) = attribute(tag, "uuid") {
        return Some(uuid.to_ascii_lowercase());
    }
    let number = |name| {
        let text = attribute(tag, name)?;
        u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
    };
    let (domain, bus) = (number("domain")?, number("bus")?);
    let (slot, function) = (number("slot")?, number("function")?);
    let address = format!("{domain:04x}:{bus:02x}:{slot:02x}.{function:x}");
    is_address(&address).then_some(address)
}

/// Of `a='1' b="2"`.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = tag;
    while let Some((before, after)) = rest.split_once('=') {
        let quote = after.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (value, next) = after.strip_prefix(quote)?.split_once(quote)?;
        if before.trim() == name {
            return Some(value);
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Domain, domain};

    const STATUS: &str = "<!-- made by libvirt -->
<domstatus state='running' reason='booted' pid='4711'>
  <vcpus/>
  <domain type='kvm' id='3'>
    <name>instance-0000002a</name>
    <uuid>7f5f2a38-6f0e-4b6e-9c8e-0d3a4f1b2c3d</uuid>
    <devices>
      <hostdev mode='subsystem' type='pci' managed='yes'>
        <driver name='vfio'/>
        <source>
          <address domain='0x0000' bus='0x41' slot='0x00' function='0x0'/>
        </source>
        <alias name='hostdev0'/>
        <address type='pci' domain='0x0000' bus='0x06' slot='0x00' function='0x0'/>
      </hostdev>
      <hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci'>
        <source><address uuid='C6D4F1EF-42e4-5de3-91c7-45d71c87eb3f'/></source>
      </hostdev>
      <hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source></hostdev>
    </devices>
  </domain>
</domstatus>";

    #[test]
    fn devices_are_the_hosts_and_not_the_guests_addresses() {
        let devices = ["0000:41:00.0", "c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"];
        let expected = Domain {
            uuid: "7f5f2a38-6f0e-4b6e-9c8e-0d3a4f1b2c3d".to_owned(),
            devices: devices.map(str::to_owned).to_vec(),
        };
        assert_eq!(domain(STATUS), Some((expected, 4711)));
    }

    #[test]
    fn what_is_cut_or_strange_is_read_as_nothing() {
        for cut in (0..STATUS.len()).filter_map(|end| STATUS.get(..end)) {
            // It may lack devices; it never makes some up.
            let found = domain(cut).map(|(domain, _)| domain.devices.len()).unwrap_or_default();
            assert!(found <= 2);
        }
        for strange in
            ["", "<domstatus pid=4711>", "<domstatus pid='x'><uuid>u</uuid>", "\0\u{fffd}"]
        {
            assert_eq!(domain(strange), None, "{strange}");
        }
    }
}
