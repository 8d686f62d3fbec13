//! What the frame shows of itself at the HTTPS door: the page of `/metrics`, and its settings.
//!
//! It decides nothing: who may look, the gateway knows. Invariant: the page is made once a second
//! at most, however often somebody looks.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gateway::{Setting, Shown};

use crate::admin::{Format, Observed};
use crate::clock;

/// A page is shown again for this long.
const PAGE_AGE_MS: u64 = 1_000;

/// What is shown, before and after there is a frame to look at.
pub(crate) struct Console {
    observed: OnceLock<Arc<dyn Observed>>,
    /// The last page, and when it was made by the monotonic clock.
    page: Mutex<Option<(u64, String)>>,
    settings: Vec<Setting>,
}

impl Console {
    pub(crate) fn new(settings: Vec<Setting>) -> Self {
        Self { observed: OnceLock::new(), page: Mutex::new(None), settings }
    }

    /// From now on this is what is looked at; a second one is ignored.
    pub(crate) fn open(&self, observed: Arc<dyn Observed>) {
        let _ = self.observed.set(observed);
    }

    fn page_at(&self, now_ms: u64) -> Option<String> {
        let observed = self.observed.get()?;
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        match &*page {
            Some((made_ms, text)) if now_ms.saturating_sub(*made_ms) < PAGE_AGE_MS => {
                Some(text.clone())
            }
            _ => {
                let text = observed.metrics(Format::Text);
                *page = Some((now_ms, text.clone()));
                Some(text)
            }
        }
    }
}

impl Shown for Console {
    fn figures(&self) -> Option<String> {
        self.page_at(clock::monotonic_ms())
    }

    fn settings(&self) -> &[Setting] {
        &self.settings
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
        let console = Console::new(Vec::new());
        assert_eq!(console.page_at(5_000), None, "there is nothing to look at");
        console.open(Arc::new(Looks::default()));
        let page = |now_ms| console.page_at(now_ms).unwrap();
        assert_eq!([page(5_000), page(5_999), page(6_000), page(6_500)], ["0", "0", "1", "1"]);
    }
}
