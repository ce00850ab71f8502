//! The sockets of `beamdesk up`, bound before anything else starts.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context, Result, anyhow};
use beamdesk_portal::OriginPair;
use rustls::ServerConfig;
use tokio::net::TcpListener;

use super::Options;

/// What browsers can reach.
pub(super) struct Public {
    pub(super) portal: Vec<beamdesk_portal::Listener>,
    pub(super) gateway: Vec<beamdesk_gateway::Listener>,
    /// Each way to the portal with the gateway's of the same host and scheme; plain loopback first.
    pub(super) origins: Vec<OriginPair>,
}

/// Binds HTTPS on the asked address and plain HTTP on loopback, for portal and gateway.
pub(super) async fn listen(
    options: &Options,
    hosts: &[String],
    tls: &Arc<ServerConfig>,
) -> Result<Public> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let http = bind(loopback, options.http_port, "--http-port").await?;
    let gateway_http = bind(loopback, options.gateway_http_port, "--gateway-http-port").await?;
    let https = bind(options.listen, options.https_port, "--https-port").await?;
    let gateway_https =
        bind(options.listen, options.gateway_https_port, "--gateway-https-port").await?;

    let mut origins = Vec::new();
    for host in ["localhost", "127.0.0.1"] {
        origins.push(pair("http", host, &http, &gateway_http)?);
    }
    for host in hosts {
        origins.push(pair("https", host, &https, &gateway_https)?);
    }
    let plain = |socket| beamdesk_portal::Listener { socket, tls: None };
    let portal =
        vec![plain(http), beamdesk_portal::Listener { socket: https, tls: Some(Arc::clone(tls)) }];
    let gateway = vec![
        beamdesk_gateway::Listener { socket: gateway_http, tls: None },
        beamdesk_gateway::Listener { socket: gateway_https, tls: Some(Arc::clone(tls)) },
    ];
    Ok(Public { portal, gateway, origins })
}

fn pair(
    scheme: &str,
    host: &str,
    portal: &TcpListener,
    gateway: &TcpListener,
) -> Result<OriginPair> {
    let origin = |socket: &TcpListener| -> Result<String> {
        let port = socket.local_addr()?.port();
        // As browsers write it: the scheme's own port is left out.
        let own = if scheme == "https" { 443 } else { 80 };
        Ok(if port == own {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{port}")
        })
    };
    Ok(OriginPair { portal: origin(portal)?, gateway: origin(gateway)? })
}

pub(super) async fn bind(address: IpAddr, port: u16, option: &str) -> Result<TcpListener> {
    let address = SocketAddr::new(address, port);
    match TcpListener::bind(address).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(anyhow!("port {port} is in use by another program; choose another with {option}"))
        }
        bound => bound.with_context(|| format!("could not listen on {address} ({option})")),
    }
}
