//! `pm2-restarts`: how often pm2 has started services again, from one look at its list.
//!
//! A look changes nothing: where no daemon of pm2's answers, none is started, which any command of pm2's would do.

use super::{Around, Look, Looked, command, number};
use crate::sources::Kept;
use std::{os::unix::net::UnixStream, time::Duration};
use unship_rollback::{machine, neutralise};

/// pm2's list holds the whole environment of each process.
const LIST_BYTES_MAX: usize = 16 << 20;
/// How long pm2 may take.
const LIST_WITHIN: Duration = Duration::from_secs(10);

/// Looks at the list of one pm2; each feed wants one service of it.
pub struct Pm2Restarts {
    /// Relative to the site.
    pub home: String,
    pub program: String,
    pub services: Vec<String>,
}

impl Look for Pm2Restarts {
    fn look(&mut self, around: Around<'_>, _: Option<&Kept>) -> Looked {
        let home = around.site.join(&self.home);
        if let Err(e) = UnixStream::connect(home.join("rpc.sock")) {
            return Looked::nothing(format!("no pm2 answers in {}: {e}", self.home));
        }
        let argv = [self.program.clone(), "jlist".to_owned()];
        // Silent: nothing but the list; pm2 prints notices among its answers.
        let env = [("PM2_HOME", home.to_string_lossy().into_owned()), ("PM2_SILENT", "true".to_owned())];
        let ran = match command::run(around.site, &argv, &env, LIST_WITHIN, LIST_BYTES_MAX) {
            Ok(ran) if ran.is_good() && !ran.is_cut => ran,
            Ok(ran) if ran.is_cut => {
                return Looked::nothing(format!("pm2's list is longer than {LIST_BYTES_MAX} bytes"));
            }
            Ok(ran) => return Looked::nothing(format!("`{} jlist` {}", self.program, ran.told())),
            Err(why) => return Looked::nothing(format!("`{} jlist` {why}", self.program)),
        };
        let list = match machine::pm2_list(&ran.stdout) {
            Ok(list) => list,
            Err(e) => {
                let why = neutralise(&e.to_string());
                return Looked::nothing(format!("`{} jlist` printed no list: {why}", self.program));
            }
        };
        // A service may have several processes.
        let restarts = |name: &String| {
            let own: Vec<u64> = list.iter().filter(|p| p.name == *name).map(|p| p.pm2_env.restart_time).collect();
            (!own.is_empty()).then(|| number(own.iter().fold(0, |sum, n| sum.saturating_add(*n))))
        };
        let mut looked = Looked::values(around.clock.now(), self.services.iter().map(restarts));
        let unknown: Vec<&str> = self.services.iter().filter(|s| restarts(s).is_none()).map(String::as_str).collect();
        if !unknown.is_empty() {
            looked.trouble = Some(format!("pm2 knows no process {}", unknown.join(", ")));
        }
        looked
    }
}
