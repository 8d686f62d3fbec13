//! Questions to the engine that are no requests: cuts for settlement, figures for operators, what
//! is followed.
//!
//! They are answered between records and never change an outcome. Invariant: at most
//! [`CONTROLS_MAX`] wait; more are refused at once.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use engine::{Figures, Survey, Surveyed};
use protocol::cut::{Cut, SupplyRow};
use protocol::feed::Interest;
use protocol::overview::DueHolds;
use ring::Gate;

use crate::limits::CONTROLS_MAX;

/// Digests of the engine at a record boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Last sequence executed.
    pub sequence: u64,
    /// Journal time.
    pub timestamp_ns: u64,
    /// Run digest.
    pub run_digest: [u8; 16],
    /// Digest of the whole state.
    pub image_digest: [u8; 32],
}

/// A question to the engine stage. An answer that cannot be delivered is dropped.
#[derive(Debug)]
#[non_exhaustive]
pub enum Control {
    /// Opens a cut; it is sent when it is complete. Dropped unanswered while another is open.
    OpenCut {
        /// Every account, not only those that changed.
        complete: bool,
        /// Where the cut goes.
        reply: Sender<Cut>,
    },
    /// What has changed so far is settled already.
    DiscardChanges,
    /// Supply by the running sums, and how full the engine is.
    Figures {
        /// Where they go.
        reply: Sender<Figures>,
    },
    /// A step of a survey of every account.
    Survey {
        /// As far as it is.
        survey: Survey,
        /// Where it goes on.
        reply: Sender<Surveyed>,
    },
    /// The holds that end next.
    DueHolds {
        /// At most so many.
        holds_max: usize,
        /// Where they go.
        reply: Sender<DueHolds>,
    },
    /// Supply recomputed from every account; holds up the commands meanwhile.
    Recount {
        /// Where the rows go.
        reply: Sender<Vec<SupplyRow>>,
    },
    /// Says what is followed from the next record on; `None`: nothing.
    Follow {
        /// Whose effects the tap is told.
        interest: Option<Interest>,
        /// Where the last sequence goes that does not follow it yet.
        reply: Sender<u64>,
    },
    /// Digests of the run and the state; holds up the commands meanwhile.
    Digests {
        /// Where they go.
        reply: Sender<Digests>,
    },
}

/// Too many questions wait, or the engine stage is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine has {CONTROLS_MAX} questions waiting or has stopped; ask again later")]
pub struct Busy;

/// Asks the engine stage.
#[derive(Clone, Debug)]
pub struct ControlHandle {
    sender: Sender<Control>,
    gate: Arc<Gate>,
}

impl ControlHandle {
    pub(crate) fn new(gate: Arc<Gate>) -> (Self, Receiver<Control>) {
        let (sender, receiver) = bounded(CONTROLS_MAX);
        (Self { sender, gate }, receiver)
    }

    /// Sends a question; never waits.
    ///
    /// # Errors
    ///
    /// [`Busy`] when too many wait.
    pub fn send(&self, control: Control) -> Result<(), Busy> {
        self.sender.try_send(control).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Busy,
        })?;
        self.gate.notify();
        Ok(())
    }

    /// Asks for a cut.
    ///
    /// # Errors
    ///
    /// [`Busy`] when too many questions wait. The receiver is disconnected without a cut when
    /// another is open.
    pub fn open_cut(&self, complete: bool) -> Result<Receiver<Cut>, Busy> {
        self.ask(|reply| Control::OpenCut { complete, reply })
    }

    /// Questions that wait; [`CONTROLS_MAX`] may.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.sender.len()
    }

    /// Asks for the supply by the running sums, and how full the engine is.
    ///
    /// # Errors
    ///
    /// [`Busy`] when too many questions wait.
    pub fn figures(&self) -> Result<Receiver<Figures>, Busy> {
        self.ask(|reply| Control::Figures { reply })
    }

    /// Asks to go on with a survey.
    ///
    /// # Errors
    ///
    /// [`Busy`] when too many questions wait; what was found so far is lost.
    pub fn survey(&self, survey: Survey) -> Result<Receiver<Surveyed>, Busy> {
        self.ask(|reply| Control::Survey { survey, reply })
    }

    /// Asks for the holds that end next, at most `holds_max`: a few, for the commands wait.
    ///
    /// # Errors
    ///
    /// [`Busy`] when too many questions wait.
    pub fn due_holds(&self, holds_max: usize) -> Result<Receiver<DueHolds>, Busy> {
        self.ask(|reply| Control::DueHolds { holds_max, reply })
    }

    /// Asks for the supply recomputed from every account.
    ///
    /// # Errors
    ///
    /// [`Busy`] when too many questions wait.
    pub fn recount(&self) -> Result<Receiver<Vec<SupplyRow>>, Busy> {
        self.ask(|reply| Control::Recount { reply })
    }

    /// Asks for the digests.
    ///
    /// # Errors
    ///
    /// [`Busy`] when too many questions wait.
    pub fn digests(&self) -> Result<Receiver<Digests>, Busy> {
        self.ask(|reply| Control::Digests { reply })
    }

    /// Says what is followed from now on, and asks behind which sequence that holds.
    ///
    /// # Errors
    ///
    /// [`Busy`] when too many questions wait.
    pub fn follow(&self, interest: Option<Interest>) -> Result<Receiver<u64>, Busy> {
        self.ask(|reply| Control::Follow { interest, reply })
    }

    fn ask<T>(&self, control: impl FnOnce(Sender<T>) -> Control) -> Result<Receiver<T>, Busy> {
        let (reply, answer) = bounded(1);
        self.send(control(reply))?;
        Ok(answer)
    }
}
