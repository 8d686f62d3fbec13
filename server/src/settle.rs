//! The settler's thread: lends settlement its clock, its way to ask the engine for cuts, and the
//! journal as history; tells the journal stage how far SQL has come.

use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use pipeline::{Control, ControlHandle, Marks};
use protocol::cut::Cut;
use settlement::{Handle, Hooks, Runner, Settings, Status, Stop, Watermark};

use crate::clock;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::history::JournalHistory;
use crate::sinks::AnySink;
use crate::threads::make_way;

/// Pause before a cut is asked for again when the engine has too many questions waiting.
const ASK_AGAIN: Duration = Duration::from_millis(1);

/// What the settler works with.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) sink: AnySink,
    pub(crate) history: JournalHistory,
    pub(crate) control: ControlHandle,
    pub(crate) marks: Arc<Marks>,
}

/// A running settler.
pub(crate) struct Settling {
    handle: Handle,
    thread: JoinHandle<Stop>,
    ended: std::sync::mpsc::Receiver<()>,
    /// Its figures.
    pub(crate) status: Arc<Status>,
}

/// Starts the settler.
pub(crate) fn start(parts: Parts) -> Result<Settling, Failure> {
    let Parts { settings, sink, history, control, marks } = parts;
    let (handle, inbox) = settlement::channel();
    let (cuts, arriving) = crossbeam_channel::bounded(1);
    let deliver = handle.clone();
    std::thread::Builder::new()
        .name("cuts".into())
        .spawn(move || forward(&arriving, &deliver))
        .or_exit(Exit::Io, "cannot start the thread cuts")?;
    let status = Arc::new(Status::default());
    let makes_way = !settings.history;
    let hooks = EngineHooks { control, marks, cuts };
    let mut runner = Runner::new(settings, sink, history, hooks, Arc::clone(&status));
    let (end, ended) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("settler".into())
        .spawn(move || {
            // While the cores are full, its commits take longer and it settles more changes at a
            // time. Postings do not become fewer by waiting, and those rebuilt from the journal
            // hold a transaction open.
            if makes_way {
                make_way();
            }
            let stop = runner.run(&inbox);
            // Nobody may be waiting for the end.
            let _ = end.send(());
            stop
        })
        .or_exit(Exit::Io, "cannot start the thread settler")?;
    Ok(Settling { handle, thread, ended, status })
}

/// Hands each cut on to the settler.
fn forward(arriving: &Receiver<Cut>, deliver: &Handle) {
    for cut in arriving {
        if !deliver.deliver(cut) {
            return;
        }
    }
}

impl Settling {
    /// One last cut, committed, within `patience`; says how it ended.
    pub(crate) fn drain(self, patience: Duration) -> Option<Stop> {
        let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.handle.drain(clock::monotonic_ms().saturating_add(patience_ms));
        match self.ended.recv_timeout(patience + Duration::from_secs(1)) {
            // A database that hangs in a call is left behind; nothing depends on it.
            Err(RecvTimeoutError::Timeout) => None,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => self.thread.join().ok(),
        }
    }
}

struct EngineHooks {
    control: ControlHandle,
    marks: Arc<Marks>,
    cuts: Sender<Cut>,
}

impl Hooks for EngineHooks {
    fn now_ms(&mut self) -> u64 {
        clock::monotonic_ms()
    }

    fn now_ns(&mut self) -> u64 {
        clock::boot_ns()
    }

    fn request_cut(&mut self, complete: bool) {
        loop {
            let question = Control::OpenCut { complete, reply: self.cuts.clone() };
            if self.control.send(question).is_ok() {
                return;
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }

    fn settled(&mut self, watermark: &Watermark) {
        self.marks.settle(watermark.through().0);
    }
}
