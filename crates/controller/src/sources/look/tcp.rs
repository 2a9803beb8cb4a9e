//! `tcp-probe`: whether somebody takes a connection. It is closed again, and nothing is sent.

use super::{Around, Look, Looked};
use crate::sources::Kept;
use std::{
    net::{TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};
use unship_policy::ProbeValue;

/// Looks at one address.
pub struct TcpProbe {
    pub address: String,
    pub timeout: Duration,
    pub values: Vec<ProbeValue>,
}

impl Look for TcpProbe {
    fn look(&mut self, around: Around<'_>, _: Option<&Kept>) -> Looked {
        let begun = Instant::now();
        let is_up = self.connects(begun);
        let taken = begun.elapsed().min(self.timeout);
        probed(around, &self.values, is_up.then_some(taken), is_up, self.timeout)
    }
}

impl TcpProbe {
    /// Whether one of its addresses takes a connection in time. A name that means nothing is an address that does not.
    fn connects(&self, begun: Instant) -> bool {
        let addresses = self.address.to_socket_addrs();
        addresses.into_iter().flatten().any(|address| {
            let left = self.timeout.saturating_sub(begun.elapsed());
            !left.is_zero() && TcpStream::connect_timeout(&address, left).is_ok()
        })
    }
}

/// What a probe showed: `taken` until all of the answer was there.
pub fn probed(
    around: Around<'_>,
    values: &[ProbeValue],
    taken: Option<Duration>,
    is_up: bool,
    timeout: Duration,
) -> Looked {
    let value = |value: &ProbeValue| match value {
        ProbeValue::Up => Some(f64::from(u8::from(is_up))),
        ProbeValue::Seconds => Some(taken.unwrap_or(timeout).as_secs_f64()),
    };
    Looked::values(around.clock.now(), values.iter().map(value))
}
