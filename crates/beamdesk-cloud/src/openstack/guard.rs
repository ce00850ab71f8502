//! Which servers are ours: what is not is never touched, and not even told of.

use beamdesk_types::DesktopId;
use serde::Deserialize;
use tokio::time::Instant;
use tracing::warn;

use super::{
    ApiError, OpenStack, Service,
    server::{NovaServer, desktop_tag, name},
};
use crate::{CloudError, Server, ServerId};

/// A UUID has 36.
const SERVER_ID_CHARS_MAX: usize = 64;

impl OpenStack {
    /// Whether we may touch it.
    pub(super) fn is_ours(&self, server: &NovaServer) -> bool {
        server.is_of(&self.config().deployment, self.project())
    }

    /// Any server of the project, ours or not.
    pub(super) async fn server(&self, id: &ServerId) -> Result<Option<NovaServer>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            server: NovaServer,
        }
        // What is no id never was a server, and must not become a path of its own.
        let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
        let fits = !id.0.is_empty() && id.0.len() <= SERVER_ID_CHARS_MAX;
        if !fits || !id.0.bytes().all(plain) {
            return Ok(None);
        }
        let call = self.client().get(Service::Compute, format!("/servers/{id}"));
        Ok(call.found::<Answer>().await?.map(|answer| answer.server))
    }

    /// The guard: nothing is ever done to a server that has not our tag (SR-42).
    pub(super) async fn guarded(&self, id: &ServerId) -> Result<Option<NovaServer>, CloudError> {
        let Some(server) = self.server(id).await? else { return Ok(None) };
        if self.is_ours(&server) {
            return Ok(Some(server));
        }
        warn!(server.id = %id, "Asked to touch a server that is not ours; did not");
        let text = format!("server {id} is none of {}", self.config().deployment.as_str());
        Err(CloudError::refused(text))
    }

    /// A server of ours, with how it is.
    pub(super) async fn ours(&self, id: &ServerId) -> Result<(NovaServer, Server), CloudError> {
        let found = self.guarded(id).await?;
        let seen = found.and_then(|server| {
            let seen = server.seen(self.config().agent_port)?;
            Some((server, seen))
        });
        seen.ok_or_else(|| CloudError::refused(format!("there is no server {id}")))
    }

    /// All servers of one desktop: one, but for accidents.
    pub(super) async fn servers_of(&self, desktop: DesktopId) -> Result<Vec<NovaServer>, ApiError> {
        let tagged = self.tagged(desktop).await?;
        if !tagged.is_empty() {
            return Ok(tagged);
        }
        // One that Nova has only just begun with may have its name before its tags are searched.
        let query = [("name", format!("^{}$", name(desktop)))];
        self.ours_by(&query, desktop).await
    }

    pub(super) async fn tagged(&self, desktop: DesktopId) -> Result<Vec<NovaServer>, ApiError> {
        let tags = format!("{},{}", self.config().deployment.tag(), desktop_tag(desktop));
        self.ours_by(&[("tags", tags)], desktop).await
    }

    async fn ours_by(
        &self,
        query: &[(&str, String)],
        desktop: DesktopId,
    ) -> Result<Vec<NovaServer>, ApiError> {
        let mut servers: Vec<NovaServer> =
            self.client().pages(Service::Compute, "/servers/detail", query, "servers").await?;
        servers.retain(|server| self.is_ours(server) && server.desktop() == Some(desktop));
        Ok(servers)
    }

    pub(super) async fn all(&self) -> Result<Vec<NovaServer>, ApiError> {
        let asked = Instant::now();
        let query = [("tags", self.config().deployment.tag())];
        let mut servers: Vec<NovaServer> =
            self.client().pages(Service::Compute, "/servers/detail", &query, "servers").await?;
        servers.retain(|server| self.is_ours(server));
        self.lookups().heard_all(&servers, asked);
        Ok(servers)
    }
}
