//! A site that is well, or not in the way that a trigger is about; and the table of all of them.

use crate::{
    shipped::{self, Row},
    support::{Bench, Running, Web, said},
};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};
use toml::Value;
use unship_controller::sources::Clock as _;

/// What is slow where a rule was scaled.
const SLOW: Duration = Duration::from_millis(1500);
/// The same of the connector, whose look starts a program that takes a while itself.
const VERY_SLOW: Duration = Duration::from_millis(2500);

/// What an answer of the API takes at least, so that a machine that is busy for a moment is not five times as slow.
const EVEN: Duration = Duration::from_millis(20);

/// How the servers are.
#[derive(Clone, Copy)]
struct Mood {
    is_up: bool,
    is_slow: bool,
    queued: u32,
    running: u32,
}

/// A site in a folder, with what a scene keeps from one look to the next.
pub struct Scene {
    pub bench: Bench,
    web: Web,
    mood: Arc<Mutex<Mood>>,
    count: u64,
    process: Option<(bool, Running)>,
    /// pm2's, or the connector's.
    socket: Option<UnixListener>,
}

impl Scene {
    pub fn new(bench: Bench) -> Scene {
        let mood = Arc::new(Mutex::new(Mood { is_up: true, is_slow: false, queued: 3, running: 0 }));
        let moods = mood.clone();
        let web = Web::new(move |head, stream| {
            let mood = *moods.lock().expect("no panic");
            if mood.is_slow {
                thread::sleep(SLOW);
            }
            let body = match head.split(' ').nth(1).unwrap_or_default() {
                "/graphql" => {
                    let runs = vec!["{\"runId\":\"r\"}"; mood.queued as usize].join(",");
                    format!("{{\"data\":{{\"runsOrError\":{{\"__typename\":\"Runs\",\"results\":[{runs}]}}}}}}")
                }
                "/api/status" => {
                    thread::sleep(EVEN);
                    "{}".to_owned()
                }
                "/status" => format!("{{\"running\":{}}}", mood.running),
                _ => "{}".to_owned(),
            };
            let status = if mood.is_up { "200 OK" } else { "500 Internal Server Error" };
            let _ = stream.write_all(said(status, "application/json", &body).as_bytes());
        });
        let port = web.address.port();
        let network = format!(
            "{{\"host\":\"127.0.0.1\",\"ports\":{{\"analysis-service\":{port}}},\"more\":{{\"dagster\":{port}}}}}"
        );
        bench.write("config/network.json", &network);
        // Copies: Node would take a linked one for where it lies, and look for the site there.
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/src/real/tree");
        for folder in ["scripts", "services/lib"] {
            for script in fs::read_dir(tree.join(folder)).expect("the practice site's").map_while(Result::ok) {
                let name = script.file_name().into_string().expect("UTF-8");
                fs::copy(script.path(), bench.path(&format!("{folder}/{name}"))).expect("copied");
            }
        }
        bench.write("config/feature-flags.yaml", "flags: { duckdb_analytics: { enabled: true } }\n");
        Scene { bench, web, mood, count: 0, process: None, socket: None }
    }

    /// A shipped feed as this site has it: its servers' address, its own Node and pm2.
    pub fn own(&self, mut feed: Value) -> Value {
        let table = feed.as_table_mut().expect("a feed");
        if let Some(url) = table.get("url").and_then(Value::as_str) {
            let path = url.splitn(4, '/').nth(3).unwrap_or_default();
            let url = format!("http://{}/{path}", self.web.address);
            table.insert("url".to_owned(), Value::String(url));
        }
        if let Some(program) = table.get_mut("argv").and_then(Value::as_array_mut).and_then(|argv| argv.first_mut()) {
            assert_eq!(program.as_str(), Some("node"));
            *program = Value::String("bin/node".to_owned());
            let node = std::env::var("UNSHIP_NODE").expect("run the tests by `cargo xtask test`, which installs Node");
            symlink(node, self.bench.path("bin/node")).unwrap_or_default();
        }
        if table["kind"].as_str() == Some("pm2-restarts") {
            table.insert("program".to_owned(), Value::String("bin/pm2".to_owned()));
        }
        feed
    }

    fn mood(&self, change: impl FnOnce(&mut Mood)) {
        change(&mut self.mood.lock().expect("no panic"));
    }

    fn append(&self, file: &str, line: &str, times: usize) {
        let path = self.bench.path(file);
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).expect("a log");
        file.write_all(format!("{line}\n").repeat(times).as_bytes()).expect("written");
    }

    /// Of ten lines so many are bad; a bad line is one of all of them as well.
    fn log(&self, file: &str, good: &str, bad: &str, bad_of_ten: usize) {
        self.append(file, good, 10 - bad_of_ten);
        self.append(file, bad, bad_of_ten);
    }

    fn push(&self, metric: &str, labels: &str, value: f64) {
        let line = format!("{{\"metric\":\"{metric}\",\"labels\":{{{labels}}},\"value\":{value}}}\n");
        let report = self.bench.sources.read_lines(line.as_bytes()).expect("read");
        assert_eq!(report.refused, 0, "{line}");
    }

    /// One of the processes that the shipped policy calls `name`, which takes much memory or little. It is bash, under that name.
    fn process(&mut self, name: &str, is_large: bool) {
        if self.process.as_ref().is_some_and(|(large, _)| *large == is_large) {
            return;
        }
        self.process = None;
        let meant = &shipped::table("site.toml")["processes"][name];
        let program = self.bench.path(meant["exe"].as_str().expect("an executable"));
        let args = meant["args"].as_array().expect("arguments").iter().map(|arg| arg.as_str().expect("text"));
        let _ = fs::remove_file(&program);
        fs::copy("/bin/bash", &program).expect("copied");
        let bytes = if is_large { 60_000_000 } else { 1 };
        let script = format!("x=$(head -c {bytes} /dev/zero | tr '\\0' x); echo ready; read -r x");
        let mut command = Command::new(program);
        command.arg("-c").arg(script).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Running::begun(&mut command);
        let mut ready = String::new();
        BufReader::new(process.0.stdout.as_mut().expect("its output")).read_line(&mut ready).expect("a line");
        self.process = Some((is_large, process));
    }

    /// pm2's list: this process was started again so often.
    fn restarted(&mut self, name: &str, restarts: u64) {
        if self.socket.is_none() {
            self.socket = Some(UnixListener::bind(self.bench.path(".pm2/rpc.sock")).expect("a socket"));
            self.bench.write("bin/pm2", "#!/bin/sh\ncat list.json\n");
            let path = self.bench.path("bin/pm2");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a program");
        }
        self.bench.write(
            "list.json",
            &format!(
                "[{{\"name\":\"{name}\",\"pm_id\":0,\"pid\":7,\"pm2_env\":{{\"status\":\"online\",\"restart_time\":{restarts},\
                 \"pm_uptime\":1}}}}]"
            ),
        );
    }

    /// dbt ran once more: of ten nodes of each kind so many failed, this many did not compile, and it took so long.
    fn dbt(&mut self, models: usize, tests: usize, compile: usize, seconds: f64) {
        self.count += 1;
        let node = |kind: &str, n: usize, status: &str, message: &str| {
            format!("{{\"unique_id\":\"{kind}.shop.n{n}\",\"status\":\"{status}\",\"message\":\"{message}\"}}")
        };
        let mut nodes = Vec::new();
        for n in 0..10 {
            nodes.push(node("model", n, if n < models { "error" } else { "success" }, "Database Error"));
            nodes.push(node("test", n, if n < tests { "fail" } else { "pass" }, "x"));
        }
        nodes.extend((0..compile).map(|n| node("model", 100 + n, "error", "Compilation Error in model")));
        let (id, nodes) = (self.count, nodes.join(","));
        self.bench.write(
            "dbt_project/target/run_results.json",
            &format!(
                "{{\"metadata\":{{\"generated_at\":\"2026-03-01T12:00:00Z\",\"invocation_id\":\"{id}\"}},\
                 \"elapsed_time\":{seconds},\"results\":[{nodes}]}}"
            ),
        );
    }

    fn moment(&self, seconds_ago: i64) -> String {
        let ms = self.bench.clock.now().0 - seconds_ago * 1000;
        jiff::Timestamp::from_millisecond(ms).expect("a time").to_string()
    }

    /// A build that ended just now.
    fn built(&mut self, file: &str, exit: i32) {
        // Each is one of its own.
        self.count = self.count % 50 + 1;
        let (started, finished) = (self.moment(100 + i64::try_from(self.count).expect("few")), self.moment(0));
        self.bench.write(file, &format!("{{\"started\":\"{started}\",\"finished\":\"{finished}\",\"exit\":{exit}}}"));
    }

    /// One that began when this was first said, and goes on.
    fn builds(&mut self, file: &str) {
        let started = self.moment(0);
        if !fs::read_to_string(self.bench.path(file)).is_ok_and(|text| !text.contains("finished")) {
            self.bench.write(file, &format!("{{\"started\":\"{started}\"}}"));
        }
    }

    /// The connector answers on its socket, at once or late.
    fn connector(&mut self) {
        if self.socket.is_some() {
            return;
        }
        let listener = UnixListener::bind(self.bench.path("run/pyairbyte.sock")).expect("a socket");
        let (answers, mood) = (listener.try_clone().expect("a handle"), self.mood.clone());
        thread::spawn(move || {
            for mut stream in answers.incoming().map_while(Result::ok) {
                let _ = BufReader::new(&stream).read_line(&mut String::new());
                if mood.lock().expect("no panic").is_slow {
                    thread::sleep(VERY_SLOW);
                }
                let _ = stream.write_all(b"{\"streams\":1}\n");
            }
        });
        self.socket = Some(listener);
    }

    /// A script of Node's in the site.
    fn node(&self, script: &str) {
        let modules = std::env::var("UNSHIP_PM2").expect("run the tests by `cargo xtask test`, which installs pm2");
        let modules = Path::new(&modules).ancestors().nth(3).expect("node_modules").to_owned();
        symlink(modules, self.bench.path("node_modules")).unwrap_or_default();
        let mut command = Command::new(self.bench.path("bin/node"));
        let out = command.arg("-e").arg(script).current_dir(self.bench.dir.path()).output().expect("Node runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    fn database(&self, is_sick: bool) {
        let path = self.bench.path(".duckdb/analytics.db");
        if !path.exists() {
            self.node(
                "const { DuckDBInstance } = require('@duckdb/node-api'); (async () => { \
                 const db = await DuckDBInstance.create('.duckdb/analytics.db'); const c = await db.connect(); \
                 await c.run('CREATE TABLE orders AS SELECT range AS id FROM range(20000)'); await c.run('CHECKPOINT'); \
                 c.closeSync(); db.closeSync(); })();",
            );
        }
        if is_sick {
            // Behind its three headers, which are whole.
            let mut bytes = fs::read(&path).expect("the database");
            bytes[3 * 4096..].fill(0x5a);
            fs::write(&path, bytes).expect("written");
        }
    }
}

fn unresponsive(scene: &Scene, is_sick: bool) {
    if is_sick {
        scene.mood(|mood| mood.is_up = false);
    }
}

fn slow(scene: &mut Scene, is_sick: bool) {
    scene.mood(|mood| mood.is_slow = is_sick);
}

const fn row(
    owner: &'static str,
    trigger: &'static str,
    every_s: u64,
    well: u64,
    fires: [u64; 2],
    scene: fn(&mut Scene, bool),
) -> Row {
    Row { owner, trigger, every_s, well, fires, scene, scaled: None, baseline: None }
}

const fn scaled(row: Row, from: &'static str, to: &'static str) -> Row {
    Row { scaled: Some([from, to]), ..row }
}

pub const ROWS: &[Row] = &[
    Row { baseline: Some(("6h", 60)), ..row("site", "api-slow", 240, 100, [10, 24], slow) },
    row("site", "error-rate", 15, 8, [5, 8], |scene, is_sick| {
        scene.log("logs/api.log", "request / status=200", "request / status=503", if is_sick { 5 } else { 1 });
    }),
    row("site", "availability", 15, 40, [1, 5], |scene, is_sick| unresponsive(scene, is_sick)),
    scaled(row("site", "memory", 15, 0, [10, 11], |_, _| ()), "95%", "0.01%"),
    row("site", "data-validation", 15, 8, [0, 8], |scene, is_sick| {
        scene.count += 1;
        let failed = if is_sick { 60 * scene.count } else { scene.count };
        scene.push("validated_records_total", "\"story\":\"1.4\"", (100 * scene.count) as f64);
        scene.push("validation_failures_total", "\"story\":\"1.4\"", failed as f64);
    }),
    row("1.1.5", "auth-failures", 15, 8, [0, 4], |scene, is_sick| {
        let bad = if is_sick { 5 } else { 0 };
        scene.log("logs/auth.log", "attempt ok", "attempt: service failure", bad);
    }),
    scaled(row("1.1.5", "key-validation-slow", 15, 6, [0, 4], slow), "> 2s", "> 1s"),
    row("1.1.5", "flags-unresponsive", 15, 8, [2, 4], |scene, is_sick| unresponsive(scene, is_sick)),
    row("1.1.5", "security-log", 15, 8, [0, 5], |scene, is_sick| {
        let bad = if is_sick { 5 } else { 0 };
        scene.log("logs/services.log", "security log: written", "security log: write failed", bad);
    }),
    row("1.2", "crashes", 15, 6, [0, 3], |scene, is_sick| {
        scene.count += u64::from(is_sick);
        scene.restarted("data-ingestion-service", 2 + scene.count);
    }),
    row("1.2", "ingestion-slow", 60, 4, [15, 18], |scene, is_sick| {
        scene.count += if is_sick { 0 } else { 5000 };
        scene.bench.write(".cache/pyairbyte/orders.state.json", &format!("{{\"cursor\":{}}}", scene.count));
        scene.bench.write("run/.keep", "");
        if !scene.bench.path("data/orders.csv").exists() {
            scene.bench.write("data/orders.csv", &"1,north,1,100\n".repeat(150_000));
        }
    }),
    scaled(row("1.2", "memory", 15, 2, [2, 3], |scene, is_sick| scene.process("pyairbyte", is_sick)), "4GB", "40MB"),
    scaled(
        row("1.2", "reply-slow", 60, 2, [2, 4], |scene, is_sick| {
            scene.connector();
            slow(scene, is_sick);
        }),
        "30s",
        "2s",
    ),
    row("1.3", "slow-queries", 60, 5, [5, 6], |scene, is_sick| {
        scene.push("duckdb_query_seconds", "", if is_sick { 130.0 } else { 0.4 });
    }),
    scaled(
        row("1.3", "memory", 15, 2, [2, 3], |scene, is_sick| {
            scene.process("analytics", is_sick);
        }),
        "8GB",
        "40MB",
    ),
    row("1.3", "corruption", 300, 2, [0, 5], |scene, is_sick| scene.database(is_sick)),
    row("1.3", "query-errors", 15, 8, [0, 5], |scene, is_sick| {
        scene.log("logs/analytics.log", "query 1 ok", "query failed", if is_sick { 6 } else { 1 });
    }),
    row("1.4", "run-failures", 60, 4, [1, 4], |scene, is_sick| scene.dbt(if is_sick { 3 } else { 1 }, 0, 0, 60.0)),
    // Every six hours for a fortnight, so that there is a baseline.
    row("1.4", "transformations-slow", 21_600, 60, [1, 1080], |scene, is_sick| {
        scene.dbt(0, 0, 0, if is_sick { 200.0 } else { 60.0 });
    }),
    row("1.4", "test-failures", 60, 4, [1, 4], |scene, is_sick| scene.dbt(0, if is_sick { 4 } else { 2 }, 0, 60.0)),
    row("1.4", "compile-errors", 60, 4, [0, 2], |scene, is_sick| scene.dbt(0, 0, if is_sick { 11 } else { 10 }, 60.0)),
    row("1.5", "daemon-crashes", 15, 6, [0, 2], |scene, is_sick| {
        scene.count += u64::from(is_sick);
        scene.restarted("dagster-daemon", 2 + scene.count);
    }),
    row("1.5", "backlog", 30, 2, [5, 6], |scene, is_sick| {
        scene.mood(|mood| mood.queued = if is_sick { 101 } else { 100 });
    }),
    row("1.5", "materialization-failures", 15, 8, [0, 10], |scene, is_sick| {
        let bad = if is_sick { 8 } else { 2 };
        scene.log(
            "logs/dagster.log",
            "r - a - STEP_START - s",
            "r - a - STEP_START - s\nr - a - STEP_FAILURE - f",
            bad,
        );
    }),
    row("1.5", "web-unresponsive", 30, 4, [10, 12], |scene, is_sick| unresponsive(scene, is_sick)),
    row("1.6", "llm-errors", 15, 8, [0, 10], |scene, is_sick| {
        scene.log("logs/eda.log", "llm request", "llm request: llm error", if is_sick { 9 } else { 4 });
    }),
    row("1.6", "hypotheses-slow", 60, 4, [2, 3], |scene, is_sick| {
        scene.push("hypothesis_generation_seconds", "", if is_sick { 301.0 } else { 20.0 });
    }),
    scaled(
        row("1.6", "memory", 15, 2, [2, 3], |scene, is_sick| {
            scene.process("analysis-service", is_sick);
            scene.mood(|mood| mood.running = u32::from(is_sick));
        }),
        "6GB",
        "40MB",
    ),
    row("1.6", "statistics-errors", 15, 8, [0, 6], |scene, is_sick| {
        scene.log("logs/eda.log", "statistic mean", "statistic failed", if is_sick { 6 } else { 1 });
    }),
    row("1.7", "build-slow", 15, 4, [10, 11], |scene, is_sick| {
        if is_sick { scene.builds("run/evidence-build.json") } else { scene.built("run/evidence-build.json", 0) }
    }),
    scaled(row("1.7", "pages-slow", 30, 6, [0, 6], slow), "> 5s", "> 1s"),
    row("1.7", "build-failures", 15, 4, [0, 2], |scene, is_sick| {
        let fails = is_sick || scene.count % 4 != 0;
        scene.built("run/evidence-build.json", i32::from(fails));
    }),
    scaled(
        row("1.7", "build-memory", 15, 2, [1, 2], |scene, is_sick| {
            scene.process("evidence-build", is_sick);
        }),
        "4GB",
        "40MB",
    ),
    row("1.8", "tests-slow", 60, 4, [60, 61], |scene, is_sick| {
        if is_sick { scene.builds("run/test-suite.json") } else { scene.built("run/test-suite.json", 0) }
    }),
    row("1.8", "test-infrastructure", 300, 2, [0, 5], |scene, is_sick| {
        scene.bench.write("package.json", "{\"dependencies\":{\"pm2\":\"7\"}}");
        scene.bench.write("tests/smoke.test.js", "");
        scene.node("0");
        if is_sick {
            fs::remove_file(scene.bench.path("tests/smoke.test.js")).expect("removed");
        }
    }),
    row("1.8", "docs-failed", 60, 4, [0, 2], |scene, is_sick| {
        scene.built("run/docs-build.json", i32::from(is_sick));
    }),
    row("1.8", "integration-pass-rate", 300, 2, [0, 5], |scene, is_sick| {
        let passed = if is_sick { 6 } else { 7 };
        let one = |n: usize| format!("{{\"status\":\"{}\"}}", if n < passed { "passed" } else { "failed" });
        let tests: Vec<String> = (0..10).map(one).collect();
        let (unit, all) = ("{\"status\":\"failed\"}", tests.join(","));
        scene.bench.write(
            "run/test-results.json",
            &format!(
                "{{\"testResults\":[{{\"name\":\"/site/tests/unit/a.test.js\",\"assertionResults\":[{unit}]}},\
                 {{\"name\":\"/site/tests/integration/b.test.js\",\"assertionResults\":[{all}]}}]}}"
            ),
        );
    }),
];
