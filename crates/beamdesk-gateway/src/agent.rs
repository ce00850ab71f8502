//! Dials the agent that a grant names, and only that one.

use std::{io, sync::Arc, time::Duration};

use beamdesk_proto::{
    control::{Open, VERSION},
    wire::{json_message, kind},
};
use beamdesk_types::{ALPN_STREAM, Grant};
use rustls::{ClientConfig, ProtocolVersion, pki_types::ServerName};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error("the grant names no agent")]
    NotAName,
    #[error("the agent does not answer")]
    Silent,
    #[error("the agent cannot be reached")]
    Io(#[from] io::Error),
    #[error("the agent speaks another protocol")]
    Protocol,
}

/// Connects, checks that the certificate carries the grant's name, and asks for the stream.
pub(crate) async fn dial(
    connector: &TlsConnector,
    grant: &Grant,
    deadline: Duration,
) -> Result<TlsStream<TcpStream>, AgentError> {
    let name = ServerName::try_from(grant.agent_name.clone()).map_err(|_| AgentError::NotAName)?;
    let open = Open { version: VERSION, stream: grant.stream, user_name: grant.user_name.clone() };
    let dialled = async {
        let tcp = TcpStream::connect(grant.address.as_str()).await?;
        tcp.set_nodelay(true)?;
        let mut stream = connector.connect(name, tcp).await?;
        let session = stream.get_ref().1;
        let is_ours = session.protocol_version() == Some(ProtocolVersion::TLSv1_3)
            && session.alpn_protocol() == Some(ALPN_STREAM);
        if !is_ours {
            return Err(AgentError::Protocol);
        }
        stream.write_all(&json_message(kind::OPEN, &open)).await?;
        stream.flush().await?;
        Ok(stream)
    };
    tokio::time::timeout(deadline, dialled).await.unwrap_or(Err(AgentError::Silent))
}

/// The gateway's own identity, offering the stream protocol alone.
pub(crate) fn connector(config: &ClientConfig) -> TlsConnector {
    let mut config = config.clone();
    config.alpn_protocols = vec![ALPN_STREAM.to_vec()];
    TlsConnector::from(Arc::new(config))
}
