//! The monitor and a portal: let in, reports, renewal, and who is not believed.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use beamdesk_monitor::{Config, Entry, Given, MonitorError, ProbeConfig, run};
use beamdesk_types::{EnrolAnswer, EnrolRequest, NodeContent, NodeReport, Secret};
use serde_json::{from_str, to_string};
use tempfile::TempDir;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    fixture::three_a6000,
    play::{Asked, Authority, PATIENCE, Portal, Stopped},
};

const PORTAL: &str = "portal.beamdesk.internal";
const NODE: &str = "n1.node.beamdesk.internal";
/// Ends of certificates: by the clock of the tests, which stands in 2200, the earlier one has a few years
/// left.
const LATE: i32 = 2900;
const EARLIER: i32 = 2220;
const NOW: &str = "2200-06-01T00:00:00Z";
const OK: &str = r#"{"wants_full":false,"now":"2026-06-01T00:00:00Z"}"#;
const WANTS_FULL: &str = r#"{"wants_full":true,"now":"2026-06-01T00:00:00Z"}"#;

/// A monitor of a made-up node, and its folders.
struct Bed {
    folder: TempDir,
    running: JoinSet<Result<(), MonitorError>>,
    stop: CancellationToken,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        three_a6000(&folder.path().join("root")).unwrap();
        Self { folder, running: JoinSet::new(), stop: CancellationToken::new() }
    }

    fn state(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it; one at a time.
    fn start(&mut self, portal: &str, entry: Entry) {
        self.stop = CancellationToken::new();
        let config = Config {
            node: "n1".parse().unwrap(),
            probe: ProbeConfig {
                root: self.folder.path().join("root"),
                ..ProbeConfig::here(Given::Passthrough)
            },
            portal: portal.parse().unwrap(),
            entry,
            interval: Duration::from_millis(20),
            state: self.folder.path().join("state"),
        };
        let clock = Stopped(NOW.parse().unwrap());
        self.running.spawn(run(config, Arc::new(clock), self.stop.clone()));
    }

    fn enrol(&mut self, portal: &Portal, secret: Option<Secret>) {
        self.start(&format!("https://{}", portal.address), Entry::Enrol { secret });
    }

    async fn ended(&mut self) -> Result<(), MonitorError> {
        timeout(PATIENCE, self.running.join_next()).await.expect("it ends").unwrap().unwrap()
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        self.ended().await.unwrap();
    }
}

fn report(asked: &Asked) -> NodeReport {
    assert_eq!(asked.path, "/srm/v1/reports");
    assert!(asked.is_known, "reports are told with a certificate");
    from_str(&asked.body).unwrap()
}

fn is_full(report: &NodeReport) -> bool {
    matches!(report.content, NodeContent::Full { .. })
}

/// Lets in with `identity`, and takes all reports.
fn kind(identity: EnrolAnswer) -> impl FnMut(&Asked) -> (u16, String) {
    move |asked| match asked.path.as_str() {
        "/srm/v1/enrol" => (200, to_string(&identity).unwrap()),
        "/srm/v1/reports" => (200, OK.to_owned()),
        _ => (404, String::new()),
    }
}

#[tokio::test]
async fn it_is_let_in_once_and_then_known_by_its_identity() {
    let authority = Authority::new();
    let identity = authority.identity(PORTAL, LATE);
    let node = authority.identity(NODE, LATE);
    let mut portal = Portal::start(&authority, &identity, true, kind(node)).await;
    let mut bed = Bed::new();
    bed.enrol(&portal, Some(authority.secret()));

    let asked = portal.next().await;
    assert_eq!((asked.path.as_str(), asked.is_known), ("/srm/v1/enrol", false));
    let request: EnrolRequest = from_str(&asked.body).unwrap();
    assert_eq!(request.secret.expose(), authority.secret().expose());
    let first = report(&portal.next().await);
    assert_eq!((first.node.as_str(), &first.machine), ("n1", &request.machine));
    let NodeContent::Full { facts, cards } = &first.content else { panic!("{first:?}") };
    assert_eq!((facts.cpus, cards.len()), (32, 3));
    let second = report(&portal.next().await);
    assert!(second.generation > first.generation);
    let NodeContent::Changes { since, cards, gone, .. } = &second.content else {
        panic!("{second:?}");
    };
    assert_eq!((*since, cards.len(), gone.len()), (first.generation, 0, 0));
    bed.stop().await;

    let kept = bed.state().join("state/identity.json");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    while portal.seen().is_some() {}
    bed.enrol(&portal, None);
    let again = report(&portal.next().await);
    assert!(is_full(&again) && again.generation > second.generation);
    bed.stop().await;
}

#[tokio::test]
async fn what_changes_is_told_and_what_the_portal_lacks_is_told_in_full_at_once() {
    let authority = Authority::new();
    let identity = authority.identity(PORTAL, LATE);
    let mut left = 2;
    let mut portal = Portal::start(&authority, &identity, true, move |_| {
        left -= 1;
        (200, if left == 0 { WANTS_FULL } else { OK }.to_owned())
    })
    .await;
    let mut bed = Bed::new();
    let node = authority.identity(NODE, LATE);
    let EnrolAnswer { certificate, key, authority } = node;
    let portal_url = format!("https://{}", portal.address);
    bed.start(&portal_url, Entry::Identity { certificate, key, authority });
    let first = report(&portal.next().await);
    assert!(is_full(&first));
    let link = bed.state().join("root/sys/devices/pci0000:40/0000:61:00.0/config");
    fs::write(link, [0xff; 4]).unwrap();
    assert!(!is_full(&report(&portal.next().await)), "which the portal lacks the base of");
    let full = report(&portal.next().await);
    let NodeContent::Full { cards, .. } = &full.content else { panic!("{full:?}") };
    assert_eq!(cards.len(), 3);
    // By now the fault was seen, in full or as a change.
    let mut told = to_string(&full.content).unwrap();
    while !told.contains("faulty") {
        told = portal.next().await.body;
    }
    bed.stop().await;
    assert!(!bed.state().join("state/identity.json").exists(), "a lent identity is not kept");
}

#[tokio::test]
async fn a_portal_that_is_away_is_tried_again_and_a_refusal_of_reports_too() {
    let authority = Authority::new();
    let identity = authority.identity(PORTAL, LATE);
    let mut answers = vec![
        (200, to_string(&authority.identity(NODE, LATE)).unwrap()),
        (200, "not what was asked".to_owned()),
        (200, "x".repeat(1 << 20)),
        (429, String::new()),
        (403, r#"{"error":{"code":"quarantined","message":"another machine"}}"#.to_owned()),
        (503, String::new()),
        (429, String::new()),
        (502, "gateway".to_owned()),
    ];
    let mut portal = Portal::start(&authority, &identity, true, move |_| {
        answers.pop().unwrap_or((200, OK.to_owned()))
    })
    .await;
    let mut bed = Bed::new();
    bed.enrol(&portal, Some(authority.secret()));
    for _ in 0..4 {
        assert_eq!(portal.next().await.path, "/srm/v1/enrol");
    }
    assert!(
        matches!(bed.ended().await, Err(MonitorError::Refused(why)) if why == "another machine")
    );
    bed.enrol(&portal, Some(authority.secret()));
    for path in ["enrol", "enrol", "enrol", "enrol", "reports"] {
        assert_eq!(portal.next().await.path, format!("/srm/v1/{path}"));
    }
    bed.stop().await;
}

#[tokio::test]
async fn only_the_portal_of_the_authority_that_was_told_gets_the_secret() {
    let (authority, other) = (Authority::new(), Authority::new());
    let right = authority.identity(PORTAL, LATE);
    let wrong = [
        // Another authority, of whoever listens in between.
        (&other, other.identity(PORTAL, LATE), true),
        // The right authority shown, but not what signed it.
        (&other, EnrolAnswer { authority: authority.pem(), ..other.identity(PORTAL, LATE) }, true),
        // The right authority, and another's certificate: an agent's, say.
        (&authority, authority.identity("g1.x.agent.beamdesk.internal", LATE), true),
        // Nothing shown that the secret tells of.
        (&authority, right.clone(), false),
    ];
    for (number, (signer, identity, shows)) in wrong.into_iter().enumerate() {
        let mut portal = Portal::start(signer, &identity, shows, kind(right.clone())).await;
        let mut bed = Bed::new();
        bed.enrol(&portal, Some(authority.secret()));
        // It tries on, in case the portal is only being set up; but it never says a word.
        let waited = timeout(Duration::from_millis(300), bed.running.join_next()).await;
        assert!(waited.is_err(), "{number}");
        assert_eq!(portal.seen(), None, "{number}");
        bed.stop().await;
    }
}

#[tokio::test]
async fn an_identity_of_another_authority_is_not_taken() {
    let (authority, other) = (Authority::new(), Authority::new());
    let identity = authority.identity(PORTAL, LATE);
    let strange = other.identity(NODE, LATE);
    let portal = Portal::start(&authority, &identity, true, kind(strange)).await;
    let mut bed = Bed::new();
    bed.enrol(&portal, Some(authority.secret()));
    let error = bed.ended().await.unwrap_err().to_string();
    assert!(error.contains("another authority"), "{error}");
    assert!(!bed.state().join("state/identity.json").exists());
}

#[tokio::test]
async fn an_identity_is_renewed_when_a_third_of_its_life_is_left() {
    let authority = Authority::new();
    let identity = authority.identity(PORTAL, LATE);
    let (old, young) = (authority.identity(NODE, EARLIER), authority.identity(NODE, LATE));
    let renewed = to_string(&young).unwrap();
    let mut portal =
        Portal::start(&authority, &identity, true, move |asked| match asked.path.as_str() {
            "/srm/v1/enrol" => (200, to_string(&old).unwrap()),
            "/srm/v1/renew" => (200, renewed.clone()),
            _ => (200, OK.to_owned()),
        })
        .await;
    let mut bed = Bed::new();
    bed.enrol(&portal, Some(authority.secret()));
    assert_eq!(portal.next().await.path, "/srm/v1/enrol");
    let asked = portal.next().await;
    assert_eq!((asked.path.as_str(), asked.is_known), ("/srm/v1/renew", true));
    for _ in 0..3 {
        report(&portal.next().await);
    }
    bed.stop().await;
    let kept = fs::read_to_string(bed.state().join("state/identity.json")).unwrap();
    assert_eq!(from_str::<EnrolAnswer>(&kept).unwrap().certificate, young.certificate);
}

#[tokio::test]
async fn a_renewal_that_cannot_be_used_leaves_the_identity_as_it_was() {
    let authority = Authority::new();
    let identity = authority.identity(PORTAL, LATE);
    let old = authority.identity(NODE, EARLIER);
    let enrolled = to_string(&old).unwrap();
    let mut broken = authority.identity(NODE, LATE);
    broken.key = authority.identity(NODE, LATE).key;
    let mut portal =
        Portal::start(&authority, &identity, true, move |asked| match asked.path.as_str() {
            "/srm/v1/enrol" => (200, enrolled.clone()),
            "/srm/v1/renew" => (200, to_string(&broken).unwrap()),
            _ => (200, OK.to_owned()),
        })
        .await;
    let mut bed = Bed::new();
    bed.enrol(&portal, Some(authority.secret()));
    for path in ["enrol", "renew", "reports", "reports"] {
        assert_eq!(portal.next().await.path, format!("/srm/v1/{path}"));
    }
    bed.stop().await;
    let kept = fs::read_to_string(bed.state().join("state/identity.json")).unwrap();
    assert_eq!(from_str::<EnrolAnswer>(&kept).unwrap().certificate, old.certificate);
}

#[tokio::test]
async fn without_secret_identity_or_https_it_says_so() {
    let mut bed = Bed::new();
    bed.start("https://127.0.0.1:1", Entry::Enrol { secret: None });
    assert!(matches!(bed.ended().await, Err(MonitorError::NoSecret)));
    bed.start("http://127.0.0.1:1", Entry::Enrol { secret: None });
    assert!(matches!(bed.ended().await, Err(MonitorError::NotHttps(_))));
    let secret = Some(Secret::new("hunter2".to_owned()));
    bed.start("https://127.0.0.1:1", Entry::Enrol { secret });
    let error = bed.ended().await.unwrap_err();
    assert!(matches!(error, MonitorError::Secret(_)));
    assert!(!format!("{error:?} {error}").contains("hunter2"), "secrets are not told");
}
