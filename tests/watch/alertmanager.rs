//! Debian's Prometheus and Alertmanager in front of the daemon: a metric is scraped, a rule of Prometheus's fires, Alertmanager
//! posts to the webhook, and the label names the story that is taken back. Everything here goes by the machine's clock.

use super::secret;
use crate::support::Site;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Ended with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program of Debian's that was unpacked elsewhere, in a mount namespace of its own where its files lie where it looks for them.
fn program(variable: &str) -> Command {
    let path = std::env::var_os(variable).map(PathBuf::from);
    let path = path.unwrap_or_else(|| panic!("{variable}: run the tests by `cargo xtask test`"));
    let place = path.ancestors().nth(3).expect("it lies in usr/bin");
    let script = "mount -t overlay overlay -o lowerdir=\"$1/usr\":/usr /usr && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(place).arg(&path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Serves one slow query, for ever.
fn metrics() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let body = "duckdb_query_seconds 130\n";
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n";
            let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).expect("written");
}

/// Prometheus scrapes `target` and tells Alertmanager, which posts to `webhook`; each every second.
fn alerting(dir: &TempDir, target: &str, webhook: &str) -> [Running; 2] {
    let at = dir.path();
    let (prometheus, alertmanager) = (free_port(), free_port());
    write(
        at,
        "prometheus.yml",
        &format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml]\n\
             scrape_configs: [{{ job_name: duckdb, static_configs: [{{ targets: ['{target}'] }}] }}]\n\
             alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: ['127.0.0.1:{alertmanager}'] }}] }}] }}\n"
        ),
    );
    write(
        at,
        "rules.yml",
        "groups:\n- name: duckdb\n  rules:\n  - alert: SlowQueries\n    expr: duckdb_query_seconds > 120\n    labels: { story: '1.3' }\n",
    );
    write(
        at,
        "alertmanager.yml",
        &format!(
            "route: {{ receiver: unship, group_wait: 1s, group_interval: 1s, repeat_interval: 1m }}\n\
             receivers: [{{ name: unship, webhook_configs: [{{ url: '{webhook}', http_config: {{ authorization: {{ credentials: s3cret }} }} }}] }}]\n"
        ),
    );
    let alertmanager = program("UNSHIP_ALERTMANAGER")
        .current_dir(at)
        .args(["--config.file=alertmanager.yml", "--storage.path=am", "--cluster.listen-address="])
        .arg(format!("--web.listen-address=127.0.0.1:{alertmanager}"))
        .spawn()
        .expect("Alertmanager starts");
    let prometheus = program("UNSHIP_PROMETHEUS")
        .current_dir(at)
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"])
        .arg(format!("--web.listen-address=127.0.0.1:{prometheus}"))
        .spawn()
        .expect("Prometheus starts");
    [Running(alertmanager), Running(prometheus)]
}

#[test]
fn an_alert_of_prometheus_takes_the_story_back_that_its_label_names() {
    let site = Site::practice();
    let policy = site.read("policies/site.toml");
    let own = "\n[watch]\nlisten = \"127.0.0.1:0\"\nalerts-token = \"file:run/alerts.token\"\nlateness = \"1s\"\n\
[feeds.slow-queries]\nkind = \"alertmanager\"\nmetric = \"slow_queries_alert\"\nalert = \"SlowQueries\"\n\
[[trigger]]\nname = \"alerted\"\nwhen = \"slow_queries_alert detected\"\nseverity = \"high\"\nauto = true\nattribution = \"label\"\nfeed = [\"slow-queries\"]\n";
    site.write("policies/site.toml", &(policy + own));
    secret(&site, "run/alerts.token", "s3cret\n");
    let mut command = site.command(["watch", "--json"]);
    let daemon = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut daemon = Running(daemon);
    let mut lines = BufReader::new(daemon.0.stdout.take().expect("its output")).lines();
    let first: Value = serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON");
    let webhook = format!("http://{}/v1/alerts", first["listen"].as_str().expect("an address"));
    let dir = tempfile::tempdir().expect("a folder");
    let _alerting = alerting(&dir, &metrics(), &webhook);
    let until = Instant::now() + Duration::from_secs(90);
    let mut facts = Vec::new();
    // The daemon tells each fact as it becomes true.
    for line in lines.map_while(Result::ok) {
        let line: Value = serde_json::from_str(&line).expect("JSON");
        let fact = line["what"].clone();
        let is_last = fact["fact"] == "run-ended";
        facts.push(fact);
        if is_last {
            break;
        }
        assert!(Instant::now() < until, "no run: {facts:?}");
    }
    let ended = facts.last().expect("the run's end");
    // Of the incident that the run is for: by the machine's clock, on a busy machine, others may come to theirs meanwhile.
    let own = |fact: &&Value| fact["fact"] == "incident-opened" && fact["trigger"] == "site/alerted";
    let opened = facts.iter().find(own).unwrap_or_else(|| panic!("no incident of the alert's: {facts:?}"));
    assert_eq!(opened["story"].as_str(), Some("1.3"));
    assert_eq!(
        (ended["outcome"].as_str(), ended["verdict"].as_str()),
        (Some("Succeeded"), Some("Recovered")),
        "{ended}"
    );
}
