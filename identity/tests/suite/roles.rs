//! A path gives one role by exact match, or none.

use identity::{PatternError, Role, RoleError, RolePatterns, SpiffeId};

use crate::support::{AGENT, HOME, domain};

fn role_with(patterns: &RolePatterns, trust_domain: &str, path: &str) -> Result<Role, RoleError> {
    let id = SpiffeId::parse(&format!("spiffe://{trust_domain}{path}")).unwrap();
    patterns.role_of(&id, &domain(HOME))
}

fn role(path: &str) -> Result<Role, RoleError> {
    role_with(&RolePatterns::default(), HOME, path)
}

#[test]
fn numbers_and_names_are_stable() {
    let numbers: Vec<u16> = Role::ALL.iter().map(|role| role.number()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    for role in Role::ALL {
        assert_eq!(Role::from_number(role.number()), Some(role));
        assert_eq!(Role::from_name(role.name()), Some(role));
        assert_eq!(role as u16, role.number());
    }
    assert_eq!(Role::from_number(0), None);
    assert_eq!(Role::from_number(7), None, "the frame itself never comes from a certificate");
}

#[test]
fn standard_paths_give_their_roles() {
    let longest = format!("/registry/{}", "n".repeat(64));
    let table = [
        (AGENT, Role::Agent),
        ("/service/registry-north", Role::Registry),
        ("/registry/north", Role::Registry),
        (&longest, Role::Registry),
        ("/frame/b", Role::Peer),
        ("/frame/b/teg/1", Role::Peer),
        ("/mint/m", Role::Mint),
        ("/admin/root", Role::Admin),
        ("/auditor/a.b_c-d", Role::Auditor),
    ];
    for (path, expected) in table {
        assert_eq!(role(path), Ok(expected), "{path}");
    }
}

#[test]
fn near_misses_give_no_role() {
    let longer = format!("{AGENT}0");
    let below = format!("{AGENT}/x");
    let upper = AGENT.replace("0190a1b2", "0190A1B2");
    let too_long = format!("/registry/{}", "n".repeat(65));
    let table = [
        "/agent/1",
        "/agent/10",
        &longer,
        &below,
        &upper,
        "/Agent/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
        "/agents/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
        "/agent/0190a1b2c3d47e5f8a9b0c1d2e3f4a5b",
        "/x/agent/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
        "/agent",
        "/service/registry-",
        "/service/registry",
        "/service/Registry-north",
        "/service/registry-north/x",
        "/service/gateway",
        "/registry",
        "/registry/a/b",
        &too_long,
        "/frame",
        "/mint/m/x",
        "/MINT/m",
        "/admin2/root",
        "/engine/self",
    ];
    for path in table {
        assert_eq!(role(path), Err(RoleError::NoRole), "{path}");
    }
}

#[test]
fn a_federated_identity_is_a_peer_and_nothing_more() {
    let patterns = RolePatterns::default();
    let foreign = |path| role_with(&patterns, "frame-b.example", path);
    assert_eq!(foreign("/frame/b"), Ok(Role::Peer));
    for path in [AGENT, "/registry/north", "/mint/m", "/admin/root", "/auditor/a"] {
        assert_eq!(foreign(path), Err(RoleError::NoRole), "{path}");
    }
    for stays in [Role::Agent, Role::Mint, Role::Admin] {
        let refused = RolePatterns::new(&[], &[(stays, "/x/<name>")]);
        assert_eq!(refused.unwrap_err(), PatternError::RoleStaysHome { role: stays });
    }
    let wider = RolePatterns::new(&[], &[(Role::Auditor, "/auditor/<name>")]).unwrap();
    assert_eq!(role_with(&wider, "frame-b.example", "/auditor/a"), Ok(Role::Auditor));
}

#[test]
fn a_listener_admits_only_its_roles() {
    let patterns = RolePatterns::default().admitting(&[Role::Admin, Role::Auditor]);
    assert_eq!(role_with(&patterns, HOME, "/admin/root"), Ok(Role::Admin));
    let refused = RoleError::NotAdmitted { role: Role::Agent };
    assert_eq!(role_with(&patterns, HOME, AGENT), Err(refused));
}

#[test]
fn patterns_are_checked_when_they_are_configured() {
    let new = |role, text| RolePatterns::new(&[(role, text)], &[]).map(|_| ());
    let role = Role::Mint;
    assert_eq!(new(role, "/tools/mint-<name>"), Ok(()));
    assert_eq!(new(role, "/mint/main"), Ok(()));
    assert_eq!(new(Role::Peer, "/frame/<name...>"), Ok(()));
    assert_eq!(new(role, "mint/<name>"), Err(PatternError::NoLeadingSlash { role }));
    for bad in ["/", "/mint//x", "/mint/*", "/mint/.*", "/mint/<name>x", "/mint/<any>", "/mint/.."]
    {
        assert_eq!(new(role, bad), Err(PatternError::BadSegment { role }), "{bad}");
    }
    assert_eq!(new(role, "/<name…>/mint"), Err(PatternError::RestNotLast { role }));
    assert_eq!(new(role, "/mint/<uuid>"), Err(PatternError::UuidPlace { role }));
    let role = Role::Agent;
    for bad in ["/agent/<name>", "/<uuid>/agent", "/<uuid>/<uuid>"] {
        assert_eq!(new(role, bad), Err(PatternError::UuidPlace { role }), "{bad}");
    }
}

#[test]
fn two_roles_for_one_path_are_none() {
    let both = [(Role::Mint, "/ops/<name>"), (Role::Admin, "/ops/root")];
    let patterns = RolePatterns::new(&both, &[]).unwrap();
    assert_eq!(role_with(&patterns, HOME, "/ops/root"), Err(RoleError::Ambiguous));
    assert_eq!(role_with(&patterns, HOME, "/ops/m"), Ok(Role::Mint));
}
