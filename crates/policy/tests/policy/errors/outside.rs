//! Faults in what names mean outside the sandbox: services, commands, calls.

use super::{changes, report};
use unship_policy::SitePolicy;

const PM2: &str = r#"[site]
name = "practice"
bundles = "bundles"

[services.web]
manager = "pm2"
name = "web"
home = ".pm2"
program = "bin/pm2"
healthy = ["bin/healthy"]
timeout = "20s"
"#;

#[test]
fn services_of_pm2() {
    assert!(SitePolicy::parse(PM2).is_ok());
    assert!(SitePolicy::parse(&PM2.replace("\".pm2\"", "\"/home/web/.pm2\"")).is_ok());
    let cases = changes(
        PM2,
        &[
            ("another manager's key", "program =", "pid-file ="),
            ("another manager's table", "program = \"bin/pm2\"", "process = { exe = \"x\", grace = \"1s\" }"),
            ("another manager's command", "healthy =", "start ="),
            ("keys of pm2 without it", "\"pm2\"", "\"pid-file\""),
            ("no manager", "manager = \"pm2\"\n", ""),
            ("missing name", "name = \"web\"\n", ""),
            ("missing home", "home = \".pm2\"\n", ""),
            ("an empty name", "name = \"web\"", "name = \"\""),
            ("a home above", "\".pm2\"", "\"../.pm2\""),
            ("an empty program", "\"bin/pm2\"", "\"\""),
            ("no health program", "[\"bin/healthy\"]", "[]"),
            ("no time", "timeout = \"20s\"\n", ""),
        ],
    );
    insta::assert_snapshot!("services_of_pm2", report(&cases, SitePolicy::parse));
    let pid_file = "[services.web]\nmanager = \"pid-file\"\npid-file = \"x\"\nprocess = { exe = \"x\", grace = \"1s\" }\n\
        start = [\"x\"]\nhealthy = [\"x\"]\ntimeout = \"1s\"\n";
    let site = format!("[site]\nname = \"a\"\nbundles = \"b\"\n{pid_file}");
    assert!(SitePolicy::parse(&site).is_ok());
    let cases = changes(
        &site,
        &[
            ("missing pid file", "pid-file = \"x\"\n", ""),
            ("missing process", "process = { exe = \"x\", grace = \"1s\" }\n", ""),
            ("missing start", "start = [\"x\"]\n", ""),
            ("missing health", "healthy = [\"x\"]\n", ""),
            ("a key of pm2", "timeout", "home = \".pm2\"\ntimeout"),
        ],
    );
    insta::assert_snapshot!("services_with_a_pid_file", report(&cases, SitePolicy::parse));
}

const COMMAND: &str = r#"[site]
name = "practice"
bundles = "bundles"

[commands.macro]
argv = ["dbt", "run-operation", "{macro}", "--threads={n}", "{model}"]
undo = ["dbt", "run-operation", "un-{macro}"]
timeout = "60s"
reads = ["dbt_project", "/opt/dbt"]
writes = ["dbt_project/target", "/tmp"]
limits = { cpu = "30s", memory = "1 GiB", files = 256, processes = 64, file-size = "1 GiB" }

[commands.macro.parameters]
macro = { one-of = ["drop-all", "drop-one"] }
n = { integer = { min = -1, max = 8 } }
model = { name = { longest = 40 } }
"#;

#[test]
fn commands() {
    assert!(SitePolicy::parse(COMMAND).is_ok());
    let cases = changes(
        COMMAND,
        &[
            ("unknown placeholder", "{model}", "{modell}"),
            ("unknown placeholder of the way back", "un-{macro}", "un-{makro}"),
            ("unused parameter", "{model}", "model"),
            ("a placeholder for the program", "[\"dbt\", \"run-operation\", \"{macro}\"", "[\"{macro}\""),
            ("a placeholder in the program", "[\"dbt\", \"run-operation\", \"{macro}\"", "[\"bin/{macro}\""),
            ("a number that reads as an option", "--threads={n}", "{n}"),
            ("a text that reads as an option", "\"drop-one\"", "\"--all\""),
            ("a brace that begins nothing", "run-operation", "{\\\"a\\\":1}"),
            ("a brace that ends nothing", "run-operation", "a}"),
            ("no kind", "{ name = { longest = 40 } }", "{}"),
            ("two kinds", "{ name = { longest = 40 } }", "{ name = { longest = 40 }, one-of = [\"a\"] }"),
            ("an unknown kind", "{ name =", "{ text ="),
            ("an unknown key of a kind", "longest = 40", "longest = 40, shortest = 1"),
            ("a missing key of a kind", "min = -1, ", ""),
            ("no value", "[\"drop-all\", \"drop-one\"]", "[]"),
            ("an empty value", "\"drop-one\"", "\"\""),
            ("a value twice", "\"drop-one\"", "\"drop-all\""),
            ("no number", "max = 8", "max = -8"),
            ("a name of no length", "longest = 40", "longest = 0"),
            ("a name of any length", "longest = 40", "longest = 4000"),
            ("the whole site is written", "dbt_project/target", "."),
            ("what nothing writes", "dbt_project/target", "policies"),
            ("what nothing writes, the store", "dbt_project/target", ".unship/key"),
            ("a path above", "dbt_project/target", "../target"),
            ("a pattern", "dbt_project/target", "dbt_project/*"),
            ("an absolute pattern", "/tmp", "/tmp/*"),
            ("an absolute path with a way up", "/tmp", "/tmp/../etc"),
            ("an absolute path with nothing in it", "/tmp", "//"),
            ("a path twice", "\"/opt/dbt\"", "\"dbt_project\""),
            ("a read above", "dbt_project\", \"/opt", "../x\", \"/opt"),
            ("an unknown limit", "cpu =", "gpu ="),
            ("no duration of a limit", "\"30s\"", "\"30\""),
            ("no size of a limit", "memory = \"1 GiB\"", "memory = \"1 GB\""),
            ("no number of a limit", "files = 256", "files = \"256\""),
            ("a number below", "processes = 64", "processes = -1"),
            ("no size of a file", "file-size = \"1 GiB\"", "file-size = \"big\""),
            ("a parameter's name that is none", "model = {", "\"mo del\" = {"),
        ],
    );
    insta::assert_snapshot!("commands", report(&cases, SitePolicy::parse));
}

const CALLS: &str = r#"[site]
name = "practice"
bundles = "bundles"

[http.health]
method = "GET"
url = "https://api.example/health"
headers = { accept = "text/plain" }
secret-headers = { x-api-key = "file:secrets/key" }
authorities = "/etc/ssl/internal.pem"
expect = [200, 204]
timeout = "5s"
answer = "4 KiB"

[http.revoke]
method = "POST"
url = "http://localhost:8080/revoke"
body = "{\"ids\": {ids}}"
fill = { ids = { from = "health", pointer = "/ids/*" } }
timeout = "5s"
simulated = { status = 204, body = "", ends = ["workers"] }
undo = "allow"

[http.plain]
method = "DELETE"
url = "http://api.internal/x"
plaintext = true
timeout = "5s"

[git.qa]
repository = "app"
commit = "refs/tags/before-qa"
paths = ["e2e", "package.json"]
"#;

#[test]
fn calls() {
    assert!(SitePolicy::parse(CALLS).is_ok());
    let cases = changes(
        CALLS,
        &[
            ("an unknown key of a call", "answer =", "size ="),
            ("an unknown key of what is simulated", "status = 204,", "code = 204,"),
            ("an unknown method", "\"GET\"", "\"FETCH\""),
            ("a method in lower case", "\"POST\"", "\"post\""),
            ("a body of a GET", "answer = \"4 KiB\"", "body = \"x\""),
            ("a body of a DELETE", "plaintext = true", "plaintext = true\nbody = \"x\""),
            ("no expected status", "[200, 204]", "[]"),
            ("a status that is none", "[200, 204]", "[99]"),
            ("a status beyond", "[200, 204]", "[600]"),
            ("undo of a GET", "answer = \"4 KiB\"", "undo = \"revoke\""),
            ("undo that is no name", "\"allow\"", "\"al low\""),
            ("something simulated for a GET", "answer = \"4 KiB\"", "simulated = { status = 200 }"),
            ("something simulated that is not expected", "status = 204", "status = 500"),
            ("no timeout", "timeout = \"5s\"\nanswer", "answer"),
            ("no size", "\"4 KiB\"", "\"some\""),
            ("no scheme", "https://api.example/health", "api.example/health"),
            ("another scheme", "https://api.example/health", "file:///etc/passwd"),
            ("a user in the URL", "https://api.example/health", "https://me:pw@api.example/health"),
            ("a fragment", "/health\"", "/health#x\""),
            ("a path with dots", "/health\"", "/a/../health\""),
            ("a host in upper case", "api.example", "API.example"),
            ("half an address", "api.example", "127.1"),
            ("port 0", "api.example", "api.example:0"),
            ("a line break in the URL", "/health\"", "/health\\r\\nX: y\""),
            ("unencrypted to another machine", "https://api.example/health", "http://api.example/health"),
            ("plaintext where it means nothing", "answer = \"4 KiB\"", "plaintext = true"),
            ("authorities where they mean nothing", "undo = \"allow\"", "authorities = \"ca.pem\""),
            ("a place that the body does not have", "{ids}", "[]"),
            ("a place that it has twice", "{ids}", "{ids}{ids}"),
            ("places without a body", "body = \"{\\\"ids\\\": {ids}}\"\n", ""),
            ("a place without a source", "from = \"health\", ", ""),
            ("a source that is no name", "\"health\", p", "\"he alth\", p"),
            ("a pointer that is none", "\"/ids/*\"", "\"ids\""),
            ("an unknown key of a place", "pointer =", "path ="),
            ("an end of what is no name", "\"workers\"", "\"work ers\""),
            ("a relative way out", "/etc/ssl/internal.pem", "../ca.pem"),
            ("an absolute path with dots", "/etc/ssl/internal.pem", "/etc/../ca.pem"),
            ("a header that is none", "{ accept =", "{ \"ac cept\" ="),
            ("a header of HTTP's own", "{ accept =", "{ Content-Length ="),
            ("a header's value on two lines", "\"text/plain\"", "\"a\\r\\nX-Other: b\""),
            ("a secret in the policy", "{ accept = \"text/plain\" }", "{ Authorization = \"Bearer abc\" }"),
            ("a header twice", "{ accept = \"text/plain\" }", "{ accept = \"a\", Accept = \"b\" }"),
            ("a header open and secret", "{ x-api-key =", "{ Accept ="),
            ("a secret's value", "\"file:secrets/key\"", "\"abc\""),
            ("a secret in the store", "file:secrets/key", "file:.unship/key"),
            ("a branch", "refs/tags/before-qa", "main"),
            ("a short commit", "refs/tags/before-qa", "0123abc"),
            ("a commit in upper case", "refs/tags/before-qa", "0123456789ABCDEF0123456789abcdef01234567"),
            ("a tag that is a path", "refs/tags/before-qa", "refs/tags/../heads/main"),
            ("no path", "[\"e2e\", \"package.json\"]", "[]"),
            ("a glob", "\"e2e\"", "\"e2e/**\""),
            ("a path twice", "\"e2e\", \"package.json\"", "\"e2e\", \"e2e\""),
            ("a path in another", "\"package.json\"", "\"e2e/a\""),
            ("the whole repository", "\"e2e\"", "\".\""),
            ("what is git's own", "\"e2e\"", "\".git/hooks\""),
            ("a path above", "\"e2e\"", "\"../e2e\""),
            ("a repository above", "\"app\"", "\"../app\""),
            ("an unknown key of a restore point", "repository =", "branch ="),
        ],
    );
    insta::assert_snapshot!("calls", report(&cases, SitePolicy::parse));
}
