//! Headers that say who checked the sender: only those of our own exchanger may ever make one verified.

use solmu_mime::{
    authenticity::{Trust, Verdict, arc_says_pass, judge},
    parse::{ParseLimits, parse},
};

use super::{Target, way};
use crate::seeds;

/// The name that counts.
const OURS: &str = "mx.desk.example";

/// Header blocks.
#[derive(Debug, Default)]
pub(super) struct ResultsTarget {
    limits: ParseLimits,
}

impl Target for ResultsTarget {
    fn name(&self) -> &'static str {
        "results"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        seeds::results()
    }

    fn words(&self) -> &'static [&'static str] {
        &seeds::RESULT_WORDS
    }

    fn longest(&self) -> usize {
        16 * 1024
    }

    fn read(&mut self, input: &[u8]) -> u64 {
        let mail = parse(input, &self.limits);
        let text = String::from_utf8_lossy(input).to_ascii_lowercase();
        let names_ours = mail
            .fields
            .all("authentication-results")
            // A backslash may protect any character of a quoted name.
            .any(|value| value.replace('\\', "").to_ascii_lowercase().contains(OURS));
        let mut ways = Vec::new();
        for trusted_hops in [0, 1, 3] {
            for authserv_id in [None, Some(OURS), Some("")] {
                let trust = Trust {
                    authserv_id,
                    trusted_hops,
                };
                let findings = judge(&mail, trust);
                let verified = findings.verdict == Verdict::Verified;
                if authserv_id.is_none() || (authserv_id == Some(OURS) && !names_ours) {
                    assert!(!verified, "verified by nobody whom we trust");
                }
                assert!(
                    !verified || text.contains("dmarc") || authserv_id == Some(""),
                    "verified without DMARC"
                );
                assert!(
                    !verified || !findings.domain.is_empty(),
                    "verified without a domain"
                );
                ways.push((
                    verified,
                    findings
                        .spf
                        .map(solmu_mime::authenticity::ResultWord::as_str),
                    findings
                        .dkim
                        .map(solmu_mime::authenticity::ResultWord::as_str),
                    findings
                        .dmarc
                        .map(solmu_mime::authenticity::ResultWord::as_str),
                    findings
                        .arc
                        .map(solmu_mime::authenticity::ResultWord::as_str),
                ));
            }
        }
        for value in mail.fields.all("arc-authentication-results") {
            let (passes, value) = (
                arc_says_pass(value, "c.example"),
                value.to_ascii_lowercase(),
            );
            assert!(
                !passes || value.contains("dmarc"),
                "ARC that says nothing of DMARC"
            );
        }
        way(ways)
    }
}
