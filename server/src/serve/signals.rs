//! SIGTERM and SIGINT, on a thread of their own: the first one asks for the end, a second one is
//! the end. Invariant: it outlives the runtime of the doors, so that an operator who insists is
//! heard whatever the end waits for.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::exit::{Exit, Failure, OrExit as _};

/// Listens from now on; what it returns is told the first signal.
pub(super) fn listen() -> Result<oneshot::Receiver<()>, Failure> {
    const HINT: &str = "cannot listen for signals";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .or_exit(Exit::Io, HINT)?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::new()?
    };
    let (tell, told) = oneshot::channel();
    let listening = move || {
        runtime.block_on(async {
            signals.next().await;
            // Whoever waited for it may have failed, and ends as well.
            let _ = tell.send(());
            signals.next().await;
        });
        tracing::warn!("a second signal: leaving at once");
        // The operator insists: nothing acknowledged is lost by leaving now.
        std::process::exit(i32::from(Exit::Temporary as u8));
    };
    std::thread::Builder::new().name("signals".into()).spawn(listening).or_exit(Exit::Io, HINT)?;
    Ok(told)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).or_exit(Exit::Io, "cannot listen for signals");
        let terminate = listen(SignalKind::terminate())?;
        let interrupt = listen(SignalKind::interrupt())?;
        Ok(Self { terminate, interrupt })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
