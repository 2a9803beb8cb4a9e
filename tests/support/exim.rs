//! A real mail server for a test: Exim, in a mount namespace of its own where its user is known, with TLS, one login and
//! mailboxes in a folder. `cargo xtask test` fetches it and says where it is.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Who may hand mail in.
pub const USER: &str = "unship";
pub const PASSWORD: &str = "s3cret";
/// Whose mail is refused for good.
pub const NOBODY: &str = "nobody@example.org";
/// Its user's id: any that is nobody else's.
const ID: u32 = 61_234;

pub const AUTHORITY: &str = include_str!("tls/ca.pem");
const CERTIFICATE: &str = include_str!("tls/cert.pem");
const KEY: &str = include_str!("tls/key.pem");

pub struct Exim {
    dir: TempDir,
    child: Child,
    /// TLS after STARTTLS.
    pub port: u16,
    /// TLS from the first byte.
    pub port_of_tls: u16,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    chown(path, Some(ID), Some(ID)).expect("root may");
}

/// The file of the system's users or groups, with one more.
fn with_one_more(file: &str, line: &str) -> String {
    format!("{}{line}\n", fs::read_to_string(file).expect("the system's users"))
}

impl Exim {
    pub fn start() -> Exim {
        let place = std::env::var_os("UNSHIP_EXIM").map(PathBuf::from);
        let place = place.expect("UNSHIP_EXIM names the folder of Exim: `cargo xtask test` fetches it");
        let dir = tempfile::tempdir().expect("a folder");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open");
        for folder in ["spool", "mail"] {
            fs::create_dir(dir.path().join(folder)).expect("a folder");
            chown(dir.path().join(folder), Some(ID), Some(ID)).expect("root may");
        }
        let (port, port_of_tls) = (free_port(), free_port());
        let at = dir.path();
        // It runs itself again as its own user, who need not get at the cache.
        let program = at.join("exim4");
        fs::copy(place.join("usr/sbin/exim4"), &program).expect("copied");
        let libraries = at.join("lib");
        fs::create_dir(&libraries).expect("a folder");
        for library in
            fs::read_dir(place.join("usr/lib/x86_64-linux-gnu")).expect("its libraries").map_while(Result::ok)
        {
            if library.path().is_file() {
                fs::copy(library.path(), libraries.join(library.file_name())).expect("copied");
            }
        }
        write(&at.join("cert.pem"), CERTIFICATE, 0o644);
        write(&at.join("key.pem"), KEY, 0o600);
        let user = format!("Debian-exim:x:{ID}:{ID}::/:/usr/sbin/nologin");
        write(&at.join("passwd"), &with_one_more("/etc/passwd", &user), 0o644);
        write(&at.join("group"), &with_one_more("/etc/group", &format!("Debian-exim:x:{ID}:")), 0o644);
        write(&at.join("exim.conf"), &configuration(at, &program, port, port_of_tls), 0o644);
        chown(at.join("exim.conf"), Some(0), Some(0)).expect("root may");
        // Its compiled-in user exists in this namespace alone.
        let script = "set -e; mount --bind \"$1/passwd\" /etc/passwd; mount --bind \"$1/group\" /etc/group; \
                      exec \"$2\" -C \"$1/exim.conf\" -bdf";
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
            .arg(at)
            .arg(&program)
            .env("LD_LIBRARY_PATH", &libraries)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(at.join("stderr")).expect("a file"))
            .process_group(0)
            .spawn()
            .expect("unshare runs");
        let mut exim = Exim { dir, child, port, port_of_tls };
        exim.is_up();
        exim
    }

    fn is_up(&mut self) {
        let until = Instant::now() + Duration::from_secs(30);
        let listens = |port| TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_ok();
        while !(listens(self.port) && listens(self.port_of_tls)) {
            let ended = self.child.try_wait().expect("a child");
            let said = fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < until, "Exim does not come up: {said}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The mails of an address, as they were stored, once there are so many.
    pub fn mails(&self, address: &str, wanted: usize) -> Vec<String> {
        let folder = self.dir.path().join("mail/new");
        let (until, theirs) = (Instant::now() + Duration::from_secs(60), format!("Envelope-to: {address}"));
        loop {
            let found = fs::read_dir(&folder).into_iter().flatten().map_while(Result::ok).map(|entry| entry.path());
            let mut found: Vec<PathBuf> = found.collect();
            found.sort();
            let mails = found.iter().map(|path| fs::read_to_string(path).expect("a mail"));
            let found: Vec<String> = mails.filter(|mail| mail.contains(&theirs)).collect();
            if found.len() >= wanted {
                return found;
            }
            assert!(Instant::now() < until, "{} of {wanted} mails for {address}: {}", found.len(), self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it says that it did.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("spool/main.log")).unwrap_or_default()
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        // Its deliveries as well: they are of its process group.
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

fn configuration(at: &Path, program: &Path, port: u16, port_of_tls: u16) -> String {
    let (at, program) = (at.display(), program.display());
    format!(
        "primary_hostname = localhost
exim_path = {program}
keep_environment = LD_LIBRARY_PATH
deliver_drop_privilege = true
spool_directory = {at}/spool
log_file_path = {at}/spool/%s.log
exim_user = Debian-exim
exim_group = Debian-exim
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port} : {port_of_tls}
tls_on_connect_ports = {port_of_tls}
tls_advertise_hosts = *
tls_certificate = {at}/cert.pem
tls_privatekey = {at}/key.pem
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
host_lookup =
rfc1413_hosts =
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
begin acl
rcpt:
  deny condition = ${{if eq{{$tls_in_cipher}}{{}}}}
       message = TLS first
  deny !authenticated = *
       message = nobody knows you
  deny recipients = {NOBODY}
       message = there is nobody of that name
  accept
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  maildir_format
  directory = {at}/mail
  envelope_to_add
  user = Debian-exim
  group = Debian-exim
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{{USER}}}}}{{eq{{$auth3}}{{{PASSWORD}}}}}}}}}
"
    )
}
