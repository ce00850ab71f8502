//! FS-02: with a proxy before every service that loses answers, cuts them short and says 500, each
//! desktop has one server in the end, and nothing is left of those that were deleted.

use std::time::Duration;

use beamdesk_cloud::{CloudError, Compute, PowerState};
use tokio::time::{Instant, sleep};

use crate::{openstack_bed::OpenStackBed, openstack_proxy::Proxy};

const DESKTOPS: usize = 2;
/// A fault in each fourth answer; the client's own tries are not enough for some.
const RATE: &str = "0.25";
const PATIENCE: Duration = Duration::from_secs(150);

/// As the reconciler does: again, until it is done.
async fn persist<T>(mut call: impl AsyncFnMut() -> Result<T, CloudError>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < end, "{error:?}"),
        }
        sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn lost_answers_make_no_second_server_and_leave_nothing() {
    let Some(bed) = OpenStackBed::open("lost_answers").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let clouds = folder.path().join("clouds.yaml");
    let arguments = ["--seed", "7", "--rate", RATE];
    let _proxy = Proxy::start(&bed.lab.clouds_file, &clouds, &arguments);
    let mut config = bed.cloud.config().clone();
    config.clouds_file = clouds;
    let clock = bed.clock.clone();
    let faulty = persist(async || {
        beamdesk_cloud::openstack::OpenStack::connect(config.clone(), clock.clone()).await
    })
    .await;
    let mut specs = Vec::new();
    for _ in 0..DESKTOPS {
        specs.push(bed.spec(1).await);
    }
    for spec in &specs {
        persist(async || faulty.create(spec).await).await;
    }
    let mut listed: Vec<_> =
        bed.cloud.list().await.unwrap().into_iter().map(|server| server.desktop).collect();
    listed.sort_unstable();
    let mut wanted: Vec<_> = specs.iter().map(|spec| spec.desktop).collect();
    wanted.sort_unstable();
    assert_eq!(listed, wanted, "not one server for each");
    assert_eq!(bed.things("/ports", "ports").await.len(), DESKTOPS);
    for spec in &specs {
        let server = bed.cloud.find(spec.desktop).await.unwrap().unwrap();
        assert!(!matches!(server.state, PowerState::Error(_)), "{server:?}");
        persist(async || faulty.delete(&server.id).await).await;
        persist(async || match faulty.find(spec.desktop).await? {
            None => Ok(()),
            Some(_) => Err(CloudError::unavailable("it is still there")),
        })
        .await;
    }
    // What a lost answer kept from being removed at once goes with the next looks.
    persist(async || faulty.tidy().await).await;
    bed.clock.turn(jiff::SignedDuration::from_mins(5));
    persist(async || faulty.tidy().await).await;
    bed.end().await;
}
