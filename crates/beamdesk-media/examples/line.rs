//! A line of given rate, delay and loss between a browser and a server on one machine, as a TCP relay:
//! `line PORT MBIT_PER_S RTT_MS LOSS_PERCENT BUFFER_MS` relays from a port of its own, which it prints, to `PORT`.
//!
//! Bytes wait for their turn in a bounded buffer; when that is full the relay reads no more, so that the sender feels
//! it. Half of the delay lies each way. A lost packet is what TCP makes of one: everything behind it comes late by a
//! round trip. A line `rate MBIT_PER_S` on standard input changes the rate; `queue` tells, per direction, the longest
//! time that bytes had to wait for their turn since it was asked last (µs) and the bytes carried.
#![expect(clippy::print_stdout, reason = "a tool that scripts read from")]

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec, clock_gettime};

const SECOND: u64 = 1_000_000_000;
/// What one packet carries (Ethernet, IPv4, TCP with timestamps).
const PACKET: usize = 1448;
/// Small, or bytes would wait in the kernel, where the line's buffer does not count them.
const KERNEL_BUFFER: usize = 32 << 10;
/// Bytes of one piece: so many that the relay costs little, so few that they come evenly.
const PIECE_MAX: usize = 16 << 10;

/// One direction, shared by all connections over the line.
struct Way {
    state: Mutex<State>,
    half_ns: u64,
    rtt_ns: u64,
    loss_per_million: u64,
    buffer_ns: u64,
}

struct State {
    bits_per_s: u64,
    /// When the last byte taken will have been sent.
    free_at: u64,
    /// Nothing arrives before what was sent before it.
    arrives_at: u64,
    chance: u64,
    longest_wait_ns: u64,
    bytes: u64,
}

impl Way {
    fn new(
        bits_per_s: u64,
        rtt_ns: u64,
        loss_per_million: u64,
        buffer_ns: u64,
        chance: u64,
    ) -> Self {
        let state =
            State { bits_per_s, free_at: 0, arrives_at: 0, chance, longest_wait_ns: 0, bytes: 0 };
        Self { state: Mutex::new(state), half_ns: rtt_ns / 2, rtt_ns, loss_per_million, buffer_ns }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes bytes onto the line; says when they arrive.
    fn take(&self, bytes: usize, now: u64) -> u64 {
        let mut state = self.state();
        let start = state.free_at.max(now);
        state.longest_wait_ns = state.longest_wait_ns.max(start - now);
        let bytes_64 = u64::try_from(bytes).unwrap_or(u64::MAX);
        state.bytes += bytes_64;
        state.free_at = start + bytes_64 * 8 * SECOND / state.bits_per_s.max(1);
        let mut arrives = state.free_at + self.half_ns;
        for _ in 0..bytes.div_ceil(PACKET) {
            // xorshift64*
            state.chance ^= state.chance >> 12;
            state.chance ^= state.chance << 25;
            state.chance ^= state.chance >> 27;
            let drawn = state.chance.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
            if drawn % 1_000_000 < self.loss_per_million {
                arrives = arrives.max(state.free_at + self.half_ns + self.rtt_ns);
            }
        }
        state.arrives_at = state.arrives_at.max(arrives);
        state.arrives_at
    }

    /// When the buffer has room, if it has none.
    fn until_room(&self, now: u64) -> Option<u64> {
        let until = self.state().free_at.saturating_sub(self.buffer_ns);
        (until > now).then_some(until)
    }

    /// From now on so fast; what waits already goes at that rate too.
    fn change(&self, bits_per_s: u64, now: u64) {
        let mut state = self.state();
        let waiting = u128::from(state.free_at.saturating_sub(now));
        let waiting = waiting * u128::from(state.bits_per_s) / u128::from(bits_per_s.max(1));
        state.free_at = now.saturating_add(u64::try_from(waiting).unwrap_or(u64::MAX));
        state.bits_per_s = bits_per_s;
    }

    /// The longest wait for a turn since this was asked last (microseconds), and all bytes carried.
    fn tell(&self, now: u64) -> String {
        let mut state = self.state();
        let waits = state.free_at.saturating_sub(now);
        let longest = std::mem::take(&mut state.longest_wait_ns).max(waits);
        format!("{} {}", longest / 1000, state.bytes)
    }

    /// Bytes of a millisecond.
    fn piece(&self) -> usize {
        let bytes = self.state().bits_per_s / 8 / 1000;
        usize::try_from(bytes).unwrap_or(PIECE_MAX).clamp(PACKET, PIECE_MAX)
    }
}

/// Pieces on their way over one connection at most: more than a second of 100 Mbit/s, for a browser that reads nothing.
const FLIGHT_MAX: usize = 4096;

/// What is on its way: when it arrives, and the bytes; nothing for the end.
#[derive(Default)]
struct Flight {
    pieces: Mutex<VecDeque<(u64, Vec<u8>)>>,
    changed: Condvar,
}

impl Flight {
    fn pieces(&self) -> MutexGuard<'_, VecDeque<(u64, Vec<u8>)>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, arrives: u64, bytes: Vec<u8>) {
        let mut pieces = self.pieces();
        while pieces.len() >= FLIGHT_MAX {
            pieces = self.changed.wait(pieces).unwrap_or_else(PoisonError::into_inner);
        }
        pieces.push_back((arrives, bytes));
        self.changed.notify_all();
    }

    fn next(&self) -> (u64, Vec<u8>) {
        let mut pieces = self.pieces();
        loop {
            if let Some(piece) = pieces.pop_front() {
                self.changed.notify_all();
                return piece;
            }
            pieces = self.changed.wait(pieces).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<f64> =
        std::env::args().skip(1).map(|argument| argument.parse()).collect::<Result<_, _>>()?;
    let [port, rate, rtt, loss, buffer] = arguments.as_slice() else {
        anyhow::bail!("line PORT MBIT_PER_S RTT_MS LOSS_PERCENT BUFFER_MS");
    };
    let (port, rate) = (u16::try_from(whole(*port))?, whole(rate * 1e6));
    let (rtt, loss) = (whole(rtt * 1e6), whole(loss * 1e4));
    let buffer = whole(buffer * 1e6);
    let ways = [1, 2].map(|seed| Arc::new(Way::new(rate, rtt, loss, buffer, 0x9e37_79b9 * seed)));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // Inherited by what is accepted, and before the window is told to the other side.
    set_socket_recv_buffer_size(&listener, KERNEL_BUFFER)?;
    println!("{}", listener.local_addr()?.port());
    let [up, down] = ways.clone();
    thread::spawn(move || {
        for browser in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
            if prepare(&browser, &server).is_err() {
                continue;
            }
            for (way, from, to) in [(&up, &browser, &server), (&down, &server, &browser)] {
                if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
                    carry(way, from, to);
                }
            }
        }
    });
    for line in io::stdin().lines() {
        let line = line?;
        if let Some(rate) = line.strip_prefix("rate ") {
            let rate = whole(rate.parse::<f64>()? * 1e6);
            ways.iter().for_each(|way| way.change(rate, now()));
        }
        let told = ways.each_ref().map(|way| way.tell(now()));
        println!("{}", told.join(" "));
    }
    Ok(())
}

fn prepare(browser: &TcpStream, server: &TcpStream) -> anyhow::Result<()> {
    set_socket_recv_buffer_size(server, KERNEL_BUFFER)?;
    browser.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok(())
}

/// Carries one direction of one connection, until either end is closed.
fn carry(way: &Arc<Way>, mut from: TcpStream, mut to: TcpStream) {
    let flight = Arc::new(Flight::default());
    let (reader_way, reader_flight) = (Arc::clone(way), Arc::clone(&flight));
    thread::spawn(move || {
        let mut bytes = vec![0; PIECE_MAX];
        loop {
            while let Some(until) = reader_way.until_room(now()) {
                sleep_until(until);
            }
            let piece = reader_way.piece();
            let count = from.read(&mut bytes[..piece]).unwrap_or(0);
            let arrives = reader_way.take(count, now());
            reader_flight.send(arrives, bytes[..count].to_vec());
            if count == 0 {
                return;
            }
        }
    });
    thread::spawn(move || {
        let mut is_open = true;
        loop {
            let (arrives, bytes) = flight.next();
            sleep_until(arrives);
            if bytes.is_empty() {
                drop(to.shutdown(Shutdown::Both));
                return;
            }
            // Whoever went away is told of by the end, which comes through the other direction.
            if is_open && to.write_all(&bytes).is_err() {
                drop(to.shutdown(Shutdown::Both));
                is_open = false;
            }
        }
    });
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what a person types: small, and a cast of floats saturates"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * SECOND + part(time.tv_nsec)
}

fn sleep_until(time: u64) {
    let part = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let until = Timespec { tv_sec: part(time / SECOND), tv_nsec: part(time % SECOND) };
    while clock_nanosleep_absolute(ClockId::Monotonic, &until).is_err() {}
}

#[cfg(test)]
mod tests {
    use super::{SECOND, Way};

    const MS: u64 = SECOND / 1000;

    #[test]
    fn bytes_take_their_turn_and_half_the_round_trip() {
        let way = Way::new(8_000_000, 20 * MS, 0, 100 * MS, 1);
        // A thousand bytes are a millisecond of 8 Mbit/s.
        assert_eq!(way.take(1000, 0), 11 * MS);
        assert_eq!(way.take(1000, 0), 12 * MS);
        assert_eq!(way.take(1000, 50 * MS), 61 * MS, "a line that was idle saves nothing up");
        assert_eq!(way.tell(50 * MS), "1000 3000");
    }

    #[test]
    fn a_full_buffer_is_told_until_it_has_room() {
        let way = Way::new(8_000_000, 0, 0, 100 * MS, 1);
        for _ in 0..101 {
            assert_eq!(way.until_room(0), None);
            way.take(1000, 0);
        }
        assert_eq!(way.until_room(0), Some(MS));
        assert_eq!(way.until_room(MS), None);
    }

    #[test]
    fn a_slower_line_makes_what_waits_wait_longer() {
        let way = Way::new(80_000_000, 0, 0, SECOND, 1);
        way.take(100_000, 0);
        way.change(8_000_000, 0);
        assert_eq!(way.take(1000, 0), 101 * MS);
    }

    #[test]
    fn a_lost_packet_delays_all_behind_it_by_a_round_trip() {
        let (mut lost, mut last) = (0, 0);
        let way = Way::new(1_000_000_000, 20 * MS, 10_000, 100 * MS, 1);
        for sent in 0..100_000 {
            let now = sent * MS;
            let arrives = way.take(1000, now);
            assert!(arrives >= last, "out of order");
            lost += u64::from(arrives > last && arrives - now > 30 * MS);
            last = arrives;
        }
        assert!((800..1200).contains(&lost), "{lost} of 100,000 at one percent");
    }
}
