//! The runner on its own thread with a journal that keeps growing.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use settlement::{Handle, Hooks, Pace, Runner, Settings, Sink, Status, Stop, Watermark, channel};

use crate::journal::{FRAME, Past, Shared};

struct Live {
    start: Instant,
    journal: Shared,
    handle: Handle,
}

impl Hooks for Live {
    fn now_ms(&mut self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap()
    }

    fn now_ns(&mut self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap()
    }

    fn request_cut(&mut self, complete: bool) {
        let cut = self.journal.lock().unwrap().cut(complete);
        self.handle.deliver(cut);
    }

    fn settled(&mut self, _: &Watermark) {}
}

/// Settlement under way.
pub(crate) struct Settlement {
    thread: JoinHandle<Stop>,
    handle: Handle,
    journal: Shared,
    pub(crate) status: Arc<Status>,
}

impl Settlement {
    /// Starts settling `journal` into `sink`, nearly without pause between cuts.
    pub(crate) fn start(sink: impl Sink + 'static, journal: &Shared) -> Self {
        let settings = Settings {
            pace: Pace { interval_ms: 1, ..Pace::STEADY },
            check_every_ms: 20,
            backoff_first_ms: 5,
            backoff_max_ms: 50,
            ..Settings::new(FRAME, journal.lock().unwrap().epoch, true, protocol::Sequence(0))
        };
        let (handle, inbox) = channel();
        let status = Arc::new(Status::default());
        let hooks =
            Live { start: Instant::now(), journal: journal.clone(), handle: handle.clone() };
        let mut runner = Runner::new(settings, sink, Past(journal.clone()), hooks, status.clone());
        let thread = thread::spawn(move || runner.run(&inbox));
        Self { thread, handle, journal: journal.clone(), status }
    }

    /// Executes commands until `done`, a few at a time.
    pub(crate) fn load_until(&self, done: impl Fn(&Status) -> bool) {
        let started = Instant::now();
        while !done(&self.status) {
            self.journal.lock().unwrap().execute(3);
            thread::sleep(Duration::from_millis(1));
            assert!(started.elapsed() < Duration::from_secs(300), "no progress: {:?}", self.status);
        }
    }

    /// Executes commands until `batches` more are settled.
    pub(crate) fn load(&self, batches: u64) {
        let before = self.status.batches();
        self.load_until(|status| status.batches() >= before + batches);
    }

    /// Settles the rest and ends.
    pub(crate) fn drain(self) {
        self.handle.drain(u64::MAX - 1);
        assert_eq!(self.thread.join().unwrap(), Stop::Drained);
        let through = self.journal.lock().unwrap().through();
        assert_eq!(self.status.settled().0, through);
    }

    /// Waits for the end that trouble brings.
    pub(crate) fn end(self) -> Stop {
        self.thread.join().unwrap()
    }
}
