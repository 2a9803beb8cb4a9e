//! `cargo xtask bench --watch`: how long it takes from the sample that breaches to the first effect, by `unship watch` alone and
//! with Prometheus and Alertmanager before its webhook, every interval one second; then what the idle daemon and an idle
//! Prometheus hold and use beside each other. It measures and judges nothing.

use crate::{
    site::{self, Parts},
    toolchain::{
        prometheus::{self, Prometheus},
        say,
    },
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A program of Debian's that lies in the cache, in a mount namespace of its own where its files lie where it looks for them.
fn unpacked(program: &Path) -> Command {
    let script = "mount -t overlay overlay -o lowerdir=\"$1/usr\":/usr /usr && shift && exec \"$@\"";
    let place = program.ancestors().nth(3).unwrap_or(Path::new("/"));
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(place).arg(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// How long a side may take until all of it is up and has seen that nothing is wrong.
const SETTLE: Duration = Duration::from_secs(8);
const IDLE: Duration = Duration::from_secs(30);
/// Longer than this nothing comes any more.
const LIMIT: Duration = Duration::from_secs(60);

const WATCH: &str =
    "\n[watch]\nlisten = \"127.0.0.1:0\"\nalerts-token = \"file:run/alerts.token\"\nlateness = \"1s\"\n";

/// Ended with its holder.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM first: a daemon that is killed leaves a run behind.
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").arg(&pid).status();
        let until = Instant::now() + Duration::from_secs(15);
        while self.0.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A metric that is well until it is told otherwise.
struct Target {
    address: String,
    is_slow: Arc<AtomicBool>,
}

impl Target {
    fn start() -> Result<Target> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, is_slow) = (listener.local_addr()?.to_string(), Arc::new(AtomicBool::new(false)));
        let slow = is_slow.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.read(&mut [0; 4096]);
                let body = format!("duckdb_query_seconds {}\n", if slow.load(Ordering::SeqCst) { 130 } else { 1 });
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n";
                // Whoever asked may be gone.
                let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
            }
        });
        Ok(Target { address, is_slow })
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Measures `runs` rounds of each side, by turns, and prints the table.
///
/// # Errors
/// When a side does not take the story back: the times of a failure mean nothing.
pub fn run(parts: &Parts, runs: usize) -> Result<()> {
    if runs == 0 {
        bail!("at least one run is needed");
    }
    let alerting = prometheus::need()?;
    let target = Target::start()?;
    let bench = Bench { parts, alerting, target };
    let (mut alone, mut with) = (Vec::new(), Vec::new());
    for round in 1..=runs {
        alone.push(bench.alone()?);
        with.push(bench.with_alertmanager()?);
        say(&format!("round {round} of {runs}"));
    }
    println!("from the breaching sample to the first effect, every interval 1 s, {runs} runs, median (least to most):");
    for (side, times) in [("unship watch alone", &mut alone), ("Prometheus, Alertmanager, webhook", &mut with)] {
        times.sort();
        let seconds = |at: usize| times[at].as_secs_f64();
        println!("  {side:<36} {:.2} s ({:.2} to {:.2})", seconds(runs / 2), seconds(0), seconds(runs - 1));
    }
    bench.idle()
}

struct Bench<'a> {
    parts: &'a Parts,
    alerting: Prometheus,
    target: Target,
}

/// A site with its daemon.
struct Watched {
    folder: tempfile::TempDir,
    listen: String,
    daemon: Running,
}

impl Drop for Watched {
    fn drop(&mut self) {
        site::stop(&self.folder.path().join("site"));
    }
}

impl Bench<'_> {
    /// `feed`: the feed of the metric `slow_queries`; `when`: the sentence of its trigger.
    fn watched(&self, feed: &str, when: &str) -> Result<Watched> {
        let folder = tempfile::Builder::new().prefix("unship-bench-").tempdir()?;
        let root = folder.path().join("site");
        site::lay_out(&root, self.parts, &[site::story("1.3")?])?;
        let append = |path: &str, text: &str| -> Result<()> {
            let path = root.join(path);
            Ok(fs::write(&path, fs::read_to_string(&path)? + text)?)
        };
        let own = format!("{WATCH}[feeds.slow]\nmetric = \"slow_queries\"\n{feed}");
        append("policies/site.toml", &own)?;
        let trigger = format!(
            "\n[[trigger]]\nname = \"slow\"\nwhen = \"{when}\"\nseverity = \"high\"\nauto = true\nfeed = [\"slow\"]\n"
        );
        append("policies/triggers/1.3.toml", &trigger)?;
        fs::write(root.join("run/alerts.token"), "s3cret\n")?;
        fs::set_permissions(root.join("run/alerts.token"), fs::Permissions::from_mode(0o600))?;
        let mut child = Command::new(&self.parts.unship)
            .arg("--site")
            .arg(&root)
            .args(["watch", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut out = BufReader::new(child.stdout.take().context("its output")?);
        let mut line = String::new();
        out.read_line(&mut line)?;
        let first: serde_json::Value = serde_json::from_str(&line).context("the daemon does not begin")?;
        let listen = first["listen"].as_str().context("the daemon does not say where it listens")?.to_owned();
        // Nobody else reads it, and a pipe that is full would hold it up.
        thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Ok(Watched { folder, listen, daemon: Running(child) })
    }

    fn scraping(&self) -> Result<Watched> {
        let url = format!("http://{}/metrics", self.target.address);
        let feed = format!(
            "kind = \"scrape\"\nselect = \"duckdb_query_seconds\"\nurl = \"{url}\"\ntimeout = \"500ms\"\nevery = \"1s\"\n"
        );
        self.watched(&feed, "slow_queries > 120")
    }

    fn alone(&self) -> Result<Duration> {
        let watched = self.scraping()?;
        self.breach(&watched)
    }

    fn with_alertmanager(&self) -> Result<Duration> {
        let watched = self.watched("kind = \"alertmanager\"\nalert = \"SlowQueries\"\n", "slow_queries detected")?;
        let port = free_port()?;
        let _both = [self.alertmanager(&watched, port)?, self.prometheus(watched.folder.path(), port)?];
        self.breach(&watched)
    }

    /// The metric breaches; how much later the site's journal has its first effect.
    fn breach(&self, watched: &Watched) -> Result<Duration> {
        thread::sleep(SETTLE);
        let (began_ms, until) = (now_ms(), Instant::now() + LIMIT);
        self.target.is_slow.store(true, Ordering::SeqCst);
        let journal = watched.folder.path().join("site/.unship/journal");
        let found = loop {
            if let Some(at_ms) = first_effect(&fs::read(&journal)?) {
                break Ok(Duration::from_millis(at_ms.saturating_sub(began_ms)));
            }
            if Instant::now() > until {
                break Err(anyhow::anyhow!("nothing was taken back within {} s", LIMIT.as_secs()));
            }
            thread::sleep(Duration::from_millis(20));
        };
        self.target.is_slow.store(false, Ordering::SeqCst);
        found
    }

    fn prometheus(&self, folder: &Path, alertmanager: u16) -> Result<Running> {
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml]\n\
             scrape_configs: [{{ job_name: duckdb, static_configs: [{{ targets: ['{}'] }}] }}]\n\
             alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: ['127.0.0.1:{alertmanager}'] }}] }}] }}\n",
            self.target.address
        );
        fs::write(folder.join("prometheus.yml"), text)?;
        let rule = "groups:\n- name: duckdb\n  rules:\n  - alert: SlowQueries\n    expr: duckdb_query_seconds > 120\n";
        fs::write(folder.join("rules.yml"), format!("{rule}    labels: {{ story: '1.3' }}\n"))?;
        let mut command = unpacked(&self.alerting.server);
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"]);
        command.arg(format!("--web.listen-address=127.0.0.1:{}", free_port()?)).current_dir(folder);
        Ok(Running(command.spawn()?))
    }

    fn alertmanager(&self, watched: &Watched, port: u16) -> Result<Running> {
        let folder = watched.folder.path();
        let text = format!(
            "route: {{ receiver: unship, group_wait: 1s, group_interval: 1s, repeat_interval: 1m }}\n\
             receivers: [{{ name: unship, webhook_configs: [{{ url: 'http://{}/v1/alerts', \
             http_config: {{ authorization: {{ credentials: s3cret }} }} }}] }}]\n",
            watched.listen
        );
        fs::write(folder.join("alertmanager.yml"), text)?;
        let mut command = unpacked(&self.alerting.alertmanager);
        command.args(["--config.file=alertmanager.yml", "--storage.path=am", "--cluster.listen-address="]);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).current_dir(folder);
        Ok(Running(command.spawn()?))
    }

    /// Both at once, with nothing to do but to scrape one metric.
    fn idle(&self) -> Result<()> {
        let watched = self.scraping()?;
        let folder = tempfile::tempdir()?;
        let prometheus = self.prometheus(folder.path(), free_port()?)?;
        thread::sleep(SETTLE);
        let pids = [("unship watch", watched.daemon.0.id()), ("Prometheus", prometheus.0.id())];
        let before = pids.map(|(_, pid)| ticks(pid));
        thread::sleep(IDLE);
        println!("idle for {} s beside each other:", IDLE.as_secs());
        for ((name, pid), before) in pids.into_iter().zip(before) {
            let used = (ticks(pid)? - before?) as f64 / 100.0;
            println!("  {name:<36} {:.1} MiB, {used:.2} s of CPU", resident_kib(pid)? as f64 / 1024.0);
        }
        Ok(())
    }
}

/// When the first effect had been made, by the site's journal.
fn first_effect(journal: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(journal);
    let records = text.trim_end_matches('\0').lines().skip(1).filter_map(|line| line.splitn(4, ' ').nth(3));
    let mut effects = records.filter_map(|json| serde_json::from_str::<serde_json::Value>(json).ok());
    effects.find(|record| record["what"]["event"] == "effect-applied")?["at_ms"].as_u64()
}

/// Hundredths of a second of CPU.
fn ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).context("no such field");
    Ok(field(11)? + field(12)?)
}

fn resident_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no such line")?;
    line.trim().trim_end_matches(" kB").parse().context("no number")
}
