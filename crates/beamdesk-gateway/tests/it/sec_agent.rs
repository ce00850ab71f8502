//! SR-25, the gateway's half: it speaks to the agent that the grant names and to no other.

use beamdesk_types::{ALPN_STATUS, ALPN_STREAM, CloseReason};

use crate::{
    agent::FakeAgent,
    pki::Authority,
    portal::{self, Answer},
    world::{AGENT, DESKTOP, STREAM, World},
};

#[tokio::test]
async fn mitm_matrix() {
    let stranger = Authority::fresh();
    for case in
        ["other authority", "other desktop", "earlier generation", "other protocol", "no protocol"]
    {
        let world = World::new().await;
        let config = match case {
            "other authority" => stranger.server(AGENT, &[ALPN_STREAM]),
            "other desktop" => {
                world.authority.server("g1.other.agent.beamdesk.internal", &[ALPN_STREAM])
            }
            "earlier generation" => {
                world.authority.server("g0.desk.agent.beamdesk.internal", &[ALPN_STREAM])
            }
            "other protocol" => world.authority.server(AGENT, &[ALPN_STATUS]),
            _ => world.authority.server(AGENT, &[]),
        };
        let impostor = FakeAgent::start(config).await;
        let grant = portal::grant(DESKTOP, STREAM, impostor.address(), AGENT);
        world.portal.answer_with(move |path, _| {
            let mut grant = grant.clone();
            grant["handle"] = serde_json::json!(if path.ends_with("redeem") { "h0" } else { "h1" });
            Answer::Json(200, grant)
        });
        let (handle, nonce) = world.attached().await;
        let mut viewer = world.socket(&handle).await.unwrap();
        viewer.hello(&nonce).await;
        let told = match impostor.accept().await {
            Ok(mut stream) => stream.next().await.is_some(),
            Err(_) => false,
        };
        assert!(!told, "{case}: nothing is said to an impostor");
        assert_eq!(viewer.closed().await, Some((CloseReason::AgentLost, true)), "{case}");
    }
}
