//! A SPIFFE ID is accepted in its canonical form and in no other.

use identity::{SpiffeId, SpiffeIdError as E, TrustDomain};

#[test]
fn canonical_ids_are_taken_apart() {
    let id = SpiffeId::parse("spiffe://td_1.example-x/a/B.c/d_e-f").unwrap();
    assert_eq!(id.trust_domain().as_str(), "td_1.example-x");
    assert_eq!(id.path(), "/a/B.c/d_e-f");
    assert_eq!(id.segments().collect::<Vec<_>>(), ["a", "B.c", "d_e-f"]);
    assert_eq!(id.to_string(), "spiffe://td_1.example-x/a/B.c/d_e-f");
    let again = SpiffeId::from_parts(id.trust_domain(), id.path()).unwrap();
    assert_eq!(again, id);
    for dots in ["spiffe://td/...", "spiffe://td/.a", "spiffe://td/a."] {
        assert!(SpiffeId::parse(dots).is_ok(), "{dots}");
    }
}

#[test]
fn every_other_form_is_refused_by_name() {
    let table = [
        ("", E::Scheme),
        ("td/a", E::Scheme),
        ("http://td/a", E::Scheme),
        ("SPIFFE://td/a", E::Scheme),
        ("spiffe:/td/a", E::Scheme),
        (" spiffe://td/a", E::Scheme),
        ("spiffe://", E::TrustDomainMissing),
        ("spiffe:///a", E::TrustDomainMissing),
        ("spiffe://Td/a", E::TrustDomainUppercase),
        ("spiffe://t~d/a", E::TrustDomainCharacter { byte: b'~' }),
        ("spiffe://td /a", E::TrustDomainCharacter { byte: b' ' }),
        ("spiffe://td:443/a", E::Port),
        ("spiffe://[::1]/a", E::Port),
        ("spiffe://u@td/a", E::UserInfo),
        ("spiffe://u:p@td/a", E::UserInfo),
        ("spiffe://td/a?q", E::Query),
        ("spiffe://td?q", E::Query),
        ("spiffe://td/a#f", E::Fragment),
        ("spiffe://td/%61", E::PercentEncoding),
        ("spiffe://t%64/a", E::PercentEncoding),
        ("spiffe://td", E::PathMissing),
        ("spiffe://td/", E::TrailingSlash),
        ("spiffe://td/a/", E::TrailingSlash),
        ("spiffe://td//", E::TrailingSlash),
        ("spiffe://td//a", E::EmptySegment),
        ("spiffe://td/a//b", E::EmptySegment),
        ("spiffe://td/.", E::DotSegment),
        ("spiffe://td/a/../b", E::DotSegment),
        ("spiffe://td/a*", E::PathCharacter { byte: b'*' }),
        ("spiffe://td/[a-z]", E::PathCharacter { byte: b'[' }),
        ("spiffe://td/a b", E::PathCharacter { byte: b' ' }),
        ("spiffe://td/a\n", E::PathCharacter { byte: b'\n' }),
        ("spiffe://td/a\0b", E::PathCharacter { byte: 0 }),
        ("spiffe://td/a:b", E::PathCharacter { byte: b':' }),
        ("spiffe://td/\u{e9}", E::NotAscii),
        ("spiffe://t\u{0434}/a", E::NotAscii),
    ];
    for (text, expected) in table {
        assert_eq!(SpiffeId::parse(text).unwrap_err(), expected, "{text:?}");
    }
}

#[test]
fn lengths_are_bounded_on_both_sides_of_the_bound() {
    let of_len = |len: usize| format!("spiffe://td/{}", "a".repeat(len - 12));
    assert!(SpiffeId::parse(&of_len(2048)).is_ok());
    assert_eq!(SpiffeId::parse(&of_len(2049)), Err(E::TooLong { len: 2049 }));
    assert!(TrustDomain::parse(&"a".repeat(255)).is_ok());
    assert_eq!(TrustDomain::parse(&"a".repeat(256)), Err(E::TrustDomainTooLong { len: 256 }));
    assert!(TrustDomain::parse("spiffe://td").is_err());
    assert!(TrustDomain::parse("td/a").is_err());
}
