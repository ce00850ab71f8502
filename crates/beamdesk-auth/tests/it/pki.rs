//! Certificates and keys on disk.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use beamdesk_auth::{
    Authority, HandleKey, Identity, PkiError, gateway_name_of, gateway_server_name,
    monitor_server_name, node_name_of, site_config, site_identity,
};
use beamdesk_types::{DesktopId, NodeName};
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::world::{HandClock, gateway, real_now};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn authority(dir: &Path) -> Authority {
    Authority::open_or_create(dir, HandClock::at(real_now())).unwrap()
}

fn der(identity: &Identity) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap()
}

#[test]
fn keys_are_private_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let first = authority(&keys);
    HandleKey::open_or_create(&keys.join("handle.key")).unwrap();
    site_identity(&keys, &["localhost".to_owned()], real_now()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&keys), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&keys).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(names, ["authority.json", "handle.key", "site.json"], "and nothing temporary");
    assert_eq!(first.authority_pem(), authority(&keys).authority_pem());

    // One that others may read is not trusted any more.
    fs::set_permissions(keys.join("authority.json"), fs::Permissions::from_mode(0o640)).unwrap();
    let refused = Authority::open_or_create(&keys, HandClock::at(real_now())).unwrap_err();
    assert!(refused.to_string().contains("authority.json"), "{refused}");
    assert!(matches!(refused, PkiError::File { .. }));
    // One that is damaged is not silently replaced: certificates of the old one are about.
    fs::set_permissions(keys.join("authority.json"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(keys.join("authority.json"), "{").unwrap();
    let refused = Authority::open_or_create(&keys, HandClock::at(real_now())).unwrap_err();
    assert!(matches!(refused, PkiError::Corrupt { .. }), "{refused:?}");
    fs::write(keys.join("handle.key"), "short").unwrap();
    HandleKey::open_or_create(&keys.join("handle.key")).unwrap_err();
}

#[test]
fn of_many_that_make_the_authority_at_once_all_get_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let barrier = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (path, barrier) = (dir.path().to_owned(), Arc::clone(&barrier));
            thread::spawn(move || {
                barrier.wait();
                authority(&path).authority_pem().to_owned()
            })
        })
        .collect();
    let mut made: Vec<String> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    made.dedup();
    assert_eq!(made.len(), 1);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_certificate_names_its_gateway_and_no_other_does() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(dir.path());
    for name in ["east", "gw-1", "gw_1", "hall.2"] {
        let identity = authority.gateway_identity(&gateway(name)).unwrap();
        assert_eq!(gateway_name_of(&der(&identity)), Some(gateway(name)), "{name}");
    }
    assert_eq!(gateway_server_name(&gateway("east")), "east.gateway.beamdesk.internal");
    let agent = authority.agent_identity(DesktopId::fresh(), 1).unwrap();
    let portal = authority.portal_identity().unwrap();
    for other in [&agent, &portal] {
        assert_eq!(gateway_name_of(&der(other)), None);
    }
    for bytes in [&b""[..], b"x", &[0x30; 1000]] {
        assert_eq!(gateway_name_of(bytes), None);
    }
    // Two keys are never the same.
    let again = authority.agent_identity(DesktopId::fresh(), 1).unwrap();
    assert_ne!(agent.key_pem.expose(), again.key_pem.expose());
    assert!(!format!("{agent:?}").contains(agent.key_pem.expose()));
}

#[test]
fn a_certificate_names_its_node_and_no_other_does() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(dir.path());
    let node = |name: &str| name.parse::<NodeName>().unwrap();
    for name in ["gpu-1", "gpu_1.hall.example.org", "7", &"a".repeat(63)] {
        let identity = authority.monitor_identity(&node(name)).unwrap();
        assert_eq!(node_name_of(&der(&identity)), Some(node(name)), "{name}");
        assert_eq!(gateway_name_of(&der(&identity)), None, "a monitor is no gateway");
    }
    assert_eq!(monitor_server_name(&node("gpu-1")), "gpu-1.node.beamdesk.internal");
    // One that could not be read out of the certificate again gets none.
    for name in [&"a".repeat(64), "a-", "a..b", "a."] {
        let refused = authority.monitor_identity(&node(name)).unwrap_err();
        assert!(matches!(refused, PkiError::Name { .. }), "{name}: {refused:?}");
    }
    let others = [
        authority.gateway_identity(&gateway("gpu-1")).unwrap(),
        authority.portal_identity().unwrap(),
        authority.agent_identity(DesktopId::fresh(), 1).unwrap(),
    ];
    for other in &others {
        assert_eq!(node_name_of(&der(other)), None);
    }
}

#[test]
fn the_authority_is_known_by_the_digest_of_its_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(dir.path());
    let der = CertificateDer::from_pem_slice(authority.authority_pem().as_bytes()).unwrap();
    assert_eq!(authority.fingerprint().unwrap(), hex::encode(Sha256::digest(&der)));
}

#[test]
fn the_sites_certificate_is_kept_until_it_has_to_change() {
    let dir = tempfile::tempdir().unwrap();
    let hosts: Vec<String> =
        ["desk.example.org", "localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec();
    let now = real_now();
    let made = |hosts: &[String], after: Duration| {
        let identity = site_identity(dir.path(), hosts, now.checked_add(after).unwrap()).unwrap();
        site_config(&identity).unwrap();
        identity.certificate_pem
    };
    let first = made(&hosts, Duration::ZERO);
    assert_eq!(made(&hosts, 366 * DAY), first);
    let renewed = made(&hosts, 368 * DAY);
    assert_ne!(renewed, first, "less than 30 days left");
    let fewer = made(&hosts[..2], 368 * DAY);
    assert_ne!(fewer, renewed, "other hosts");
    fs::write(dir.path().join("site.json"), "damaged").unwrap();
    made(&hosts, Duration::ZERO);
    let refused = site_identity(dir.path(), &[], now).unwrap_err();
    assert!(matches!(refused, PkiError::Name { .. }), "{refused:?}");

    // All hosts are in it, addresses as addresses.
    let pem = made(&hosts, Duration::ZERO);
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let loopback = Ipv4Addr::LOCALHOST.octets();
    for wanted in [&b"desk.example.org"[..], b"localhost", &loopback] {
        assert!(certificate.windows(wanted.len()).any(|window| window == wanted));
    }
}
