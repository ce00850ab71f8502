//! PROXY protocol, version 2: a load balancer's word on who is at the other end.
//!
//! Format: haproxy.org, `doc/proxy-protocol.txt`, section 2.2. Without it everybody behind a load
//! balancer has one address, and one person's wrong passwords would hold up all others.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::io::{AsyncRead, AsyncReadExt as _};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const START_BYTES: usize = 16;
/// Two IPv6 addresses are 36 bytes; what else a proxy may tell of TLS stays below this.
const REST_BYTES_MAX: usize = 1024;

/// Reads the header that begins a connection from a proxy, and not a byte more.
///
/// `None`: the proxy speaks for itself (a health check), or for a client without an address.
pub(super) async fn client(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<SocketAddr>> {
    let mut start = [0; START_BYTES];
    stream.read_exact(&mut start).await?;
    let length = rest_length(&start)?;
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    source(start[12], start[13], &rest)
}

/// How many bytes follow the first 16, if these begin a header of version 2.
fn rest_length(start: &[u8; START_BYTES]) -> io::Result<usize> {
    if start[..12] != SIGNATURE {
        return Err(broken("a connection from a proxy begins without a header of version 2"));
    }
    let length = usize::from(u16::from_be_bytes([start[14], start[15]]));
    if length > REST_BYTES_MAX {
        return Err(broken("a proxy's header is too long"));
    }
    Ok(length)
}

/// `rest` begins with source address, destination address, source port, destination port.
fn source(command: u8, family: u8, rest: &[u8]) -> io::Result<Option<SocketAddr>> {
    match command {
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err(broken("a proxy's header has an unknown version or command")),
    }
    let address = match family {
        // Neither address nor transport is told.
        0x00 => return Ok(None),
        0x11 => {
            let [a, b, c, d, _, _, _, _, high, low] = *first(rest)?;
            (IpAddr::V4(Ipv4Addr::new(a, b, c, d)), [high, low])
        }
        0x21 => {
            let bytes: &[u8; 34] = first(rest)?;
            let ip: &[u8; 16] = first(bytes)?;
            (IpAddr::V6(Ipv6Addr::from(*ip)).to_canonical(), [bytes[32], bytes[33]])
        }
        _ => return Err(broken("a proxy's header is for another transport than TCP")),
    };
    let (ip, port) = address;
    Ok(Some(SocketAddr::new(ip, u16::from_be_bytes(port))))
}

fn first<const N: usize>(bytes: &[u8]) -> io::Result<&[u8; N]> {
    bytes.first_chunk().ok_or_else(|| broken("a proxy's header ends early"))
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::{SIGNATURE, client};

    async fn read(command: u8, family: u8, rest: &[u8]) -> Result<Option<String>, String> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        let bytes = [&SIGNATURE[..], &[command, family], &length, rest, b"GET"].concat();
        let mut left = bytes.as_slice();
        let found = client(&mut left).await.map_err(|error| error.to_string())?;
        assert_eq!(left, b"GET", "what follows is the client's");
        Ok(found.map(|address| address.to_string()))
    }

    #[tokio::test]
    async fn the_client_is_whom_the_header_names() {
        let v4 = [192, 0, 2, 7, 192, 0, 2, 5, 0xc0, 0x01, 1, 187];
        assert_eq!(read(0x21, 0x11, &v4).await, Ok(Some("192.0.2.7:49153".to_owned())));
        let more = [&v4[..], &[4, 0, 1, 0]].concat();
        assert_eq!(read(0x21, 0x11, &more).await, Ok(Some("192.0.2.7:49153".to_owned())));
        let mut v6 = [0; 36];
        (v6[0], v6[1], v6[2], v6[3], v6[15], v6[33]) = (0x20, 0x01, 0x0d, 0xb8, 9, 80);
        assert_eq!(read(0x21, 0x21, &v6).await, Ok(Some("[2001:db8::9]:80".to_owned())));
        let mut mapped = [0; 36];
        mapped[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 8]);
        assert_eq!(read(0x21, 0x21, &mapped).await, Ok(Some("192.0.2.8:0".to_owned())));
    }

    #[tokio::test]
    async fn a_check_of_the_proxy_itself_names_nobody() {
        assert_eq!(read(0x20, 0x00, &[]).await, Ok(None));
        assert_eq!(read(0x20, 0x11, &[1; 12]).await, Ok(None));
        assert_eq!(read(0x21, 0x00, &[]).await, Ok(None));
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        for (command, family, rest) in [
            (0x21, 0x11, &[1; 9][..]),
            (0x21, 0x21, &[1; 33]),
            (0x21, 0x12, &[1; 12]),
            (0x21, 0x31, &[1; 216]),
            (0x22, 0x11, &[1; 12]),
            (0x11, 0x11, &[1; 12]),
            (0x21, 0x11, &[1; 1025]),
        ] {
            assert!(read(command, family, rest).await.is_err(), "{command:x} {family:x}");
        }
        for text in ["PROXY TCP4 192.0.2.7 192.0.2.5 1 2\r\n", "GET / HTTP/1.1\r\n\r\n", "\r\n"] {
            assert!(client(&mut text.as_bytes()).await.is_err(), "{text}");
        }
    }
}
