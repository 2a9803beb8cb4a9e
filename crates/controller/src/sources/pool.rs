//! Threads that look. As many as look at a time, up to a limit; those that have nothing to do for a while end.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Looks under way at a time. More than any site has sources that hang.
const THREADS_MAX: usize = 64;
/// A thread without work ends after so long.
const IDLE_FOR: Duration = Duration::from_secs(60);
/// A look needs no more.
const STACK_BYTES: usize = 512 << 10;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They go on with what is under way when this is dropped, and end then.
#[derive(Default)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    woken: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    is_closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing of it is left half-done: each change is one statement.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                job();
                queue = self.lock();
                continue;
            }
            if queue.is_closed {
                break;
            }
            queue.idle += 1;
            let (woken, waited) = self.woken.wait_timeout(queue, IDLE_FOR).unwrap_or_else(PoisonError::into_inner);
            queue = woken;
            queue.idle -= 1;
            if waited.timed_out() && queue.jobs.is_empty() {
                break;
            }
        }
        queue.threads -= 1;
    }
}

impl Pool {
    /// Does `job` as soon as a thread is free. It must not panic.
    pub fn submit(&self, job: Job) {
        let mut queue = self.shared.lock();
        queue.jobs.push_back(job);
        if queue.idle >= queue.jobs.len() || queue.threads >= THREADS_MAX {
            drop(queue);
            self.shared.woken.notify_one();
            return;
        }
        queue.threads += 1;
        drop(queue);
        let shared = self.shared.clone();
        let thread = thread::Builder::new().name("unship-look".to_owned()).stack_size(STACK_BYTES);
        if let Err(error) = thread.spawn(move || shared.work()) {
            // The others come to it; without any, the next one tries again.
            tracing::warn!(%error, "no thread for a look");
            self.shared.lock().threads -= 1;
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.is_closed = true;
        queue.jobs.clear();
        drop(queue);
        self.shared.woken.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn one_that_hangs_holds_up_no_other_and_threads_are_used_again() {
        let pool = Pool::default();
        let (release, hung) = mpsc::channel::<()>();
        pool.submit(Box::new(move || {
            let _ = hung.recv();
        }));
        for _ in 0..200 {
            let (done, was_done) = mpsc::channel();
            pool.submit(Box::new(move || {
                let _ = done.send(());
            }));
            was_done.recv().expect("done although another hangs");
            // It says so before it is idle again.
            while pool.shared.lock().idle == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(pool.shared.lock().threads, 2, "one hangs, one does the rest");
        drop(release);
    }

    #[test]
    fn threads_are_bounded_and_what_waits_is_done_later() {
        let pool = Pool::default();
        let (sender, done) = mpsc::channel();
        let gates: Vec<_> = (0..THREADS_MAX + 10)
            .map(|_| {
                let (gate, closed) = mpsc::channel::<()>();
                let sender = sender.clone();
                pool.submit(Box::new(move || {
                    let _ = closed.recv();
                    let _ = sender.send(());
                }));
                gate
            })
            .collect();
        assert_eq!(pool.shared.lock().threads, THREADS_MAX);
        let all = gates.len();
        drop(gates);
        drop(sender);
        assert_eq!(done.iter().count(), all);
    }
}
