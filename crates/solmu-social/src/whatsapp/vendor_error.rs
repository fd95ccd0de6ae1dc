//! Meta's error codes: which of them pass, which never will, and what to tell the agent.
//!
//! Source: Meta's error code tables of the Cloud API, Graph v26.0. Rate limits and server faults are tried again; an
//! authorisation fault too, because the operator can cure it within the hours that the attempts take.

use std::time::Duration;

/// What to do about a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Try again after the usual wait, or at least this one.
    Retry(Option<Duration>),
    /// Never again.
    Fail,
}

/// Business and customer may exchange one message in six seconds.
const PAIR_RATE_WAIT: Duration = Duration::from_secs(6);

/// What to do about `code`; nothing for codes that we do not know.
pub(crate) fn action(code: i64) -> Option<Action> {
    match code {
        131_056 => Some(Action::Retry(Some(PAIR_RATE_WAIT))),
        // Authorisation; rates; server and maintenance.
        0
        | 3
        | 10
        | 190
        | 200..=299
        | 4
        | 17
        | 32
        | 613
        | 80_007
        | 130_429
        | 1
        | 2
        | 131_000
        | 131_016
        | 131_057
        | 133_004
        | 135_000 => Some(Action::Retry(None)),
        _ if explain(code).is_some() => Some(Action::Fail),
        100 | 33 | 131_008 | 131_009 | 131_051..=131_053 | 132_000..=132_099 => Some(Action::Fail),
        _ => None,
    }
}

/// What to tell the agent.
pub(crate) fn explain(code: i64) -> Option<&'static str> {
    Some(match code {
        0 | 3 | 10 | 190 | 200..=299 => {
            "WhatsApp refuses our access token: the account must be authorised again"
        }
        4 | 17 | 32 | 613 | 80_007 | 130_429 => "WhatsApp's rate limit of our number is reached",
        368 | 131_031 => "WhatsApp has restricted our account",
        130_472 | 131_049 => {
            "WhatsApp did not deliver it, to limit what the customer gets from businesses"
        }
        130_497 => "WhatsApp does not let our number write to the customer's country",
        131_021 => "sender and recipient are the same number",
        131_026 => {
            "the customer cannot get it: no WhatsApp, an old version, or its terms not accepted"
        }
        131_030 => "the number is not on the list of allowed test numbers",
        131_037 | 131_042 | 131_045 => {
            "our number is not set up for sending: display name, payment or certificate"
        }
        131_047 => {
            "more than 24 hours have passed since the customer last wrote: only a template may be sent now"
        }
        131_048 | 131_064 => "WhatsApp limits our number because customers blocked or reported it",
        131_050 => "the customer has opted out of messages from us",
        131_056 => "too many messages to this customer in a short time",
        131_062 => "this kind of message cannot go to a customer without a phone number",
        137_000 => "the customer's identity has changed and must be confirmed",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_into_what_passes_and_what_never_will() {
        assert_eq!(action(131_056), Some(Action::Retry(Some(PAIR_RATE_WAIT))));
        for code in [
            4, 80_007, 130_429, 131_000, 131_016, 135_000, 2, 190, 200, 10,
        ] {
            assert_eq!(action(code), Some(Action::Retry(None)), "{code}");
        }
        for code in [
            131_047, 131_026, 131_049, 131_050, 368, 132_001, 131_051, 100, 137_000,
        ] {
            assert_eq!(action(code), Some(Action::Fail), "{code}");
        }
        assert_eq!(action(99_999), None);
    }
}
