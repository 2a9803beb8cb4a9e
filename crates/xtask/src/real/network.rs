//! Where the site's services listen: an address of the loopback network that is this site's alone, with the same ports on
//! every site. All of 127.0.0.0/8 is this machine's on Linux, so sites need not contend for ports.

use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher as _, RandomState},
    net::{Ipv4Addr, TcpListener},
    path::Path,
};

/// Service → port: below those that the kernel gives to connections.
pub const PORTS: &[(&str, u16)] = &[
    ("core", 7100),
    ("analytics", 7101),
    ("ingestion", 7102),
    ("analysis-service", 7146),
    ("evidence-builder", 7147),
    ("api", 7180),
];
/// What only some sites have, and is not asked for with the rest.
const MORE: &[(&str, u16)] = &[("dagster", 3070), ("scheduler", 7103)];
const TRIES: usize = 20;

/// Finds a free address and writes `config/network.json`.
///
/// # Errors
/// When no address is free.
pub fn lay_out(dir: &Path) -> Result<String> {
    let host = free()?.to_string();
    let [ports, more] = [PORTS, MORE].map(|ports| ports.iter().copied().collect::<BTreeMap<_, _>>());
    let network = serde_json::json!({ "host": host, "ports": ports, "more": more });
    fs::write(dir.join("config/network.json"), format!("{network:#}\n")).context("writing config/network.json")?;
    Ok(host)
}

/// Where a service listens, on the site with this host.
///
/// # Errors
/// When there is no such service.
pub fn address(host: &str, service: &str) -> Result<String> {
    let found = PORTS.iter().chain(MORE).find(|(name, _)| *name == service);
    let (_, port) = found.with_context(|| format!("no service {service} has a port"))?;
    Ok(format!("{host}:{port}"))
}

/// Among sixteen million, two sites do not meet.
fn free() -> Result<Ipv4Addr> {
    for _ in 0..TRIES {
        let [_, a, b, c, ..] = RandomState::new().hash_one(0).to_le_bytes();
        // Not the network's own, not its broadcast address, and not 127.0, where others are.
        let host = Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254));
        if PORTS.iter().chain(MORE).all(|(_, port)| TcpListener::bind((host, *port)).is_ok()) {
            return Ok(host);
        }
    }
    bail!("no address of the loopback network has the ports {PORTS:?} free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sites_do_not_share_an_address() {
        let (one, other) = (free().unwrap(), free().unwrap());
        assert!(one.is_loopback() && other.is_loopback());
        assert_ne!(one, other);
    }
}
