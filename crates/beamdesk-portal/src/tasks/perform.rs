//! Asks the cloud for what `step` decided.

use std::time::Duration;

use beamdesk_cloud::{Power, ServerSpec};
use beamdesk_types::{
    AgentConfig, AgentStart, Claim, Desktop, GpuRequest, Image, SessionConfig, Size,
};
use tracing::warn;

use crate::{
    App, PortalError,
    app::agents,
    tasks::lifecycle::{Action, Trouble},
};

/// No call may take longer; what it began is found later.
const CALL_DEADLINE: Duration = Duration::from_secs(120);

/// What a desktop is made of.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) image: Image,
    pub(crate) size: Size,
    /// What it needs of cards, by all who have a say.
    pub(crate) gpu: GpuRequest,
}

pub(crate) async fn perform(
    app: &App,
    desktop: &Desktop,
    offer: Option<&Offer>,
    claim: Option<&Claim>,
    action: &Action,
) -> Result<(), Trouble> {
    let asked = tokio::time::timeout(CALL_DEADLINE, ask(app, desktop, offer, claim, action)).await;
    asked.unwrap_or_else(|_| Err(Trouble::Unknown("the cloud took too long".to_owned())))
}

async fn ask(
    app: &App,
    desktop: &Desktop,
    offer: Option<&Offer>,
    claim: Option<&Claim>,
    action: &Action,
) -> Result<(), Trouble> {
    let outcome = match action {
        Action::Create => {
            let spec = spec(app, desktop, offer, claim, Start::First).await?;
            app.cloud.create(&spec).await.map(|_| ())
        }
        Action::PowerOn(id) if app.cloud.seeds() => {
            if can_have_agent(app, desktop).await? {
                let spec = spec(app, desktop, offer, claim, Start::Again).await?;
                app.cloud.power(id, Power::On(&spec)).await
            } else {
                // Nobody could reach it: its seed's secret was over before its agent used it, and no
                // other can be brought to it. Nobody ever worked on it either.
                warn!(desktop.id = %desktop.id, "Deletes a server whose agent never enrolled");
                app.cloud.delete(id).await
            }
        }
        Action::PowerOn(id) => {
            let spec = spec(app, desktop, offer, claim, Start::Again).await?;
            app.cloud.power(id, Power::On(&spec)).await
        }
        Action::PowerOff(id) => app.cloud.power(id, Power::Off).await,
        Action::Delete(id) => app.cloud.delete(id).await,
    };
    outcome.map_err(Trouble::from)
}

/// What a server is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// It is made.
    First,
    Again,
}

async fn spec(
    app: &App,
    desktop: &Desktop,
    offer: Option<&Offer>,
    claim: Option<&Claim>,
    start: Start,
) -> Result<ServerSpec, Trouble> {
    let offer = offer.ok_or_else(|| Trouble::Refused("image or size is gone".to_owned()))?;
    let claim = claim.filter(|claim| Some(&claim.node) == desktop.node.as_ref());
    let claim = claim.ok_or_else(|| Trouble::Unknown("it has no room yet".to_owned()))?;
    let owner = app.store.user(desktop.owner).await.map_err(|error| unknown(error.into()))?;
    // The agent has no browser to ask.
    let chosen = owner.map(|owner| owner.language).filter(|language| !language.is_empty());
    let language = chosen.unwrap_or_else(|| "en".to_owned());
    let (width, height) = app.config.screen;
    let session = SessionConfig { name: desktop.name.clone(), language, width, height };
    Ok(ServerSpec {
        desktop: desktop.id,
        owner: desktop.owner,
        node: claim.node.clone(),
        image: offer.image.clone(),
        size: offer.size.clone(),
        cards: claim.cards.clone(),
        share_milli: claim.share_milli,
        agent: agent(app, desktop, session, start).await.map_err(unknown)?,
    })
}

/// A fresh key and certificate for each call, of which none is ever stored; or a seed, where the
/// cloud's administrators could read the key.
async fn agent(
    app: &App,
    desktop: &Desktop,
    session: SessionConfig,
    start: Start,
) -> Result<AgentStart, PortalError> {
    if app.cloud.seeds() {
        let seed = agents::seed(app, desktop, session, start == Start::First).await?;
        return Ok(AgentStart::Seeded(seed));
    }
    let identity = app.authority.agent_identity(desktop.id, desktop.generation)?;
    Ok(AgentStart::Handed(AgentConfig {
        desktop: desktop.id,
        generation: desktop.generation,
        certificate: identity.certificate_pem,
        key: identity.key_pem,
        authority: app.authority.authority_pem().to_owned(),
        session,
    }))
}

async fn can_have_agent(app: &App, desktop: &Desktop) -> Result<bool, Trouble> {
    app.auth.can_have_agent(desktop.id).await.map_err(|error| unknown(error.into()))
}

#[expect(clippy::needless_pass_by_value, reason = "it ends here, as a text")]
fn unknown(error: PortalError) -> Trouble {
    Trouble::Unknown(error.to_string())
}
