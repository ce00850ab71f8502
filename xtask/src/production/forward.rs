//! Carries connections from one address to another: what loopback addresses of the lab are to the
//! machines of the test.

use std::{
    fs::File,
    io,
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::AsFd as _,
    thread,
};

use anyhow::{Context as _, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Listens here, or in the network of the process `inside`; connects from here. Runs until killed.
pub(crate) fn forward(listen: &str, target: &str, inside: Option<u32>) -> Result<()> {
    let listener =
        listener(listen, inside).with_context(|| format!("could not listen on {listen}"))?;
    loop {
        let (from, _) = listener.accept()?;
        // Refused here as it is there.
        let Ok(to) = TcpStream::connect(target) else { continue };
        carry(from.try_clone()?, to.try_clone()?);
        carry(to, from);
    }
}

fn listener(address: &str, inside: Option<u32>) -> Result<TcpListener> {
    let Some(pid) = inside else { return Ok(TcpListener::bind(address)?) };
    let here = File::open("/proc/self/ns/net")?;
    let there = File::open(format!("/proc/{pid}/ns/net"))?;
    let network = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(there.as_fd(), network)?;
    // A socket stays in the network in which it was made.
    let listener = TcpListener::bind(address);
    move_into_link_name_space(here.as_fd(), network)?;
    Ok(listener?)
}

/// One direction, in a thread of its own.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // An error is an end like any other.
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Write));
    });
}
