//! The place of a span in the trace of somebody else, by a `traceparent` of W3C Trace Context.
//!
//! What cannot be read in full names nothing. Invariant: nothing but the two ids and the flag of a
//! client reaches a span.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const NAME: &str = "traceparent";
/// Digits of its parts: version, trace, span, flags.
const PARTS: [usize; 4] = [2, 32, 16, 2];

/// Puts a span that has just begun into the trace that a `traceparent` names, if it is one.
pub(super) fn follow(span: &Span, traceparent: &str) {
    if !is_whole(traceparent) {
        return;
    }
    let propagator = TraceContextPropagator::new();
    let named = propagator.extract_with_context(&Context::new(), &Carrier(traceparent));
    if named.span().span_context().is_valid() {
        // Refused for spans that nobody collects.
        let _ = span.set_parent(named);
    }
}

/// The propagator takes numbers that are too short or have signs, too.
fn is_whole(traceparent: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut parts = traceparent.split('-');
    PARTS.iter().all(|len| parts.next().is_some_and(|part| part.len() == *len && is_hex(part)))
        && parts.next().is_none()
}

/// A header alone: a `tracestate` is not looked at.
struct Carrier<'a>(&'a str);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == NAME).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![NAME]
    }
}
