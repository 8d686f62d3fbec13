//! The gateway as the server sees it: started, watched, shut down.
//!
//! It brings no threads: its tasks run on the tokio runtime in which it is started. Invariant:
//! after [`Gateway::shutdown`] nothing of it holds the ring.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use identity::Source;
use quinn::Endpoint;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use crate::audit::Auditor;
use crate::budget::Budget;
use crate::config::{Config, FrameInfo, Lines};
use crate::desk::Desk;
use crate::https;
use crate::identify::Identified;
use crate::limiter::Limiter;
use crate::limits::HANDSHAKES_MAX;
use crate::metrics::Metrics;
use crate::quic::{self, Door};
use crate::routes;

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {cause}; choose another address or free the port")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// There is nowhere for replies to come from.
    #[error("the gateway needs between 1 and 65535 reply queues")]
    ReplyQueues,
}

/// A running gateway.
pub struct Gateway {
    endpoint: Endpoint,
    local_addr: SocketAddr,
    metrics: Arc<Metrics>,
    closing: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    https: Option<Https>,
    carriers: Vec<JoinHandle<()>>,
    desk: Arc<Desk>,
}

/// The HTTPS door, if there is one.
struct Https {
    addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Gateway {
    /// Opens the doors. Call it inside a tokio runtime, which runs the gateway's tasks.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on, or there are no reply queues.
    pub fn start<S: Source + 'static>(
        config: Config,
        source: Arc<S>,
        lines: Lines,
        info: FrameInfo,
    ) -> Result<Self, StartError> {
        let Lines { pool, publisher, replies, first_worker } = lines;
        let workers = u16::try_from(replies.len()).ok().filter(|&workers| workers > 0);
        let workers = workers.ok_or(StartError::ReplyQueues)?;
        let listen = |addr| move |cause| StartError::Listen { addr, cause };
        let endpoint = quic::open(&config, &source).map_err(listen(config.listen))?;
        let local_addr = endpoint.local_addr().map_err(listen(config.listen))?;
        let https = match config.https {
            Some(addr) => Some(https::open(addr).map_err(listen(addr))?),
            None => None,
        };
        let metrics = Arc::new(Metrics::default());
        let desk = Desk::new(pool, publisher, Arc::clone(&metrics), info);
        let identified = Arc::<Identified>::default();
        let auditor = Auditor::new(Arc::clone(&config.audit), Arc::clone(&identified));
        let carry = |queue| carrier(&desk, queue, auditor.clone());
        let carriers = replies.into_iter().map(carry).collect();
        let closing = watch::Sender::new(false);
        let tls = https::tls(&config, &source);
        let source: Arc<dyn Source> = source;
        let limiter = Limiter::new(config.limits, config.connections_max);
        let budget = Budget::new(config.receive_budget_size, config.connections_max);
        let https = https.map(|(listener, addr)| {
            let door = https::Door {
                config: config.clone(),
                source: Arc::clone(&source),
                desk: Arc::clone(&desk),
                workers,
                first_worker,
                closing: closing.subscribe(),
                identified: Arc::clone(&identified),
                limiter: Arc::clone(&limiter),
                budget: Arc::clone(&budget),
                tls,
                router: https::router(),
                templates: https::templates(),
                handshakes: https::Handshakes::new(HANDSHAKES_MAX),
                next_connection: 0.into(),
                requests: 0.into(),
            };
            let accepting = tokio::spawn(https::accept(Arc::new(door), listener));
            Https { addr, accepting }
        });
        let door = Arc::new(Door {
            config,
            source,
            desk: Arc::clone(&desk),
            workers,
            first_worker,
            closing: closing.subscribe(),
            identified,
            handshakes: 0.into(),
            next_connection: 0.into(),
            limiter,
            budget,
        });
        let accepting = tokio::spawn(quic::accept(door, endpoint.clone()));
        Ok(Self { endpoint, local_addr, metrics, closing, accepting, https, carriers, desk })
    }

    /// The address of the QUIC door.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The address of the HTTPS door, if there is one.
    #[must_use]
    pub fn https_addr(&self) -> Option<SocketAddr> {
        self.https.as_ref().map(|https| https.addr)
    }

    /// Its counters.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Stops accepting, answers what was read, tells every client, and lets go of the ring.
    /// What is not done when `deadline` has passed is cut off. Returns whether all was done.
    pub async fn shutdown(mut self, deadline: Duration) -> bool {
        let until = tokio::time::Instant::now() + deadline;
        self.closing.send_replace(true);
        self.desk.begin_close();
        if let Some(feeds) = &self.desk.info.feeds {
            feeds.close();
        }
        let mut is_done = timeout_at(until, &mut self.accepting).await.is_ok();
        if let Some(https) = &mut self.https {
            is_done &= timeout_at(until, &mut https.accepting).await.is_ok();
        }
        let reason = protocol::frame::CloseCode::ShuttingDown;
        self.endpoint.close((reason as u32).into(), b"the frame shuts down; connect again later");
        let is_idle = timeout_at(until, self.endpoint.wait_idle()).await.is_ok();
        self.let_go();
        is_done && is_idle
    }

    fn let_go(&self) {
        self.accepting.abort();
        if let Some(https) = &self.https {
            https.accepting.abort();
        }
        for carrier in &self.carriers {
            carrier.abort();
        }
        self.desk.close();
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.let_go();
    }
}

fn carrier(desk: &Arc<Desk>, queue: Arc<ring::ReplyQueue>, auditor: Auditor) -> JoinHandle<()> {
    let info = Arc::clone(desk);
    tokio::spawn(routes::carry(
        queue,
        Arc::clone(&desk.routes),
        Arc::clone(&desk.pool),
        Arc::clone(&desk.metrics),
        auditor,
        move || info.reply_info(),
    ))
}
