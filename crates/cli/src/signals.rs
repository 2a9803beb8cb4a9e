//! SIGINT and SIGTERM while a run is at work: the first lets the effect in hand be finished and turns the run back, the
//! second ends the process at once. What it leaves can be resumed.

use crate::{exit::Exit, out::Out};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use unship_host::sandbox::Interrupt;

/// Whether a person asked to stop.
#[derive(Clone, Default)]
pub struct Stopping(Arc<AtomicBool>);

impl Stopping {
    /// Watches for the signals from now on. `interrupt` ends a guest that is running.
    ///
    /// # Errors
    /// What the system says.
    #[expect(
        clippy::disallowed_methods,
        reason = "at once is what the second signal asks for; what is left can be resumed"
    )]
    pub fn watch(out: Out, interrupt: Option<Interrupt>) -> std::io::Result<Stopping> {
        let stopping = Stopping::default();
        let (mut signals, asked) = (Signals::new([SIGINT, SIGTERM])?, stopping.0.clone());
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for _ in signals.forever() {
                if asked.swap(true, Ordering::Relaxed) {
                    out.note("stopped at once; `unship resume` goes on, `unship resume --undo` takes it back");
                    std::process::exit(Exit::Stuck as i32);
                }
                out.note(
                    "stopping: the effect in hand is finished, then everything is taken back; once more stops at once",
                );
                if let Some(interrupt) = &interrupt {
                    interrupt.set();
                }
            }
        })?;
        Ok(stopping)
    }

    /// Whether a person asked.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
