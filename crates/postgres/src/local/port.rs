//! Free ports for servers that are stopped and started again on the same one.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which Linux takes the ports of outgoing connections (32768 and up): while a server is down, a
/// client must not be given its port.
const FIRST: u16 = 15_000;
const COUNT: u16 = 16_000;
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A loopback port that nothing listens on now; no two calls of one process return the same one.
pub fn free_port() -> io::Result<u16> {
    // Processes that run side by side begin at different places.
    let start = u16::try_from(u64::from(std::process::id()) * 97 % u64::from(COUNT)).expect("below COUNT");
    for _ in 0..COUNT {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "every port from 15000 to 30999 is taken"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_bound_and_comes_once() {
        let (first, second) = (free_port().unwrap(), free_port().unwrap());
        assert_ne!(first, second);
        TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
    }
}
