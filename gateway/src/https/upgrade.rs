//! A connection that goes on with another protocol than HTTP.
//!
//! It speaks none. Invariant: what was agreed on runs in the connection's own task, so that it is
//! judged, counted and ended as the connection is, and the request that asked for it lasts as long.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// What runs instead of HTTP.
pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An extension of the answer that agrees to another protocol: what is spoken from then on.
#[derive(Clone)]
pub(crate) struct Upgrade {
    task: Arc<Mutex<Option<Task>>>,
    leaving: Arc<Notify>,
}

impl Upgrade {
    /// `speak` is given what tells it to end, and has a little time then.
    pub(crate) fn new<F>(speak: impl FnOnce(Arc<Notify>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let leaving = Arc::new(Notify::new());
        let task: Task = Box::pin(speak(Arc::clone(&leaving)));
        Self { task: Arc::new(Mutex::new(Some(task))), leaving }
    }

    /// The task, once, and what tells it to end.
    pub(super) fn take(&self) -> Option<(Task, Arc<Notify>)> {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        task.map(|task| (task, Arc::clone(&self.leaving)))
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").finish_non_exhaustive()
    }
}
