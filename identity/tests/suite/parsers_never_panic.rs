//! Whatever a stranger sends, the parsers answer.

use identity::{
    BundleSet, CertificateDer, DenyList, Material, Principal, Purpose, Role, RolePatterns,
    SpiffeId, TrustBundle, parse_uuid, validate,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{AGENT, Authority, HOME, bundles, domain, now};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn texts(text in any::<String>(), path in "[ -~]{0,80}") {
        let _ = parse_uuid(&text);
        let _ = DenyList::parse(&text);
        let _ = RolePatterns::new(&[(Role::Mint, &text), (Role::Agent, &path)], &[]);
        for candidate in [text, format!("spiffe://td/{path}"), format!("spiffe://{path}")] {
            if let Ok(id) = SpiffeId::parse(&candidate) {
                prop_assert_eq!(id.as_str(), &candidate);
                let rebuilt = SpiffeId::from_parts(id.trust_domain(), id.path());
                prop_assert_eq!(rebuilt.as_ref(), Ok(&id));
                let _ = RolePatterns::default().role_of(&id, id.trust_domain());
                for role in Role::ALL {
                    let _ = Principal::of(&id, role);
                }
            }
        }
    }

    #[test]
    fn bytes(bytes in vec(any::<u8>(), 0..600)) {
        let der = CertificateDer::from(bytes.clone());
        prop_assert!(validate(&[der], &BundleSet::new(), now(), Purpose::Client).is_err());
        prop_assert!(TrustBundle::from_pem(domain(HOME), &bytes).is_err());
        prop_assert!(Material::from_pem(&bytes, &bytes, &bytes).is_err());
    }
}

/// One authority for all cases: every changed byte of a good leaf is refused.
#[test]
fn no_changed_byte_is_accepted() {
    let home = Authority::new(HOME);
    let trusted = bundles(&[&home]);
    let good = home.leaf(AGENT, |_| {}).der;
    for at in 0..good.len() {
        for bit in [0x01, 0x80] {
            let mut der = good.to_vec();
            der[at] ^= bit;
            let verdict = validate(&[der.into()], &trusted, now(), Purpose::Client);
            assert!(verdict.is_err(), "byte {at} bit {bit:#x}");
        }
    }
}
