//! Wildcard answers of a zone that is signed with NSEC: the library takes them for forged where the name has one
//! label instead of the `*` (hickory-dns#3812), so they are checked again here.
//!
//! The library verifies all signatures, and reports the result for each record. What is left is the proof
//! that the zone has no name which is closer to the queried one than the wildcard (RFC 4035, 5.3.4):
//! without it, the answer of a wildcard could be replayed for a name that has records of its own.

use std::sync::Arc;

use hickory_resolver::config::{NameServerConfig, ResolverOpts};
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::FirstAnswer;
use hickory_resolver::net::{DnsError, DnsHandle, NetError};
use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, NSEC, RRSIG};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::{DnsRequestOptions, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};

/// Queries one server, and checks again the answers that the library refuses.
#[derive(Clone)]
pub(super) struct Prover(DnssecDnsHandle<NameServerPool<TokioRuntimeProvider>>);

impl Prover {
    /// Makes a client that trusts these keys.
    pub(super) fn new(
        server: NameServerConfig,
        options: ResolverOpts,
        tls: TlsConfig,
        anchors: Arc<TrustAnchors>,
    ) -> Self {
        let context = Arc::new(PoolContext::new(options, tls));
        let provider = TokioRuntimeProvider::default();
        let pool = NameServerPool::from_config([server], context, provider);
        Self(DnssecDnsHandle::with_trust_anchor(pool, anchors))
    }

    /// Returns the answer, if it is proven.
    pub(super) async fn query(&self, name: &Name, kind: RecordType) -> Option<Vec<Record>> {
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.edns_set_dnssec_ok = true;
        let query = Query::query(name.clone(), kind);
        match self.0.lookup(query, options).first_answer().await {
            Err(NetError::Dns(DnsError::Nsec { response, .. })) => {
                let is_answer = response.metadata.response_code == ResponseCode::NoError;
                (is_answer && is_proven(&response.answers, &response.authorities))
                    .then(|| response.answers.clone())
            }
            _ => None,
        }
    }
}

/// Returns whether each record of an answer is proven, also those of a wildcard.
fn is_proven(answers: &[Record], authorities: &[Record]) -> bool {
    let mut records = answers.iter().filter(|it| it.record_type() != RecordType::RRSIG).peekable();
    records.peek().is_some()
        && records.all(|record| match record.proof {
            Proof::Secure => {
                let signature = signature(record, answers);
                signature.is_some_and(|it| is_closest(&record.name, it, authorities))
            }
            // The zone is proven not to be signed.
            Proof::Insecure => true,
            Proof::Bogus | Proof::Indeterminate => false,
        })
}

/// Finds the signature that verified a record.
fn signature<'a>(record: &Record, among: &'a [Record]) -> Option<&'a RRSIG> {
    among.iter().find_map(|it| match &it.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature))
            if it.proof == Proof::Secure
                && it.name == record.name
                && signature.input().type_covered == record.record_type() =>
        {
            Some(signature)
        }
        _ => None,
    })
}

/// Returns whether a name is in its zone itself, or is proven to match the closest wildcard.
fn is_closest(name: &Name, signature: &RRSIG, authorities: &[Record]) -> bool {
    let signed = usize::from(signature.input().num_labels);
    let labels = name.iter().count();
    if name.is_wildcard() || signed >= labels {
        // A wildcard that is queried by its own name has a label more than its signature counts.
        return signed + usize::from(name.is_wildcard()) == labels;
    }
    let zone = &signature.input().signer_name;
    // "Next closer" (RFC 5155, 1.3): the name below the parent of the wildcard. If it does not exist, no name is
    // closer.
    let absent = name.trim_to(signed + 1);
    authorities.iter().any(|record| {
        let RData::DNSSEC(DNSSECRData::NSEC(nsec)) = &record.data else { return false };
        record.proof == Proof::Secure
            && self::signature(record, authorities)
                .is_some_and(|signature| signature.input().signer_name == *zone)
            && denies(&record.name, nsec, &absent, zone)
    })
}

/// Returns whether the record at `owner` says that a name of its zone does not exist.
fn denies(owner: &Name, nsec: &NSEC, absent: &Name, zone: &Name) -> bool {
    let next = nsec.next_domain_name();
    let is_last = next == zone;
    zone.zone_of(owner)
        && zone.zone_of(absent)
        && owner < absent
        && (is_last || (absent < next && zone.zone_of(next)))
        // It exists when something is below it.
        && !absent.zone_of(next)
        // Names below a delegation belong to another zone (RFC 6840, 4.1).
        && !(nsec.is_ancestor_delegation() && owner.zone_of(absent))
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::dnssec::Algorithm;
    use hickory_resolver::proto::dnssec::rdata::SigInput;
    use hickory_resolver::proto::rr::SerialNumber;
    use hickory_resolver::proto::rr::rdata::TXT;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(format!("{text}.")).unwrap()
    }

    fn proven(owner: &str, data: RData) -> Record {
        let mut record = Record::from_rdata(name(owner), 1, data);
        record.proof = Proof::Secure;
        record
    }

    fn signed(owner: &str, kind: RecordType, labels: u8, signer: &str) -> Record {
        let input = SigInput {
            type_covered: kind,
            algorithm: Algorithm::ECDSAP256SHA256,
            num_labels: labels,
            original_ttl: 1,
            sig_expiration: SerialNumber::new(2),
            sig_inception: SerialNumber::new(1),
            key_tag: 1,
            signer_name: name(signer),
        };
        let signature = RRSIG::from_sig(input, vec![1]);
        proven(owner, RData::DNSSEC(DNSSECRData::RRSIG(signature)))
    }

    /// A TXT record that a wildcard with so many labels has made.
    fn text(owner: &str, labels: u8) -> Vec<Record> {
        let text = TXT::new(vec!["x".to_owned()]);
        vec![proven(owner, RData::TXT(text)), signed(owner, RecordType::TXT, labels, "a.test")]
    }

    fn nsec(owner: &str, next: &str, types: &[RecordType]) -> Vec<Record> {
        let labels = u8::try_from(owner.trim_start_matches("*.").split('.').count()).unwrap();
        let nsec = NSEC::new(name(next), types.iter().copied());
        let signer = if owner.ends_with("a.test") { "a.test" } else { "other" };
        vec![
            proven(owner, RData::DNSSEC(DNSSECRData::NSEC(nsec))),
            signed(owner, RecordType::NSEC, labels, signer),
        ]
    }

    const PLAIN: &[RecordType] = &[RecordType::TXT, RecordType::RRSIG, RecordType::NSEC];

    #[test]
    fn the_answer_of_a_wildcard_is_proven_where_nothing_is_closer() {
        for (owner, labels, denial) in [
            ("_dnslink.a.test", 2, nsec("*.a.test", "ns.a.test", PLAIN)),
            ("_dnslink.a.test", 2, nsec("a.test", "b.a.test", PLAIN)),
            ("z.a.test", 2, nsec("ns.a.test", "a.test", PLAIN)),
            // Deeper: the name next to the parent of the wildcard has to be absent.
            ("x.y.a.test", 2, nsec("ns.a.test", "z.a.test", PLAIN)),
            ("x.y.b.a.test", 3, nsec("*.b.a.test", "z.b.a.test", PLAIN)),
        ] {
            assert!(is_proven(&text(owner, labels), &denial), "{owner} {denial:?}");
        }
        // Of its own, no wildcard.
        assert!(is_proven(&text("b.a.test", 3), &[]));
        assert!(is_proven(&text("*.a.test", 2), &[]));
    }

    #[test]
    fn the_answer_of_a_wildcard_is_not_taken_for_a_name_that_may_exist() {
        for (owner, labels, denial) in [
            ("_dnslink.a.test", 2, vec![]),
            // It speaks of other names; it begins or ends with the very name.
            ("_dnslink.a.test", 2, nsec("b.a.test", "ns.a.test", PLAIN)),
            ("_dnslink.a.test", 2, nsec("_dnslink.a.test", "ns.a.test", PLAIN)),
            ("_dnslink.a.test", 2, nsec("*.a.test", "_dnslink.a.test", PLAIN)),
            // Something is below the name, so it exists.
            ("_dnslink.a.test", 2, nsec("*.a.test", "x._dnslink.a.test", PLAIN)),
            // The name in between may exist.
            ("x.y.a.test", 2, nsec("a.y.a.test", "z.y.a.test", PLAIN)),
            // Another zone's, also one above or below.
            ("_dnslink.a.test", 2, nsec("test", "zzz.test", PLAIN)),
            ("_dnslink.a.test", 2, nsec("*.other", "a.other", PLAIN)),
            // From above a delegation.
            (
                "x.sub.a.test",
                2,
                nsec("sub.a.test", "z.a.test", &[RecordType::NS, RecordType::NSEC]),
            ),
            // More labels are signed than there are.
            ("_dnslink.a.test", 4, nsec("*.a.test", "ns.a.test", PLAIN)),
            ("_dnslink.a.test", 1, nsec("*.a.test", "ns.a.test", PLAIN)),
        ] {
            assert!(!is_proven(&text(owner, labels), &denial), "{owner} {labels} {denial:?}");
        }
    }

    #[test]
    fn what_was_not_verified_proves_nothing() {
        let (answer, denial) = (text("_dnslink.a.test", 2), nsec("*.a.test", "ns.a.test", PLAIN));
        assert!(is_proven(&answer, &denial));
        for index in 0..2 {
            for proof in [Proof::Bogus, Proof::Indeterminate, Proof::Insecure] {
                let (mut answer, mut denial) = (answer.clone(), denial.clone());
                denial[index].proof = proof;
                assert!(!is_proven(&answer, &denial), "{index} {proof}");
                answer[index].proof = proof;
                let is_unsigned = index == 0 && proof == Proof::Insecure;
                assert_eq!(is_proven(&answer, &denial), is_unsigned, "{index} {proof}");
            }
        }
        assert!(!is_proven(&[], &denial));
        assert!(!is_proven(&answer[1..], &denial), "a signature is no answer");
    }
}
