//! The server's identity: readable by its owner only, of one piece, vouched for by its own bundle,
//! and not about to end.

use std::time::Duration;

use identity::{CA_KEY_FILE, FileSource, Material, RolePatterns, UnixTime};

use super::Finding;
use crate::config::Config;

const DAY_S: u64 = 24 * 3_600;
/// Left of a certificate, beside a quarter of its life: less and nobody seems to renew it.
const LEFT_MIN_S: u64 = 30 * DAY_S;

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let check = "certificate";
    let source = match FileSource::open(&config.identity_dir) {
        Ok(source) => source,
        Err(error) => {
            let cure = "bezant init makes one; else write svid.pem, svid.key (mode 0600) and \
                        bundle.pem of one issue";
            return vec![Finding::fail(check, error.to_string(), cure)];
        }
    };
    let material = source.current();
    let now = UnixTime::now();
    let mut findings = vec![chain(&material, now)];
    // What vouches for it may end before it does.
    let until = material.judge_own(now).map_or_else(|_| material.not_after(), |own| own.not_after);
    let from = material.not_before();
    findings.push(expiry(now.as_secs(), from.as_secs(), until.as_secs()));
    let bundles: Vec<_> = material.bundles().trust_domains().map(ToString::to_string).collect();
    findings.push(Finding::ok("trust bundle", format!("of {}", bundles.join(", "))));
    let has_ca = config.data_dir.join("identity/ca").join(CA_KEY_FILE).exists();
    let is_local = config.quic.ip().is_loopback() && config.https.ip().is_loopback();
    findings.extend(development(has_ca, is_local));
    findings
}

/// Its own bundle must vouch for it, as every peer of the same trust domain will ask.
fn chain(material: &Material, now: UnixTime) -> Finding {
    let check = "certificate";
    let id = material.spiffe_id();
    if let Err(error) = material.judge_own(now) {
        let cure = "clients will refuse it: write svid.pem, svid.key and bundle.pem of one issuer";
        return Finding::fail(check, format!("{id}: {error}"), cure);
    }
    match RolePatterns::default().role_of(id, material.trust_domain()) {
        Ok(identity::Role::Peer) => Finding::ok(check, format!("{id}, vouched for by its bundle")),
        Ok(role) => {
            let cure = "clients expect spiffe://<trust domain>/frame/<name>: issue that";
            Finding::fail(check, format!("{id} is the identity of a role: {role}"), cure)
        }
        Err(error) => {
            let cure = "clients expect spiffe://<trust domain>/frame/<name>: issue that";
            Finding::fail(check, format!("{id}: {error}"), cure)
        }
    }
}

fn expiry(now_s: u64, from_s: u64, until_s: u64) -> Finding {
    let check = "certificate end";
    if now_s < from_s {
        let cure = "set the clock, or write one that has begun";
        return Finding::fail(check, format!("it begins in {}", span(from_s - now_s)), cure);
    }
    let Some(left_s) = until_s.checked_sub(now_s) else {
        let cure = "write a new one into identity.dir: a running frame takes it up by itself";
        return Finding::fail(check, format!("it ended {} ago", span(now_s - until_s)), cure);
    };
    let found = format!("in {}", span(left_s));
    let life_s = until_s.saturating_sub(from_s);
    if left_s < LEFT_MIN_S && left_s < life_s / 4 {
        let cure = "less than a quarter of its life is left: see that somebody renews it";
        return Finding::warn(check, found, cure);
    }
    Finding::ok(check, found)
}

fn development(has_ca: bool, is_local: bool) -> Option<Finding> {
    let check = "certificate authority";
    if !has_ca {
        return None;
    }
    let found = "the key of the development CA lies beside the frame";
    if is_local {
        return Some(Finding::ok(check, format!("{found}; the doors are on loopback")));
    }
    let cure = "who reads it can be anybody, the mint included: issue certificates elsewhere and \
                move identity/ca away";
    Some(Finding::warn(check, format!("{found}, whose doors others reach"), cure))
}

fn span(seconds: u64) -> String {
    if seconds >= 2 * DAY_S {
        return format!("{} days", seconds / DAY_S);
    }
    format!("{:?}", Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn an_end_is_near_by_the_certificates_own_life() {
        let day = DAY_S;
        for (now, from, until, verdict) in [
            (100, 200, 300, Verdict::Fail),
            (301, 200, 300, Verdict::Fail),
            // A year's, with half of it left, then a month, then three weeks.
            (180 * day, 0, 365 * day, Verdict::Ok),
            (335 * day, 0, 365 * day, Verdict::Ok),
            (344 * day, 0, 365 * day, Verdict::Warn),
            // An hour's, renewed at half of its life, and not renewed.
            (1_800, 0, 3_600, Verdict::Ok),
            (2_800, 0, 3_600, Verdict::Warn),
        ] {
            assert_eq!(expiry(now, from, until).verdict, verdict, "{now} of {from} to {until}");
        }
    }

    #[test]
    fn the_development_ca_is_for_loopback() {
        assert_eq!(development(false, false), None);
        assert_eq!(development(true, true).unwrap().verdict, Verdict::Ok);
        assert_eq!(development(true, false).unwrap().verdict, Verdict::Warn);
    }
}
