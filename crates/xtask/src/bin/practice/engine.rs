//! The two engines that an engine file can name, and what each does with a query.
//!
//! `duckdb` stands for what story 1.3 shipped: it holds the database and its log open, and answers the one question that
//! matters by a three-way self-join without a key, over the rows in the file. That is some 10^12 steps, really taken:
//! it runs into its time-out. `simple` answers from the summaries and opens no database.

use crate::{service::Service, site};
use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read as _, Seek as _},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The file that says which engine it is.
const ENGINE: &str = "tools/data-services/analytical-engine.js";
const FLAG: &str = "duckdb_analytics";
const SUMMARY: &str = "summaries/revenue-by-region.csv";
const DATABASE: [&str; 2] = [".duckdb/analytics.db", ".duckdb/analytics.db.wal"];

/// How long a query may take.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// A query that both engines know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Query {
    One,
    Count,
    RevenueByRegion,
}

impl Query {
    fn parse(text: &str) -> Result<Query, String> {
        let text = text.trim().trim_end_matches(';').to_lowercase();
        match text.split_whitespace().collect::<Vec<_>>().join(" ").as_str() {
            "select 1" => Ok(Query::One),
            "select count(*) from orders" => Ok(Query::Count),
            "select region, sum(amount) from orders group by region" => Ok(Query::RevenueByRegion),
            other => Err(format!("the practice service does not know this query: {other}")),
        }
    }
}

/// Is the analytics service, to its end by a signal.
pub fn serve(service: Service) -> Result<String, String> {
    service.serve(
        || {
            let engine = Engine::from_site()?;
            let what = format!("with the {} engine", engine.name());
            Ok((engine, what))
        },
        |engine, request| match request.split_once(' ') {
            Some(("query", sql)) => engine.query(sql),
            None if request == "health" => engine.health(),
            None if request == "stop-queries" => {
                let cancelled = engine.stop_queries();
                Ok(format!("running queries cancelled: {cancelled}; no database is open\n"))
            }
            _ => Err("no such request".into()),
        },
    )
}

/// The engine of a running service.
#[derive(Debug)]
pub enum Engine {
    /// Over the orders themselves.
    Duckdb(Database),
    /// Over the nightly summaries.
    Simple,
}

impl Engine {
    /// The engine that the engine file names. A `duckdb` engine opens its database unless the flag is off.
    pub fn from_site() -> Result<Engine, String> {
        match site::named_in(ENGINE, "engine")?.as_str() {
            "simple" => Ok(Engine::Simple),
            "duckdb" => {
                let database = Database::default();
                if site::flag_is_on(FLAG) {
                    drop(database.begin()?);
                }
                Ok(Engine::Duckdb(database))
            }
            other => Err(format!("{ENGINE} names an engine that the practice service does not know: {other}")),
        }
    }

    /// Its name, as the engine file has it.
    pub fn name(&self) -> &'static str {
        match self {
            Engine::Duckdb(_) => "duckdb",
            Engine::Simple => "simple",
        }
    }

    /// The query's answer: a line of column names, and a line for each row.
    pub fn query(&self, text: &str) -> Result<String, String> {
        let query = Query::parse(text)?;
        match (self, query) {
            (_, Query::One) => Ok("1\n1\n".into()),
            (Engine::Simple, Query::RevenueByRegion) => summary(),
            (Engine::Simple, Query::Count) => Err("the summaries do not tell how many orders there are".into()),
            (Engine::Duckdb(database), query) => database.query(query),
        }
    }

    /// Whether it can answer at all, told by a small query; and how many others run.
    pub fn health(&self) -> Result<String, String> {
        let running = match self {
            Engine::Duckdb(database) => {
                self.query("select 1")?;
                database.lock().running
            }
            Engine::Simple => {
                summary()?;
                0
            }
        };
        Ok(format!("the {} engine answers, running queries: {running}\n", self.name()))
    }

    /// Cancels what runs, waits for its end, and closes the database. Answers how many queries were cancelled.
    pub fn stop_queries(&self) -> usize {
        match self {
            Engine::Duckdb(database) => database.close(),
            Engine::Simple => 0,
        }
    }
}

fn summary() -> Result<String, String> {
    match fs::read_to_string(SUMMARY) {
        Ok(text) if text.lines().count() > 1 => Ok(text),
        Ok(_) => Err(format!("{SUMMARY} holds no row")),
        Err(error) => Err(format!("{SUMMARY}: {error}")),
    }
}

/// The database and its log, open from the first need until [`Database::close`].
#[derive(Debug, Default)]
pub struct Database {
    state: Mutex<State>,
    /// Goes up at each close; a query that began under another number is cancelled.
    closes: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Both files, the database first.
    files: Option<[File; 2]>,
    running: usize,
}

/// One running query. The database stays open for as long as one lives.
struct Running<'a> {
    database: &'a Database,
    began_under: u64,
    rows: Vec<Row>,
}

struct Row {
    region: String,
    day: u16,
    amount: u64,
}

impl Database {
    /// Opens the files if they are not open, and reads the rows. The flag is looked at each time.
    fn begin(&self) -> Result<Running<'_>, String> {
        if !site::flag_is_on(FLAG) {
            return Err(format!("the flag {FLAG} is off: no query goes to the database"));
        }
        let mut state = self.lock();
        if state.files.is_none() {
            let open = |path: &str| {
                File::options().read(true).write(true).open(path).map_err(|error| format!("{path}: {error}"))
            };
            state.files = Some([open(DATABASE[0])?, open(DATABASE[1])?]);
        }
        let mut rows = Vec::new();
        for file in state.files.as_mut().into_iter().flatten() {
            read_rows(file, &mut rows).map_err(|error| format!("the database is damaged: {error}"))?;
        }
        state.running += 1;
        Ok(Running { database: self, began_under: self.closes.load(Ordering::Acquire), rows })
    }

    fn query(&self, query: Query) -> Result<String, String> {
        let running = self.begin()?;
        match query {
            Query::One => Ok("1\n1\n".into()),
            Query::Count => Ok(format!("count\n{}\n", running.rows.len())),
            Query::RevenueByRegion => running.settled_orders(),
        }
    }

    fn close(&self) -> usize {
        self.closes.fetch_add(1, Ordering::AcqRel);
        let cancelled = self.lock().running;
        loop {
            let mut state = self.lock();
            if state.running == 0 {
                state.files = None;
                return cancelled;
            }
            drop(state);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A query that panicked left nothing half done that another would miss.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Running<'_> {
    /// The query that story 1.3 shipped; see the engine file.
    fn settled_orders(&self) -> Result<String, String> {
        let began = Instant::now();
        let mut revenue = std::collections::BTreeMap::new();
        for a in &self.rows {
            for b in &self.rows {
                self.may_go_on(began)?;
                let settled = self.rows.iter().filter(|c| a.day <= b.day && b.day <= c.day && a.region == c.region);
                *revenue.entry(&a.region).or_insert(0) += settled.count() as u64 * a.amount;
            }
        }
        let mut answer = String::from("region,revenue\n");
        for (region, amount) in revenue {
            writeln!(answer, "{region},{amount}").expect("a string takes all");
        }
        Ok(answer)
    }

    fn may_go_on(&self, began: Instant) -> Result<(), String> {
        if self.database.closes.load(Ordering::Acquire) != self.began_under {
            return Err("query cancelled".into());
        }
        if began.elapsed() >= QUERY_TIMEOUT {
            return Err(format!("query timed out after {} s", QUERY_TIMEOUT.as_secs()));
        }
        Ok(())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.database.lock().running -= 1;
    }
}

fn read_rows(file: &mut File, rows: &mut Vec<Row>) -> io::Result<()> {
    let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    let mut lines = text.lines();
    if lines.next() != Some("practice-orders 1") {
        return Err(damaged("it does not begin as it should"));
    }
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let [_, region, day, amount] = fields[..] else { return Err(damaged(line)) };
        let (Ok(day), Ok(amount)) = (day.parse(), amount.parse()) else { return Err(damaged(line)) };
        rows.push(Row { region: region.to_owned(), day, amount });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_told_apart_whatever_their_spaces_and_case() {
        assert_eq!(Query::parse(" SELECT  count(*)\nFROM orders; "), Ok(Query::Count));
        assert!(Query::parse("drop table orders").is_err());
    }
}
