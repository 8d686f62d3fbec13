//! The development CA issues what the rules accept, and keeps its key to itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use identity::{
    BUNDLE_FILE, CA_FILE, CA_KEY_FILE, DevCa, DevCaError, FileError, FileSource, KEY_FILE, Role,
    RolePatterns, SVID_FILE, SpiffeId, peer, still_valid,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::support::{AGENT, HOME, NOW_S, at, domain, now};

const HOUR: Duration = Duration::from_secs(3600);

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn every_role_gets_an_svid_that_passes() {
    let ca = DevCa::in_memory(&domain(HOME), now()).unwrap();
    let material = ca.issue(Role::Peer, "engine", HOUR, now()).unwrap().material().unwrap();
    for role in Role::ALL {
        let name = if role == Role::Agent { &AGENT["/agent/".len()..] } else { "north" };
        let issued = ca.issue(role, name, HOUR, now()).unwrap();
        let der = CertificateDer::from_pem_slice(issued.certificate_pem().as_bytes()).unwrap();
        // A clock that is a minute behind accepts it too; one that is two behind does not.
        let judge = |s| {
            let chain = std::slice::from_ref(&der);
            peer(chain, &material, &RolePatterns::default(), at(s))
        };
        let admitted = judge(NOW_S - 60).unwrap();
        assert_eq!(admitted.principal().role, role);
        assert_eq!(admitted.not_after(), at(NOW_S + 3600));
        assert!(judge(NOW_S - 61).is_err());
        assert!(still_valid(&admitted, &material, at(NOW_S + 3601)).is_err());
    }
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let ca = DevCa::in_memory(&domain(HOME), now()).unwrap();
    let refused = |role, name: &str| ca.issue(role, name, HOUR, now()).err().unwrap();
    for name in ["", "a/b", "..", "a b", "é"] {
        assert!(matches!(refused(Role::Mint, name), DevCaError::Name), "{name}");
    }
    assert!(matches!(refused(Role::Agent, "north"), DevCaError::Principal(_)));
    let foreign = SpiffeId::parse("spiffe://frame-b.example/frame/b").unwrap();
    let error = ca.issue_id(&foreign, &[], HOUR, now()).err().unwrap();
    assert!(matches!(error, DevCaError::OtherTrustDomain { .. }));
    let late = ca.issue(Role::Mint, "m", HOUR, at(u64::MAX)).err().unwrap();
    assert!(matches!(late, DevCaError::Clock));
    let after = at(NOW_S + 11 * 365 * 24 * 3600);
    assert!(matches!(ca.issue(Role::Mint, "m", HOUR, after).err(), Some(DevCaError::Expired)));
    let own = SpiffeId::parse(&format!("spiffe://{HOME}/frame/a")).unwrap();
    let names = ["localhost", "frame.example", "127.0.0.1", "::1"];
    let issued = ca.issue_id(&own, &names, Duration::MAX, now()).unwrap();
    assert!(issued.material().is_ok(), "host names beside the one ID break no rule");
    for name in ["", "a b", "a..b", "127.0.0.1:80", "spiffe://x", "é"] {
        let refused = ca.issue_id(&own, &[name], HOUR, now()).err();
        assert!(matches!(refused, Some(DevCaError::Name)), "{name:?}");
    }
}

#[test]
fn the_first_start_creates_and_the_second_one_opens() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("ca");
    let created = DevCa::open_or_create(&dir, &domain(HOME), now()).unwrap();
    let opened = DevCa::open_or_create(&dir, &domain(HOME), now()).unwrap();
    assert_eq!(created.bundle_pem(), opened.bundle_pem());
    assert_eq!((mode(&dir), mode(&dir.join(CA_KEY_FILE))), (0o700, 0o600));

    // What the opened one issues, the bundle of the created one accepts.
    let svid_dir = root.path().join("svid");
    created.issue(Role::Peer, "a", HOUR, now()).unwrap().write_to(&svid_dir).unwrap();
    assert_eq!((mode(&svid_dir), mode(&svid_dir.join(KEY_FILE))), (0o700, 0o600));
    let source = FileSource::open(&svid_dir).unwrap();
    let issued = opened.issue(Role::Admin, "root", HOUR, now()).unwrap();
    let der = CertificateDer::from_pem_slice(issued.certificate_pem().as_bytes()).unwrap();
    assert!(peer(&[der], &source.current(), &RolePatterns::default(), now()).is_ok());

    // Rotation in place.
    opened.issue(Role::Peer, "a", HOUR, now()).unwrap().write_to(&svid_dir).unwrap();
    assert!(source.reload_if_changed().unwrap());
}

#[test]
fn a_renewal_keeps_the_bundle_and_is_refused_where_it_does_not_vouch() {
    let root = tempfile::tempdir().unwrap();
    let (ca_dir, dir) = (root.path().join("ca"), root.path().join("svid"));
    assert!(matches!(DevCa::open(&ca_dir, &domain(HOME), now()), Err(DevCaError::File(_))));
    assert!(!ca_dir.exists(), "opening makes none");
    let ca = DevCa::open_or_create(&ca_dir, &domain(HOME), now()).unwrap();
    let own = SpiffeId::parse(&format!("spiffe://{HOME}/frame/a")).unwrap();
    let names = ["pay.frame.test", "127.0.0.1", "::1"];
    ca.issue_id(&own, &names, HOUR, now()).unwrap().write_to(&dir).unwrap();
    let source = FileSource::open(&dir).unwrap();
    assert_eq!(source.current().host_names(), names);

    // Two authorities in the bundle, as while one is replaced by the other.
    let other = DevCa::in_memory(&domain(HOME), now()).unwrap();
    let both = [ca.bundle_pem(), other.bundle_pem()].concat();
    fs::write(dir.join(BUNDLE_FILE), &both).unwrap();
    let opened = DevCa::open(&ca_dir, &domain(HOME), now()).unwrap();
    let renewed = opened.issue_id(&own, &names, 2 * HOUR, now()).unwrap();
    renewed.renew_in(&dir, now()).unwrap();
    assert_eq!(fs::read_to_string(dir.join(BUNDLE_FILE)).unwrap(), both);
    assert!(source.reload_if_changed().unwrap());
    assert_eq!(source.current().not_after(), at(NOW_S + 7_200));

    // A bundle of an issuer of one's own: the certificate in use stays.
    fs::write(dir.join(BUNDLE_FILE), other.bundle_pem()).unwrap();
    let certificate = fs::read(dir.join(SVID_FILE)).unwrap();
    let refused = renewed.renew_in(&dir, now());
    assert!(matches!(refused, Err(DevCaError::Stranger)), "{refused:?}");
    assert_eq!(fs::read(dir.join(SVID_FILE)).unwrap(), certificate);
}

#[test]
fn an_unsafe_foreign_or_broken_directory_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("ca");
    DevCa::open_or_create(&dir, &domain(HOME), now()).unwrap();
    let open = |name: &str, seconds| DevCa::open_or_create(&dir, &domain(name), at(seconds)).err();
    assert!(matches!(open("frame-b.example", NOW_S), Some(DevCaError::OtherTrustDomain { .. })));
    let later_s = NOW_S + 11 * 365 * 24 * 3600;
    assert!(matches!(open(HOME, later_s), Some(DevCaError::Expired)));

    let set = |name: &str, mode| {
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    set(CA_KEY_FILE, 0o644);
    assert!(matches!(open(HOME, NOW_S), Some(DevCaError::File(FileError::Mode { .. }))));
    set(CA_KEY_FILE, 0o600);
    set("", 0o755);
    assert!(matches!(open(HOME, NOW_S), Some(DevCaError::File(FileError::Mode { .. }))));
    set("", 0o700);
    assert!(open(HOME, NOW_S).is_none());
    fs::remove_file(dir.join(CA_FILE)).unwrap();
    assert!(matches!(open(HOME, NOW_S), Some(DevCaError::File(FileError::Io { .. }))));
}
