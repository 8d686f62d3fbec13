//! A door of the frame as a test sees it: one caller who sends commands and hears what becomes of
//! them, whatever the protocol. It refuses to retry. Invariant: every request has one status.

use client::{Client, Command, Status};
use protocol::Kind;

/// One caller at one door.
pub(crate) trait Door: Send + Sync + 'static {
    /// Who the frame takes the caller for.
    fn principal(&self) -> u128;

    /// What becomes of one command, or one read, with its data slots.
    fn execute(&self, slots: &[Command]) -> impl Future<Output = Status> + Send;
}

/// The QUIC door.
pub(crate) struct Quic(pub(crate) Client);

impl Door for Quic {
    fn principal(&self) -> u128 {
        self.0.hello().principal
    }

    async fn execute(&self, slots: &[Command]) -> Status {
        if Kind::try_from(slots[0].kind).is_ok_and(Kind::is_read) {
            let answers = self.0.read(slots).await.unwrap();
            // Of a list the last answer is the one that speaks of the read itself.
            return Status::from_number(answers.last().unwrap().status).unwrap();
        }
        let reply = self.0.request(slots).await.unwrap();
        reply.refused().unwrap_or_else(|| reply.outcomes()[0].status)
    }
}
