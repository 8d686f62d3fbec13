//! A peer stays while its certificate, its authority and its name stay good.

use identity::{
    CertificateDer, Material, Peer, PeerError, Role, RoleError, RolePatterns, SvidError, peer,
    still_valid,
};

use crate::support::{AGENT, Authority, HOME, NOW_S, OTHER_AGENT, at, denying, now, window};

fn admit(chain: &[CertificateDer<'_>], material: &Material) -> Result<Peer, PeerError> {
    peer(chain, material, &RolePatterns::default(), now())
}

#[test]
fn a_peer_knows_its_name_role_and_end() {
    let home = Authority::new(HOME);
    let leaf = home.leaf(AGENT, |_| {});
    let peer = admit(&[leaf.der], &home.material("/frame/a")).unwrap();
    assert_eq!(peer.spiffe_id().path(), AGENT);
    assert_eq!(peer.principal().role, Role::Agent);
    assert_eq!(peer.not_after(), at(NOW_S + 3600));
}

#[test]
fn role_principal_and_deny_list_come_after_the_chain() {
    let home = Authority::new(HOME);
    let material = home.material("/frame/a");
    let verdict = |path: &str, patterns: &RolePatterns, material: &Material| {
        let leaf = home.leaf(path, |_| {}).der;
        peer(&[leaf], material, patterns, now()).map(|_| ()).map_err(|error| error.reason())
    };
    let all = RolePatterns::default();
    assert_eq!(verdict("/frames/x", &all, &material), Err("role-none"));
    let admins = RolePatterns::default().admitting(&[Role::Admin]);
    assert_eq!(verdict(AGENT, &admins, &material), Err("role-not-admitted"));
    let system = "/agent/00000000-0000-0000-8000-000000000001";
    assert_eq!(verdict(system, &all, &material), Err("principal-system-reserved"));

    let by_id = home.material("/frame/a").with_denied(denying(&format!("spiffe://{HOME}{AGENT}")));
    let by_number = home.material("/frame/a").with_denied(denying(&AGENT["/agent/".len()..]));
    for denied in [by_id, by_number] {
        assert_eq!(verdict(AGENT, &all, &denied), Err("peer-denied"));
        assert_eq!(verdict(OTHER_AGENT, &all, &denied), Ok(()));
    }
}

#[test]
fn a_denied_peer_is_cut_off_mid_connection() {
    let home = Authority::new(HOME);
    let peer = admit(&[home.leaf(AGENT, |_| {}).der], &home.material("/frame/a")).unwrap();
    let harmless = home.material("/frame/a").with_denied(denying("# nobody yet"));
    assert_eq!(still_valid(&peer, &harmless, now()), Ok(()));
    let text = format!("# stolen laptop\nspiffe://{HOME}{AGENT}  # 2027-01\n");
    let denied = home.material("/frame/a").with_denied(denying(&text));
    let spiffe_id = peer.spiffe_id().clone();
    assert_eq!(still_valid(&peer, &denied, now()), Err(PeerError::Denied { spiffe_id }));
    // A refusal is not remembered as a confirmation.
    assert!(still_valid(&peer, &denied, now()).is_err());
}

#[test]
fn a_removed_authority_cuts_its_peers_off() {
    let (old, new) = (Authority::new(HOME), Authority::new(HOME));
    let own = new.leaf("/frame/a", |_| {});
    let with_bundle = |bundle: String| {
        Material::from_pem(own.pem.as_bytes(), own.key_pem.as_bytes(), bundle.as_bytes()).unwrap()
    };
    let both = with_bundle(format!("{}{}", old.pem, new.pem));
    let only_new = with_bundle(new.pem.clone());
    let of_old = admit(&[old.leaf(AGENT, |_| {}).der], &both).unwrap();
    let of_new = admit(&[new.leaf(AGENT, |_| {}).der], &both).unwrap();
    assert_eq!(still_valid(&of_old, &both, now()), Ok(()));
    assert_eq!(still_valid(&of_new, &only_new, now()), Ok(()));
    let cut = Err(PeerError::Svid(SvidError::UnknownAuthority));
    assert_eq!(still_valid(&of_old, &only_new, now()), cut);
    assert_eq!(admit(&[old.leaf(AGENT, |_| {}).der], &only_new).map(|_| ()), cut);
}

#[test]
fn a_federation_that_ends_cuts_its_peers_off() {
    let (home, other) = (Authority::new(HOME), Authority::new("frame-b.example"));
    let federated = home.material("/frame/a").with_federated(other.bundle()).unwrap();
    let peer = admit(&[other.leaf("/frame/b", |_| {}).der], &federated).unwrap();
    assert_eq!(peer.principal().role, Role::Peer);
    let cut = Err(PeerError::Svid(SvidError::UnknownTrustDomain));
    assert_eq!(still_valid(&peer, &home.material("/frame/a"), now()), cut);
    // Its admin is nobody here.
    let refused = admit(&[other.leaf("/admin/root", |_| {}).der], &federated).unwrap_err();
    assert!(matches!(refused, PeerError::Role { cause: RoleError::NoRole, .. }));
}

#[test]
fn a_peer_expires_under_unchanged_and_under_new_material() {
    let home = Authority::new(HOME);
    let leaf = home.leaf(AGENT, |p| window(p, NOW_S - 10, NOW_S + 10)).der;
    let material = home.material("/frame/a");
    let peer = admit(&[leaf], &material).unwrap();
    let expired = Err(PeerError::Svid(SvidError::Expired));
    assert_eq!(still_valid(&peer, &material, at(NOW_S + 10)), Ok(()));
    assert_eq!(still_valid(&peer, &material, at(NOW_S + 11)), expired);
    assert_eq!(still_valid(&peer, &home.material("/frame/a"), at(NOW_S + 11)), expired);
}

#[test]
fn a_rotated_svid_counts_at_once_and_the_old_one_until_its_end() {
    let home = Authority::new(HOME);
    let material = home.material("/frame/a");
    let old = home.leaf(AGENT, |p| window(p, NOW_S - 100, NOW_S + 10)).der;
    let new = home.leaf(AGENT, |p| window(p, NOW_S, NOW_S + 1000)).der;
    let (old, new) = (admit(&[old], &material).unwrap(), admit(&[new], &material).unwrap());
    assert_eq!(old.principal(), new.principal());
    assert_eq!(still_valid(&old, &material, at(NOW_S + 10)), Ok(()));
    assert!(still_valid(&old, &material, at(NOW_S + 11)).is_err());
    assert_eq!(still_valid(&new, &material, at(NOW_S + 11)), Ok(()));
}
