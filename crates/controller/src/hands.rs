//! The operator's calls, each on a thread of its own, so that neither a plan nor a run keeps the daemon from its samples.
//! One run at a time; plans go beside it, one at a time, those that a decision waits for first.

use crate::{
    ports::{Exposed, Operator, Order, Planned, RunSummary},
    wake::Wake,
};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};
use unship_rollback::{RunId, incident::IncidentId};

/// What is asked of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// A plan that a decision waits for.
    Plan(IncidentId, String),
    /// A plan that shows whether a story could be taken back.
    Ready(String),
    /// A run.
    Run(IncidentId, Order),
    /// A run of somebody else's that was cut off.
    Finish,
    /// The end of an exposure.
    Undo(RunId),
    /// Which safety properties are weakened now.
    Exposed,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// Of [`Job::Plan`].
    Plan(IncidentId, String, Result<Planned, String>),
    /// Of [`Job::Ready`].
    Ready(String, Result<Planned, String>),
    /// Of [`Job::Run`].
    Run(IncidentId, Order, Result<RunSummary, String>),
    /// Of [`Job::Finish`].
    Finish(Result<Option<(RunId, RunSummary)>, String>),
    /// Of [`Job::Undo`].
    Undo(RunId, Result<RunSummary, String>),
    /// Of [`Job::Exposed`].
    Exposed(Result<Vec<Exposed>, String>),
}

struct Queue {
    jobs: Mutex<(VecDeque<Job>, bool)>,
    bell: Condvar,
}

impl Queue {
    fn held(&self) -> MutexGuard<'_, (VecDeque<Job>, bool)> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next one; `None` when it is all over.
    fn next(&self) -> Option<Job> {
        let waited = self.bell.wait_while(self.held(), |(jobs, is_over)| jobs.is_empty() && !*is_over);
        let mut jobs = waited.unwrap_or_else(PoisonError::into_inner);
        if jobs.1 { None } else { jobs.0.pop_front() }
    }
}

/// See the module.
pub struct Hands {
    runs: Arc<Queue>,
    plans: Arc<Queue>,
    open: AtomicUsize,
    done: Receiver<Done>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Hands {
    /// Two threads that wait for something to do.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn new(operator: &Arc<dyn Operator>, wake: &Arc<Wake>) -> std::io::Result<Hands> {
        let (sender, done) = channel();
        let mut threads = Vec::new();
        let mut begin = |name: &str| {
            let queue = Arc::new(Queue { jobs: Mutex::default(), bell: Condvar::new() });
            let (operator, wake, queue_there) = (operator.clone(), wake.clone(), queue.clone());
            let sender = sender.clone();
            let work = move || work(&queue_there, &*operator, &sender, &wake);
            threads.push(thread::Builder::new().name(name.to_owned()).spawn(work)?);
            Ok::<_, std::io::Error>(queue)
        };
        let (runs, plans) = (begin("runs")?, begin("plans")?);
        Ok(Hands { runs, plans, open: AtomicUsize::new(0), done, threads })
    }

    /// Has it done.
    pub fn give(&self, job: Job) {
        let (queue, is_urgent) = match &job {
            Job::Run(..) | Job::Finish | Job::Undo(_) => (&self.runs, false),
            Job::Plan(..) => (&self.plans, true),
            Job::Ready(_) | Job::Exposed => (&self.plans, false),
        };
        self.open.fetch_add(1, Ordering::SeqCst);
        let mut jobs = queue.held();
        if is_urgent {
            // Behind the urgent ones that wait already.
            let at = jobs.0.iter().take_while(|job| matches!(job, Job::Plan(..))).count();
            jobs.0.insert(at, job);
        } else {
            jobs.0.push_back(job);
        }
        queue.bell.notify_all();
    }

    /// What was done since.
    pub fn done(&self) -> Vec<Done> {
        let done: Vec<Done> = self.done.try_iter().collect();
        self.open.fetch_sub(done.len(), Ordering::SeqCst);
        done
    }

    /// Whether something is asked for whose answer nobody has taken yet.
    pub fn is_at_work(&self) -> bool {
        self.open.load(Ordering::SeqCst) > 0
    }
}

impl Drop for Hands {
    /// What is in hand is finished, the rest dropped.
    fn drop(&mut self) {
        for queue in [&self.runs, &self.plans] {
            queue.held().1 = true;
            queue.bell.notify_all();
        }
        for thread in self.threads.drain(..) {
            // A panic was told where it happened.
            let _ = thread.join();
        }
    }
}

fn work(queue: &Queue, operator: &dyn Operator, done: &Sender<Done>, wake: &Wake) {
    while let Some(job) = queue.next() {
        let answer = catch_unwind(AssertUnwindSafe(|| answer(operator, job.clone())));
        // Where nobody takes it any more, it is asked again at the next start.
        let _ = done.send(answer.unwrap_or_else(|_| broken(job)));
        wake.wake();
    }
}

fn answer(operator: &dyn Operator, job: Job) -> Done {
    match job {
        Job::Plan(incident, story) => {
            let planned = operator.plan(&story);
            Done::Plan(incident, story, planned)
        }
        Job::Ready(story) => {
            let planned = operator.plan(&story);
            Done::Ready(story, planned)
        }
        Job::Run(incident, order) => {
            let ended = operator.run(&order);
            Done::Run(incident, order, ended)
        }
        Job::Finish => Done::Finish(operator.finish_cut_off()),
        Job::Undo(run) => {
            let ended = operator.undo(&run);
            Done::Undo(run, ended)
        }
        Job::Exposed => Done::Exposed(operator.exposed()),
    }
}

/// The operator has a defect; the panic was told where it happened.
fn broken(job: Job) -> Done {
    let why = "a defect of unship's ended it".to_owned();
    match job {
        Job::Plan(incident, story) => Done::Plan(incident, story, Err(why)),
        Job::Ready(story) => Done::Ready(story, Err(why)),
        Job::Run(incident, order) => Done::Run(incident, order, Err(why)),
        Job::Finish => Done::Finish(Err(why)),
        Job::Undo(run) => Done::Undo(run, Err(why)),
        Job::Exposed => Done::Exposed(Err(why)),
    }
}
