//! Agents of servers elsewhere: what their certificates are good for, and what they prove.

use std::{path::Path, time::Duration};

use beamdesk_auth::{AgentEnrolError, AgentRefused, Authority};
use beamdesk_types::{
    AgentEnrolRequest, AgentIdentity, AgentRenewRequest, Desktop, Role, Timestamp,
};
use rcgen::{CertificateParams, KeyPair};

use crate::world::{HandClock, World, real_now};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn authority(dir: &Path, now: Timestamp) -> Authority {
    Authority::open_or_create(dir, HandClock::at(now)).unwrap()
}

fn request(key: &KeyPair) -> String {
    CertificateParams::default().serialize_request(key).unwrap().pem().unwrap()
}

/// The desktop's server is made, and its agent enrols with this key.
async fn enrolled(
    world: &World,
    authority: &Authority,
    desktop: &Desktop,
    key: &KeyPair,
) -> AgentIdentity {
    let (id, generation) = (desktop.id, desktop.generation);
    let secret = world.auth.new_agent_secret(id, generation, true).await.unwrap();
    let request = AgentEnrolRequest { desktop: id, generation, secret, request: request(key) };
    world.auth.enrol_agent(authority, &request, "10.0.0.9").await.unwrap()
}

async fn renewed(
    world: &World,
    authority: &Authority,
    desktop: &Desktop,
    key: &KeyPair,
    certificate: &str,
) -> Result<AgentIdentity, AgentRefused> {
    let request = AgentRenewRequest {
        desktop: desktop.id,
        certificate: certificate.to_owned(),
        request: request(key),
    };
    world.auth.renew_agent(authority, &request).await.map_err(|error| match error {
        AgentEnrolError::Refused(refused) => refused,
        other => panic!("{other:?}"),
    })
}

#[tokio::test]
async fn a_database_that_knows_nothing_believes_a_certificate_and_nothing_else() {
    let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Long over by now: the server was off, or its agent found no portal that knew it.
    let past = authority(dir.path(), real_now() - 30 * DAY);
    let (ours, foreign) =
        (authority(dir.path(), real_now()), authority(other_dir.path(), real_now()));
    let (key, other_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let world = World::in_memory().await;
    let owner = world.user("ada", Role::User).await;
    let desktop = world.desktop(owner.id).await;
    let identity = enrolled(&world, &past, &desktop, &key).await;
    let forged = enrolled(&world, &foreign, &desktop, &key).await;

    // A database that was made anew, with the same desktop in it.
    let restored = World::in_memory().await;
    restored.store.add_user(&owner).await.unwrap();
    restored.store.add_desktop(&desktop, 10).await.unwrap();
    let neighbour = restored.desktop(owner.id).await;
    let shown = identity.certificate.as_str();
    let no = Err(AgentRefused::OtherKey);
    let ask = async |desktop: &Desktop, key: &KeyPair, certificate: &str| {
        renewed(&restored, &ours, desktop, key, certificate).await.map(|got| got.generation)
    };
    assert_eq!(ask(&desktop, &key, "").await, no);
    assert_eq!(ask(&desktop, &key, "nonsense").await, no);
    assert_eq!(ask(&desktop, &key, &shown.repeat(20)).await, no, "too long");
    assert_eq!(ask(&desktop, &key, &forged.certificate).await, no, "another authority's");
    assert_eq!(ask(&desktop, &key, ours.authority_pem()).await, no, "the authority itself");
    assert_eq!(ask(&desktop, &other_key, shown).await, no, "another key");
    assert_eq!(ask(&neighbour, &key, shown).await, no, "another desktop");
    assert_eq!(ask(&desktop, &key, shown).await, Ok(1));
    // From now on it is known.
    assert_eq!(ask(&desktop, &key, "").await, Ok(1));
    assert_eq!(ask(&desktop, &other_key, shown).await, no);
}

#[tokio::test]
async fn an_identity_says_when_to_renew_and_nothing_of_the_request_counts_but_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let ours = authority(dir.path(), real_now());
    let world = World::in_memory().await;
    let owner = world.user("ada", Role::User).await;
    let desktop = world.desktop(owner.id).await;
    let key = KeyPair::generate().unwrap();
    let identity = enrolled(&world, &ours, &desktop, &key).await;
    let renew_in = Duration::from_secs(identity.renew_in_s);
    assert!(renew_in > DAY / 2 && renew_in < DAY * 2 / 3, "{renew_in:?}");
    assert_eq!(identity.authority, ours.authority_pem());
    // A request that asks for more gets what an agent gets.
    let mut greedy = CertificateParams::new(vec!["portal.beamdesk.internal".to_owned()]).unwrap();
    greedy.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    greedy.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let request = AgentRenewRequest {
        desktop: desktop.id,
        certificate: String::new(),
        request: greedy.serialize_request(&key).unwrap().pem().unwrap(),
    };
    let got = world.auth.renew_agent(&ours, &request).await.unwrap();
    let der = pem_bytes(&got.certificate);
    let has = |text: &str| der.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has(&format!("g1.{}.agent.beamdesk.internal", desktop.id)));
    assert!(!has("portal.beamdesk.internal"));
}

fn pem_bytes(pem: &str) -> Vec<u8> {
    use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}
