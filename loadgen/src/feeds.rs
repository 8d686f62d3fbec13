//! Feeds that are held open beside a load: each on a connection of its own, each of an owner to
//! whom nothing happens. What they cost is what the load is slower by. They are opened one after
//! the other, with more patience than a client has whom somebody waits for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::{Client, Connector, Follow, OwnerId, Told};
use tokio::task::JoinSet;

use crate::run::{RunError, connector};

/// Connections that a frame lets one auditor have.
const OF_ONE_MAX: usize = 16;
/// How long one may take to begin, on a machine that others keep busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// Owners whom no load has.
const FIRST_OWNER: OwnerId = 0xfeed << 112;

/// Feeds that are open.
#[derive(Debug)]
pub struct IdleFeeds {
    feeds: JoinSet<()>,
    events: Arc<AtomicU64>,
    connectors: Vec<Connector>,
}

impl IdleFeeds {
    /// Opens `count` feeds with the auditors whose identities are the directories in `identities`.
    ///
    /// # Errors
    ///
    /// When there are too few identities, or the frame refuses one.
    pub async fn open(addr: SocketAddr, identities: &Path, count: usize) -> Result<Self, RunError> {
        let unusable = |cause: String| RunError::Identity(identities.to_owned(), cause);
        let entries = std::fs::read_dir(identities).map_err(|error| unusable(error.to_string()))?;
        let mut directories: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        directories.sort();
        if directories.len() * OF_ONE_MAX < count {
            return Err(unusable(format!("{count} feeds need one identity for each {OF_ONE_MAX}")));
        }
        let mut open =
            Self { feeds: JoinSet::new(), events: Arc::default(), connectors: Vec::new() };
        let mut options = client::Options::default();
        (options.connect_timeout, options.request_timeout) = (PATIENCE, PATIENCE);
        let mut owner = FIRST_OWNER;
        for directory in directories.iter().take(count.div_ceil(OF_ONE_MAX)) {
            let connector = connector(addr, directory, options.clone())?;
            for _ in 0..OF_ONE_MAX.min(count - open.feeds.len()) {
                owner += 1;
                let wrong = |error| RunError::Client("following", error);
                let client = Client::open(&connector).await.map_err(wrong)?;
                let feed = client.follow(Follow::default().account(owner)).await;
                let (mut feed, events) = (feed.map_err(wrong)?, Arc::clone(&open.events));
                open.feeds.spawn(async move {
                    while let Ok(told) = feed.next().await {
                        let is_event = matches!(told, Told::Event(_));
                        events.fetch_add(u64::from(is_event), Ordering::Relaxed);
                    }
                });
            }
            open.connectors.push(connector);
        }
        Ok(open)
    }

    /// Closes them; says how many were still open, and how many events they were told.
    pub async fn close(mut self) -> (usize, u64) {
        while self.feeds.try_join_next().is_some() {}
        let open = self.feeds.len();
        self.feeds.shutdown().await;
        for connector in self.connectors {
            connector.wait_idle().await;
        }
        (open, self.events.load(Ordering::Relaxed))
    }
}
