//! What the frame shows of itself at the HTTPS door: the page of `/metrics`, its settings and
//! certificates, and what the engine tells of accounts and holds.
//!
//! It decides nothing: who may look, the gateway knows. Invariant: the page is made once a second
//! at most, however often somebody looks.

mod overview;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gateway::{Certificate, Setting, Shown};
use identity::FileSource;
use pipeline::ControlHandle;
use protocol::overview::{DueHolds, Ranking};

use crate::admin::{Format, Observed};
use crate::clock;
use overview::Overview;

/// A page is shown again for this long.
const PAGE_AGE_MS: u64 = 1_000;

/// What is shown, before and after there is a frame to look at.
pub(crate) struct Console {
    page: Page,
    overview: Arc<Overview>,
    identity: Arc<FileSource>,
    settings: Vec<Setting>,
}

impl Console {
    pub(crate) fn new(
        settings: Vec<Setting>,
        identity: Arc<FileSource>,
        control: ControlHandle,
    ) -> Self {
        let overview = Arc::new(Overview::new(control));
        Self { page: Page::default(), overview, identity, settings }
    }

    /// From now on this is what is looked at; a second one is ignored.
    pub(crate) fn open(&self, observed: Arc<dyn Observed>) {
        let _ = self.page.observed.set(observed);
    }
}

impl Shown for Console {
    fn figures(&self) -> Option<String> {
        self.page.at(clock::monotonic_ms())
    }

    fn settings(&self) -> &[Setting] {
        &self.settings
    }

    fn ranking(&self) -> Option<Arc<Ranking>> {
        self.overview.ranking()
    }

    fn due_holds(&self) -> Option<Arc<DueHolds>> {
        self.overview.due_holds()
    }

    fn certificates(&self) -> Vec<Certificate> {
        let material = self.identity.current();
        let name = material.spiffe_id().to_string();
        let not_after_s = material.not_after().as_secs();
        let mut certificates = vec![Certificate { name, is_authority: false, not_after_s }];
        for bundle in material.bundles().iter() {
            certificates.extend(bundle.ends().map(|end| Certificate {
                name: bundle.trust_domain().to_string(),
                is_authority: true,
                not_after_s: end.as_secs(),
            }));
        }
        certificates
    }
}

/// The page of `/metrics`.
#[derive(Default)]
struct Page {
    observed: OnceLock<Arc<dyn Observed>>,
    /// The last one, and when it was made by the monotonic clock.
    last: Mutex<Option<(u64, String)>>,
}

impl Page {
    fn at(&self, now_ms: u64) -> Option<String> {
        let observed = self.observed.get()?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((made_ms, text)) if now_ms.saturating_sub(*made_ms) < PAGE_AGE_MS => {
                Some(text.clone())
            }
            _ => {
                let text = observed.metrics(Format::Text);
                *last = Some((now_ms, text.clone()));
                Some(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::admin::Check;

    /// Counts how often it is looked at.
    #[derive(Default)]
    struct Looks(AtomicU64);

    impl Observed for Looks {
        fn checks(&self) -> Vec<Check> {
            Vec::new()
        }

        fn metrics(&self, _: Format) -> String {
            self.0.fetch_add(1, Ordering::Relaxed).to_string()
        }
    }

    #[test]
    fn a_page_is_made_once_a_second_at_most() {
        let page = Page::default();
        assert_eq!(page.at(5_000), None, "there is nothing to look at");
        let observed: Arc<dyn Observed> = Arc::new(Looks::default());
        assert!(page.observed.set(observed).is_ok());
        let at = |now_ms| page.at(now_ms).unwrap();
        assert_eq!([at(5_000), at(5_999), at(6_000), at(6_500)], ["0", "0", "1", "1"]);
    }
}
