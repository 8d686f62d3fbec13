//! Every bad chain is refused, each for its own reason; the good ones pass.

use identity::limits::{CERTIFICATE_SIZE_MAX, CHAIN_LEN_MAX};
use identity::{
    AuthorityProblem, BundleError, BundleSet, CertificateDer, Purpose, SvidError, TrustBundle,
    validate,
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, SubjectPublicKeyInfo,
};
use rustls_pki_types::pem::PemObject;

use crate::support::{
    AGENT, Authority, HOME, NOW_S, at, bundles, domain, now, raw_key_usage, raw_uri, uri, window,
};

fn reason(chain: &[CertificateDer<'_>], trusted: &BundleSet, purpose: Purpose) -> &'static str {
    match validate(chain, trusted, now(), purpose) {
        Ok(_) => "ok",
        Err(error) => {
            assert!(!error.to_string().is_empty());
            error.reason()
        }
    }
}

/// The verdict on a leaf of the home authority after an edit.
fn edited(edit: impl FnOnce(&mut CertificateParams)) -> &'static str {
    let home = Authority::new(HOME);
    let leaf = home.leaf(AGENT, edit);
    reason(&[leaf.der], &bundles(&[&home]), Purpose::Client)
}

fn fixture(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

#[test]
fn a_good_leaf_passes_on_both_sides() {
    let home = Authority::new(HOME);
    let leaf = home.leaf(AGENT, |_| {});
    for purpose in [Purpose::Client, Purpose::Server] {
        let svid =
            validate(std::slice::from_ref(&leaf.der), &bundles(&[&home]), now(), purpose).unwrap();
        assert_eq!(svid.spiffe_id.as_str(), format!("spiffe://{HOME}{AGENT}"));
        assert_eq!(svid.not_after, at(NOW_S + 3600));
    }
    // Other kinds of names and a missing extended key usage are allowed.
    assert_eq!(edited(|p| p.extended_key_usages.clear()), "ok");
    let dns = SanType::DnsName("localhost".try_into().unwrap());
    assert_eq!(edited(|p| p.subject_alt_names.push(dns)), "ok");
}

#[test]
fn no_certificate_is_refused() {
    let home = Authority::new(HOME);
    assert_eq!(reason(&[], &bundles(&[&home]), Purpose::Client), "svid-none");
}

#[test]
fn validity_is_a_window_with_both_ends_inside() {
    let home = Authority::new(HOME);
    let leaf = home.leaf(AGENT, |p| window(p, NOW_S - 10, NOW_S + 10)).der;
    let trusted = bundles(&[&home]);
    let verdict = |s| {
        validate(std::slice::from_ref(&leaf), &trusted, at(s), Purpose::Client)
            .map(|svid| svid.not_after)
    };
    assert_eq!(verdict(NOW_S - 11), Err(SvidError::NotYetValid));
    assert_eq!(verdict(NOW_S - 10), Ok(at(NOW_S + 10)));
    assert_eq!(verdict(NOW_S + 10), Ok(at(NOW_S + 10)));
    assert_eq!(verdict(NOW_S + 11), Err(SvidError::Expired));
    // What the whole path allows counts, not the leaf alone.
    let short = home.intermediate(|p| window(p, NOW_S - 10, NOW_S + 5));
    let leaf = short.leaf(AGENT, |_| {}).der;
    let svid = validate(&[leaf, short.der.clone()], &trusted, now(), Purpose::Client).unwrap();
    assert_eq!(svid.not_after, at(NOW_S + 5));
}

#[test]
fn an_authority_outside_its_validity_vouches_for_nobody() {
    let past = Authority::edited(HOME, |p| window(p, NOW_S - 100, NOW_S - 1));
    let leaf = past.leaf(AGENT, |_| {}).der;
    let verdict = reason(&[leaf], &bundles(&[&past]), Purpose::Client);
    assert_eq!(verdict, "svid-authority-not-valid");
}

#[test]
fn a_leaf_that_could_act_as_an_authority_is_refused() {
    let ca = || IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(edited(|p| p.is_ca = ca()), "svid-leaf-is-ca");
    assert_eq!(edited(|p| p.key_usages.push(KeyUsagePurpose::KeyCertSign)), "svid-key-cert-sign");
    assert_eq!(edited(|p| p.key_usages.push(KeyUsagePurpose::CrlSign)), "svid-crl-sign");
    let signing = |p: &mut CertificateParams| {
        p.is_ca = ca();
        p.key_usages.push(KeyUsagePurpose::KeyCertSign);
    };
    assert_eq!(edited(signing), "svid-signing-certificate");

    // The authority itself, presented as if it were a workload.
    let named = Authority::edited(HOME, |p| {
        p.subject_alt_names = vec![uri(&format!("spiffe://{HOME}/registry/north"))];
    });
    let verdict = reason(std::slice::from_ref(&named.der), &bundles(&[&named]), Purpose::Client);
    assert_eq!(verdict, "svid-signing-certificate");
}

#[test]
fn key_usage_must_be_there_critical_and_for_signatures() {
    assert_eq!(edited(|p| p.key_usages.clear()), "svid-no-key-usage");
    let raw = |bits, critical| {
        edited(|p| {
            p.key_usages.clear();
            p.custom_extensions = vec![raw_key_usage(bits, critical)];
        })
    };
    assert_eq!(raw(0x80, true), "ok");
    assert_eq!(raw(0x80, false), "svid-key-usage-not-critical");
    assert_eq!(raw(0x08, true), "svid-no-digital-signature");
    let agreement = vec![KeyUsagePurpose::KeyAgreement];
    assert_eq!(edited(|p| p.key_usages = agreement), "svid-no-digital-signature");
}

#[test]
fn the_leaf_has_exactly_one_uri_and_it_is_a_spiffe_id() {
    let second = uri(&format!("spiffe://{HOME}/admin/root"));
    assert_eq!(edited(|p| p.subject_alt_names.push(second)), "svid-several-uris");
    let web = uri("https://frame-a.example/agent");
    assert_eq!(edited(|p| p.subject_alt_names.push(web)), "svid-several-uris");
    assert_eq!(edited(|p| p.subject_alt_names.clear()), "svid-no-uri");
    let only_dns = vec![SanType::DnsName("localhost".try_into().unwrap())];
    assert_eq!(edited(|p| p.subject_alt_names = only_dns), "svid-no-uri");

    let named = |text: &str| edited(|p| p.subject_alt_names = vec![uri(text)]);
    assert_eq!(named("https://frame-a.example/agent/x"), "spiffe-id-scheme");
    assert_eq!(named("spiffe://frame-a.example"), "spiffe-id-no-path");
    assert_eq!(named("spiffe://frame-a.example/"), "spiffe-id-trailing-slash");
    assert_eq!(named("spiffe://frame-a.example/a//b"), "spiffe-id-empty-segment");
    assert_eq!(named("spiffe://frame-a.example/a/../b"), "spiffe-id-dot-segment");
    assert_eq!(named("spiffe://frame-a.example/%41"), "spiffe-id-percent-encoding");
    assert_eq!(named("spiffe://Frame-a.example/a"), "spiffe-id-trust-domain-uppercase");
    assert_eq!(named("spiffe://frame-a.example:8443/a"), "spiffe-id-port");
    assert_eq!(named("spiffe://me@frame-a.example/a"), "spiffe-id-user-info");
    assert_eq!(named("spiffe://frame-a.example/a?b"), "spiffe-id-query");
    assert_eq!(named("spiffe://frame-a.example/a#b"), "spiffe-id-fragment");
    let long = format!("spiffe://frame-a.example/{}", "a".repeat(2048));
    assert_eq!(named(&long), "spiffe-id-too-long");

    let raw = |bytes: &[u8]| {
        edited(|p| {
            p.subject_alt_names.clear();
            p.custom_extensions = vec![raw_uri(bytes)];
        })
    };
    assert_eq!(raw(b"spiffe://frame-a.example/registry/north"), "ok");
    assert_eq!(raw(b"spiffe://frame-a.example/registry/north\0.evil"), "spiffe-id-path-character");
    assert_eq!(raw("spiffe://frame-a.example/é".as_bytes()), "spiffe-id-not-ascii");
    assert_eq!(raw(b"spiffe://frame-a.example/\xff"), "spiffe-id-not-ascii");
}

#[test]
fn only_the_bundle_of_the_named_trust_domain_counts() {
    let (home, other) = (Authority::new(HOME), Authority::new("frame-b.example"));
    let foreign = |p: &mut CertificateParams| {
        p.subject_alt_names = vec![uri("spiffe://frame-b.example/frame/b")];
    };
    let own = |p: &mut CertificateParams| {
        p.subject_alt_names = vec![uri("spiffe://frame-a.example/mint/m")];
    };
    let judge = |leaf: &CertificateDer<'_>, trusted: &[&Authority]| {
        reason(std::slice::from_ref(leaf), &bundles(trusted), Purpose::Client)
    };

    let by_home = home.leaf("/x", foreign).der;
    assert_eq!(judge(&by_home, &[&home, &other]), "svid-unknown-authority");
    assert_eq!(judge(&by_home, &[&home]), "svid-unknown-trust-domain");
    let by_other = other.leaf("/x", foreign).der;
    assert_eq!(judge(&by_other, &[&home]), "svid-unknown-trust-domain");
    assert_eq!(judge(&by_other, &[&home, &other]), "ok");
    let home_by_other = other.leaf("/x", own).der;
    assert_eq!(judge(&home_by_other, &[&home, &other]), "svid-unknown-authority");
}

#[test]
fn extended_key_usage_names_the_side_if_it_is_there() {
    let home = Authority::new(HOME);
    let only = |usage| home.leaf(AGENT, |p| p.extended_key_usages = vec![usage]).der;
    let server = only(ExtendedKeyUsagePurpose::ServerAuth);
    let client = only(ExtendedKeyUsagePurpose::ClientAuth);
    let trusted = bundles(&[&home]);
    let judge =
        |leaf: &CertificateDer<'_>, purpose| reason(std::slice::from_ref(leaf), &trusted, purpose);
    assert_eq!(judge(&server, Purpose::Server), "ok");
    assert_eq!(judge(&server, Purpose::Client), "svid-extended-key-usage");
    assert_eq!(judge(&client, Purpose::Client), "ok");
    assert_eq!(judge(&client, Purpose::Server), "svid-extended-key-usage");
}

#[test]
fn a_chain_is_short_and_every_link_may_sign() {
    let home = Authority::new(HOME);
    let trusted = bundles(&[&home]);
    let a = home.intermediate(|_| {});
    let b = a.intermediate(|p| p.distinguished_name = good_name("b"));
    let c = b.intermediate(|p| p.distinguished_name = good_name("c"));
    let leaf = c.leaf(AGENT, |_| {}).der;
    let links = [leaf, c.der.clone(), b.der.clone(), a.der.clone()];
    assert_eq!(links.len(), CHAIN_LEN_MAX);
    assert_eq!(reason(&links, &trusted, Purpose::Client), "ok");
    let mut long = links.to_vec();
    long.push(home.der.clone());
    assert_eq!(reason(&long, &trusted, Purpose::Client), "svid-chain-too-long");
    assert_eq!(
        reason(&vec![home.der.clone(); 100], &trusted, Purpose::Client),
        "svid-chain-too-long"
    );

    let through = |edit: fn(&mut CertificateParams)| {
        let link = home.intermediate(edit);
        let leaf = link.leaf(AGENT, |_| {}).der;
        reason(&[leaf, link.der.clone()], &trusted, Purpose::Client)
    };
    assert_eq!(through(|_| {}), "ok");
    assert_eq!(through(|p| p.is_ca = IsCa::ExplicitNoCa), "svid-issuer-may-not-sign");
    assert_eq!(
        through(|p| p.key_usages = vec![KeyUsagePurpose::CrlSign]),
        "svid-issuer-may-not-sign"
    );

    let flat = Authority::edited(HOME, |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let link = flat.intermediate(|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let deeper = link.intermediate(|p| p.distinguished_name = good_name("deeper"));
    let leaf = deeper.leaf(AGENT, |_| {}).der;
    let chain = [leaf, deeper.der.clone(), link.der.clone()];
    assert_eq!(reason(&chain, &bundles(&[&flat]), Purpose::Client), "svid-path-length");
}

fn good_name(common_name: &str) -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    name.push(rcgen::DnType::CommonName, common_name);
    name
}

#[test]
fn oversized_and_malformed_certificates_are_refused_unread() {
    let huge = |size: usize| {
        let content = vec![0; size];
        edited(|p| {
            p.custom_extensions =
                vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], content)];
        })
    };
    assert_eq!(huge(1024), "ok");
    assert_eq!(huge(CERTIFICATE_SIZE_MAX), "svid-too-large");
    assert_eq!(huge(1024 * 1024), "svid-too-large");

    let home = Authority::new(HOME);
    let trusted = bundles(&[&home]);
    let leaf = home.leaf(AGENT, |_| {}).der;
    let mut trailing = leaf.to_vec();
    trailing.push(0);
    for bad in [b"".to_vec(), b"not a certificate".to_vec(), leaf[..100].to_vec(), trailing] {
        assert_eq!(reason(&[bad.into()], &trusted, Purpose::Client), "svid-malformed");
    }
    let twice = |p: &mut CertificateParams| {
        p.custom_extensions = vec![raw_uri(b"spiffe://frame-a.example/admin/root")];
    };
    assert_eq!(edited(twice), "svid-malformed");
    let unknown = |p: &mut CertificateParams| {
        let mut extension =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 2], vec![]);
        extension.set_criticality(true);
        p.custom_extensions = vec![extension];
    };
    assert_eq!(edited(unknown), "svid-critical-extension");
}

#[test]
fn a_changed_byte_breaks_the_signature() {
    let home = Authority::new(HOME);
    let mut der = home.leaf(AGENT, |_| {}).der.to_vec();
    let last = der.len() - 1;
    der[last] ^= 1;
    assert_eq!(
        reason(&[der.into()], &bundles(&[&home]), Purpose::Client),
        "svid-unknown-authority"
    );
}

#[test]
fn weak_keys_and_weak_signatures_are_refused() {
    let home = Authority::new(HOME);
    let weak = SubjectPublicKeyInfo::from_pem(include_str!("../fixtures/rsa1024.pub.pem")).unwrap();
    let leaf = home.leaf_for("/registry/north", &weak);
    assert_eq!(reason(&[leaf], &bundles(&[&home]), Purpose::Client), "svid-weak-key");

    let ca = fixture(include_str!("../fixtures/rsa1024-ca.pem"));
    assert_eq!(
        TrustBundle::from_der(domain(HOME), &[ca]).err(),
        Some(BundleError::Authority {
            trust_domain: domain(HOME),
            index: 0,
            problem: AuthorityProblem::WeakKey
        })
    );

    let pem = include_bytes!("../fixtures/rsa-ca.pem");
    let mut trusted = BundleSet::new();
    trusted.insert(TrustBundle::from_pem(domain(HOME), pem).unwrap()).unwrap();
    let sha256 = fixture(include_str!("../fixtures/svid-sha256.pem"));
    let sha1 = fixture(include_str!("../fixtures/svid-sha1.pem"));
    assert_eq!(reason(&[sha256], &trusted, Purpose::Client), "ok");
    assert_eq!(reason(&[sha1], &trusted, Purpose::Client), "svid-weak-signature");
}

#[test]
fn a_bundle_holds_authorities_only_and_one_per_trust_domain() {
    let home = Authority::new(HOME);
    let leaf = home.leaf(AGENT, |_| {});
    let problem = |der: CertificateDer<'_>| match TrustBundle::from_der(domain(HOME), &[der]) {
        Err(BundleError::Authority { problem, .. }) => problem,
        other => panic!("expected a refused authority, got {:?}", other.err()),
    };
    assert_eq!(problem(leaf.der), AuthorityProblem::NotCa);
    assert_eq!(problem(b"junk".to_vec().into()), AuthorityProblem::Malformed);
    let empty = TrustBundle::from_pem(domain(HOME), b"").err();
    assert_eq!(empty, Some(BundleError::Empty { trust_domain: domain(HOME) }));
    let mut set = bundles(&[&home]);
    let second = set.insert(Authority::new(HOME).bundle());
    assert_eq!(second, Err(BundleError::Duplicate { trust_domain: domain(HOME) }));
}
