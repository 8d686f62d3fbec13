//! A directory is followed live, and a broken set never replaces a good one.

use std::fs;
use std::path::Path;

use identity::{
    BUNDLE_FILE, DENY_FILE, FEDERATED_DIR, FileError, FileSource, KEY_FILE, MaterialError,
    SVID_FILE, SourceError,
};

use crate::support::{Authority, HOME, Leaf, denying};

fn write(dir: &Path, authority: &Authority, own: &Leaf) {
    put(dir, SVID_FILE, &own.pem);
    put_key(dir, &own.key_pem, 0o600);
    put(dir, BUNDLE_FILE, &authority.pem);
}

fn put(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(".new"), text).unwrap();
    fs::rename(dir.join(".new"), dir.join(name)).unwrap();
}

fn put_key(dir: &Path, text: &str, mode: u32) {
    put(dir, KEY_FILE, text);
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir.join(KEY_FILE), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_rotation_is_taken_over_and_a_broken_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let home = Authority::new(HOME);
    let (first, second) = (home.leaf("/frame/a", |_| {}), home.leaf("/frame/a", |_| {}));
    write(dir.path(), &home, &first);
    let source = FileSource::open(dir.path()).unwrap();
    let before = source.current();
    assert!(!source.reload_if_changed().unwrap());
    assert_eq!(source.current().generation(), before.generation());

    // The writer is half-way: the new certificate with the old key.
    put(dir.path(), SVID_FILE, &second.pem);
    let refused = source.reload_if_changed().unwrap_err();
    assert!(matches!(refused, SourceError::Material(MaterialError::KeyMismatch)));
    assert_eq!(source.current().generation(), before.generation());
    assert!(source.reload_if_changed().is_err(), "it tries again and says so again");

    put_key(dir.path(), &second.key_pem, 0o600);
    assert!(source.reload_if_changed().unwrap());
    assert!(source.current().generation() > before.generation());
    assert!(!source.reload_if_changed().unwrap());

    fs::remove_file(dir.path().join(BUNDLE_FILE)).unwrap();
    let refused = source.reload_if_changed().unwrap_err();
    assert!(matches!(refused, SourceError::File(FileError::Io { .. })));
    assert_eq!(source.current().trust_domain().as_str(), HOME);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let home = Authority::new(HOME);
    let own = home.leaf("/frame/a", |_| {});
    write(dir.path(), &home, &own);
    for mode in [0o644, 0o640, 0o604, 0o660] {
        put_key(dir.path(), &own.key_pem, mode);
        let error = FileSource::open(dir.path()).err().unwrap();
        assert!(matches!(error, SourceError::File(FileError::Mode { mode: m, .. }) if m == mode));
        let text = error.to_string();
        assert!(text.contains("0600") && text.contains(KEY_FILE), "{text}");
    }
    put_key(dir.path(), &own.key_pem, 0o400);
    assert!(FileSource::open(dir.path()).is_ok());
}

#[test]
fn federated_bundles_and_the_deny_list_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (home, other) = (Authority::new(HOME), Authority::new("frame-b.example"));
    write(dir.path(), &home, &home.leaf("/frame/a", |_| {}));
    let source = FileSource::open(dir.path()).unwrap();
    assert!(source.current().bundles().of(&other.trust_domain).is_none());

    let federated = dir.path().join(FEDERATED_DIR);
    fs::create_dir(&federated).unwrap();
    put(&federated, "frame-b.example.pem", &other.pem);
    put(&federated, "README.md", "not a bundle");
    assert!(source.reload_if_changed().unwrap());
    assert!(source.current().bundles().of(&other.trust_domain).is_some());

    put(dir.path(), DENY_FILE, "spiffe://frame-b.example/frame/b\n");
    assert!(source.reload_if_changed().unwrap());
    let denied = "spiffe://frame-b.example/frame/b".parse().unwrap();
    assert!(source.current().denied().denies(&denied, None));

    // A list with a broken line is not taken in part.
    put(dir.path(), DENY_FILE, "# ok\nspiffe://frame-b.example/frame/c\nfrme-b\n");
    let error = source.reload_if_changed().unwrap_err();
    assert!(error.to_string().contains("line 3"), "{error}");
    assert!(source.current().denied().denies(&denied, None));

    fs::remove_file(dir.path().join(DENY_FILE)).unwrap();
    fs::remove_file(federated.join("frame-b.example.pem")).unwrap();
    assert!(source.reload_if_changed().unwrap());
    assert!(source.current().bundles().of(&other.trust_domain).is_none());
    assert!(!source.current().denied().denies(&denied, None));
}

#[test]
fn bundles_of_one_trust_domain_are_never_merged() {
    let dir = tempfile::tempdir().unwrap();
    let home = Authority::new(HOME);
    write(dir.path(), &home, &home.leaf("/frame/a", |_| {}));
    let federated = dir.path().join(FEDERATED_DIR);
    fs::create_dir(&federated).unwrap();
    put(&federated, "frame-a.example.pem", &Authority::new(HOME).pem);
    assert!(FileSource::open(dir.path()).is_err());
    fs::remove_file(federated.join("frame-a.example.pem")).unwrap();
    put(&federated, "Frame B.pem", &Authority::new("frame-b.example").pem);
    let error = FileSource::open(dir.path()).err().unwrap();
    assert!(matches!(error, SourceError::FederatedName { .. }));
}

#[test]
fn the_own_trust_domain_does_not_change_under_a_running_process() {
    let dir = tempfile::tempdir().unwrap();
    let (home, other) = (Authority::new(HOME), Authority::new("frame-b.example"));
    write(dir.path(), &home, &home.leaf("/frame/a", |_| {}));
    let source = FileSource::open(dir.path()).unwrap();
    write(dir.path(), &other, &other.leaf("/frame/b", |_| {}));
    let refused = source.reload_if_changed().unwrap_err();
    assert!(matches!(refused, SourceError::TrustDomainChanged));
}

#[test]
fn no_key_shows_in_a_debug_form_or_an_error() {
    let home = Authority::new(HOME);
    let own = home.leaf("/frame/a", |_| {});
    let secret = own.key_pem.lines().nth(1).unwrap();
    let shown = format!("{:?}", home.material("/frame/a"));
    assert!(shown.contains("/frame/a") && !shown.contains("PRIVATE"), "{shown}");
    let broken = own.key_pem.replace("BEGIN PRIVATE", "BEGIN PRIVATE x");
    let junk = own.key_pem.replace(secret, &secret.to_lowercase());
    for key in [broken, junk] {
        let material =
            identity::Material::from_pem(own.pem.as_bytes(), key.as_bytes(), home.pem.as_bytes());
        let error = material.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains(&secret[..16]), "{text}");
    }
}

#[test]
fn deny_lists_say_which_line_is_wrong() {
    assert!(!denying("").denies(&"spiffe://td/a".parse().unwrap(), Some(1)));
    let error = identity::DenyList::parse("\n\nspiffe://td\n").unwrap_err();
    assert_eq!(error, identity::DenyError::Line { number: 3 });
}
