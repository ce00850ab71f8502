//! Asks an agent how it is.

use std::{fmt, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use beamdesk_auth::agent_server_name;
use beamdesk_types::{ALPN_STATUS, AgentStatus, DesktopId};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tokio_rustls::TlsConnector;

/// An agent that is up answers within milliseconds; one that starts now is asked again soon.
const DEADLINE: Duration = Duration::from_secs(2);
/// A status has some hundred bytes.
const STATUS_BYTES_MAX: u64 = 4096;

/// Asks agents how they are. Two implementations: TLS, and tests' own.
#[async_trait]
pub trait AgentProbe: Send + Sync + fmt::Debug {
    /// The status of the agent of this generation, if it is the one that listens there.
    async fn status(
        &self,
        desktop: DesktopId,
        generation: u32,
        address: &str,
    ) -> Result<AgentStatus, ProbeError>;
}

#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("the agent does not answer")]
    Silent,
    #[error("the agent cannot be reached")]
    Io(#[from] io::Error),
    #[error("the agent's answer is no status")]
    NotAStatus,
}

/// Asks over mutual TLS, with the portal's identity.
pub struct TlsProbe {
    connector: TlsConnector,
}

impl fmt::Debug for TlsProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsProbe")
    }
}

impl TlsProbe {
    /// `config` shows the portal's identity and trusts the site's authority.
    pub fn new(config: &ClientConfig) -> Self {
        let mut config = config.clone();
        config.alpn_protocols = vec![ALPN_STATUS.to_vec()];
        Self { connector: TlsConnector::from(Arc::new(config)) }
    }

    async fn ask(
        &self,
        name: ServerName<'static>,
        address: &str,
    ) -> Result<AgentStatus, ProbeError> {
        let tcp = TcpStream::connect(address).await?;
        let stream = self.connector.connect(name, tcp).await?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN_STATUS) {
            return Err(ProbeError::NotAStatus);
        }
        let mut answer = Vec::new();
        stream.take(STATUS_BYTES_MAX).read_to_end(&mut answer).await?;
        serde_json::from_slice(&answer).map_err(|_| ProbeError::NotAStatus)
    }
}

#[async_trait]
impl AgentProbe for TlsProbe {
    async fn status(
        &self,
        desktop: DesktopId,
        generation: u32,
        address: &str,
    ) -> Result<AgentStatus, ProbeError> {
        let name = ServerName::try_from(agent_server_name(desktop, generation))
            .map_err(|_| ProbeError::NotAStatus)?;
        let asked = tokio::time::timeout(DEADLINE, self.ask(name, address)).await;
        asked.unwrap_or(Err(ProbeError::Silent))
    }
}
