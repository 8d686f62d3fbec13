//! The session: requests that survive lost connections.
//!
//! It connects again and sends the same commands with the same ids, which the frame answers with
//! the first outcome. It never makes new ids, and never reports an unknown outcome as a failure.
//! Invariant: it returns an outcome, or proof that nothing was sent, or [`Error::Unknown`].

use std::time::{Duration, Instant};

use protocol::answer::Answer;
use protocol::status::Advice;
use protocol::{Command, Status};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout_at};

use crate::connection::Client;
use crate::error::{End, Error};
use crate::list::{AccountList, AccountPage};
use crate::query::{Query, View};
use crate::quic::Connector;
use crate::reply::Reply;

/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A client that connects again and resolves unknown outcomes.
#[derive(Debug)]
pub struct Session {
    connector: Connector,
    current: Mutex<Option<Client>>,
}

/// How far one call has come.
pub(crate) struct Attempts {
    started: Instant,
    until: tokio::time::Instant,
    pause: Duration,
    pub(crate) count: u32,
    may_have_sent: bool,
}

impl Session {
    /// A session over `connector`; it connects with the first request.
    #[must_use]
    pub fn new(connector: Connector) -> Self {
        Self { connector, current: Mutex::new(None) }
    }

    /// Closes the connection, so that the frame knows at once: to be called before a process ends.
    pub async fn close(self) {
        if let Some(client) = self.current.into_inner() {
            client.close();
        }
        self.connector.wait_idle().await;
    }

    /// The present connection, a new one if the last has ended.
    ///
    /// # Errors
    ///
    /// Why there is none; this makes one attempt.
    pub async fn client(&self) -> Result<Client, Error> {
        let mut current = self.current.lock().await;
        if let Some(client) = current.as_ref().filter(|client| client.ended().is_none()) {
            return Ok(client.clone());
        }
        *current = None;
        let client = Client::open(&self.connector).await?;
        *current = Some(client.clone());
        Ok(client)
    }

    /// Executes `commands`, sending them again with the same ids until there is a reply.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when nothing was ever sent; [`Error::Unknown`] when the deadline
    /// passed in between: call again with the same commands. Errors that no retry can cure come
    /// as they are, unless something was sent before.
    pub async fn execute(&self, commands: &[Command]) -> Result<Reply, Error> {
        let mut attempts = Attempts::new(&self.connector);
        loop {
            let result = self.attempt(commands, &mut attempts).await;
            match result {
                Ok(reply) if attempts.may_have_sent && forgets(&reply) => {
                    return Err(attempts.give_up(Error::Read(Status::IdTooOld)));
                }
                Ok(reply) if reply.refused().is_some_and(may_retry) && !attempts.is_over() => {
                    // Nothing of it was sequenced, in this attempt.
                    attempts.wait().await;
                }
                Ok(reply) if attempts.may_have_sent && reply.refused().is_some() => {
                    let status = reply.refused().unwrap_or(Status::Busy);
                    return Err(attempts.give_up(Error::Read(status)));
                }
                Ok(reply) => return Ok(reply),
                Err(error) if error.is_transient() && !attempts.is_over() => attempts.wait().await,
                Err(error) => return Err(attempts.give_up(error)),
            }
        }
    }

    /// Asks one query, again if the connection is lost.
    ///
    /// # Errors
    ///
    /// The frame's refusal, or why there is no answer before the deadline.
    pub async fn ask<V: View>(&self, query: Query<V>) -> Result<V, Error> {
        let answers = self.read(&[query.command]).await?;
        let answer = answers
            .first()
            .ok_or(Error::Lost { end: End::Unexpected("a reply without its answer") })?;
        query.view(answer)
    }

    /// One page of the accounts of a host, again if the connection is lost.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub async fn accounts(&self, list: AccountList) -> Result<AccountPage, Error> {
        list.page(&self.read(&[*list.command()]).await?)
    }

    /// Reads, again if the connection is lost.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub async fn read(&self, reads: &[Command]) -> Result<Vec<Answer>, Error> {
        let mut attempts = Attempts::new(&self.connector);
        loop {
            attempts.count += 1;
            let read = async { self.client().await?.read(reads).await };
            let result = timeout_at(attempts.until, read).await;
            match result.unwrap_or_else(|_| Err(attempts.unanswered())) {
                Err(error) if error.is_transient() && !attempts.is_over() => {
                    self.drop_silent(&error).await;
                    attempts.wait().await;
                }
                result => return result,
            }
        }
    }

    async fn attempt(&self, commands: &[Command], attempts: &mut Attempts) -> Result<Reply, Error> {
        attempts.count += 1;
        let client = match timeout_at(attempts.until, self.client()).await {
            Ok(client) => client?,
            Err(_) => {
                return Err(Error::ConnectTimeout { after: attempts.started.elapsed() });
            }
        };
        let request = client.request(commands);
        let result = timeout_at(attempts.until, request)
            .await
            .unwrap_or_else(|_| Err(attempts.unanswered()));
        if let Err(error) = &result {
            attempts.may_have_sent |= error.is_unknown();
            self.drop_silent(error).await;
        }
        result
    }

    pub(crate) fn attempts(&self) -> Attempts {
        Attempts::new(&self.connector)
    }

    /// A connection that does not answer is given up, so that the next attempt makes another.
    pub(crate) async fn drop_silent(&self, error: &Error) {
        if matches!(error, Error::Unanswered { .. })
            && let Some(silent) = self.current.lock().await.take()
        {
            silent.close();
        }
    }
}

impl Attempts {
    fn new(connector: &Connector) -> Self {
        let options = connector.options();
        Self {
            started: Instant::now(),
            until: tokio::time::Instant::now() + options.retry_deadline,
            pause: options.retry_pause,
            count: 0,
            may_have_sent: false,
        }
    }

    /// Whether the next attempt would begin after the deadline.
    pub(crate) fn is_over(&self) -> bool {
        tokio::time::Instant::now() + self.pause >= self.until
    }

    fn unanswered(&self) -> Error {
        Error::Unanswered { after: self.started.elapsed() }
    }

    pub(crate) async fn wait(&mut self) {
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    pub(crate) fn give_up(&self, cause: Error) -> Error {
        let (attempts, after) = (self.count, self.started.elapsed());
        if self.may_have_sent {
            let cause = Box::new(cause);
            return Error::Unknown { attempts, after, cause };
        }
        if cause.is_transient() {
            let cause = Box::new(cause);
            return Error::Unavailable { attempts, after, cause };
        }
        cause
    }
}

fn may_retry(status: Status) -> bool {
    status.advice() == Advice::RetrySameId
}

/// The frame no longer knows an id: that says nothing about an earlier attempt.
fn forgets(reply: &Reply) -> bool {
    let is_too_old = |status| status == Status::IdTooOld;
    reply.refused().is_some_and(is_too_old)
        || reply.outcomes().iter().any(|outcome| is_too_old(outcome.status))
}
