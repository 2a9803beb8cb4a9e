//! The site's made-up orders: always the same, so that a site laid out twice is the same byte for byte.

use std::{collections::BTreeMap, fmt::Write as _};

const REGIONS: [&str; 4] = ["east", "north", "south", "west"];
const IN_DATABASE: u64 = 12_000;
const IN_LOG: u64 = 400;

/// What `.duckdb/analytics.db` holds.
pub fn database() -> String {
    rows(0, IN_DATABASE)
}

/// The latest orders, in `.duckdb/analytics.db.wal` until the next checkpoint.
pub fn write_ahead_log() -> String {
    rows(IN_DATABASE, IN_LOG)
}

/// The nightly summary of all orders, from which the simple engine answers.
pub fn revenue_by_region() -> String {
    let mut revenue = BTreeMap::new();
    for id in 0..IN_DATABASE + IN_LOG {
        let order = Order::new(id);
        *revenue.entry(order.region).or_insert(0) += order.amount;
    }
    let lines = revenue.iter().map(|(region, amount)| format!("{region},{amount}\n"));
    std::iter::once("region,revenue\n".to_owned()).chain(lines).collect()
}

struct Order {
    region: &'static str,
    day: u64,
    amount: u64,
}

impl Order {
    /// SplitMix64 of the id: no two runs and no two machines differ.
    fn new(id: u64) -> Order {
        let mut z = id.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        Order { region: REGIONS[(z % 4) as usize], day: z / 4 % 365, amount: 100 + z / 2048 % 9_900 }
    }
}

fn rows(first: u64, count: u64) -> String {
    let mut text = String::from("practice-orders 1\n");
    for id in first..first + count {
        let Order { region, day, amount } = Order::new(id);
        writeln!(text, "{id:06},{region},{day:03},{amount:05}").expect("a string takes all");
    }
    text
}
