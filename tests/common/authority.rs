//! Who signs the certificates of the registries: one authority for the whole run, so that a daemon which tests share
//! knows it before it meets a registry.

use std::sync::LazyLock;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

/// The host that the certificates are for, beside 127.0.0.1.
pub(crate) const NAME: &str = "roadstead.test";

static AUTHORITY: LazyLock<CertifiedIssuer<'static, KeyPair>> = LazyLock::new(|| {
    let mut authority = params("the tests of Roadstead", &[]);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    CertifiedIssuer::self_signed(authority, key()).expect("it can be signed")
});

/// The authority's own certificate, as PEM.
pub(crate) fn certificate() -> String {
    AUTHORITY.pem()
}

/// A new certificate and its key, both as PEM.
pub(crate) fn issue() -> (String, String) {
    let mut subject = params(NAME, &["127.0.0.1", NAME]);
    subject.use_authority_key_identifier_extension = true;
    let key = key();
    let certificate = subject.signed_by(&key, &AUTHORITY).expect("it can be signed");
    (certificate.pem(), key.serialize_pem())
}

/// What a certificate says of somebody. A subject of the authority's name would be taken for the authority.
fn params(subject: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("they are names");
    params.distinguished_name.push(DnType::CommonName, subject);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("it needs nothing from outside")
}
