//! Meta's error codes: which of them pass, which never will, and what to tell the agent.
//!
//! Source: Meta's error code tables of the Cloud API, Graph v26.0. Rate limits and server faults are tried again; an
//! authorisation fault too, because the operator can cure it within the hours that the attempts take. How long a limit
//! lasts stands in the header `X-Business-Use-Case-Usage`, in minutes.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;
use solmu_connector::http::retry_after;

/// What to do about a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Try again after the usual wait.
    Retry,
    /// The number sends too much, or the business account, or the app.
    Throttled,
    /// This customer gets too much in a short time: wait at least this long, with them alone.
    Pair(Duration),
    /// Never again.
    Fail,
}

/// More than Meta's limits last: they count over an hour or a day.
const LONGEST_MINUTES: u64 = 24 * 60;
/// Business and customer may exchange one message in six seconds.
const PAIR_RATE_WAIT: Duration = Duration::from_secs(6);

/// Where Meta writes how much of its limits is used, and when they are over.
const USAGE: &str = "x-business-use-case-usage";

/// How long a limit lasts, as the answer says it: `Retry-After`, or the longest of the minutes in Meta's own header
/// (`{"<id>": [{"estimated_time_to_regain_access": 3, ..}]}`).
pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
    retry_after(headers).or_else(|| {
        let usage: Value = serde_json::from_slice(headers.get(USAGE)?.as_bytes()).ok()?;
        let limits = usage
            .as_object()?
            .values()
            .filter_map(Value::as_array)
            .flatten();
        let minutes = limits.filter_map(|it| it["estimated_time_to_regain_access"].as_u64());
        let longest = minutes.max().filter(|minutes| *minutes > 0)?;
        Some(Duration::from_mins(longest.min(LONGEST_MINUTES)))
    })
}

/// What to do about `code`; nothing for codes that we do not know.
pub(crate) fn action(code: i64) -> Option<Action> {
    match code {
        131_056 => Some(Action::Pair(PAIR_RATE_WAIT)),
        4 | 17 | 32 | 613 | 80_007 | 130_429 => Some(Action::Throttled),
        // Authorisation; server and maintenance.
        0 | 3 | 10 | 190 | 200..=299 | 1 | 2 | 131_000 | 131_016 | 131_057 | 133_004 | 135_000 => {
            Some(Action::Retry)
        }
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
        assert_eq!(action(131_056), Some(Action::Pair(PAIR_RATE_WAIT)));
        for code in [4, 17, 32, 613, 80_007, 130_429] {
            assert_eq!(action(code), Some(Action::Throttled), "{code}");
        }
        for code in [131_000, 131_016, 135_000, 2, 190, 200, 10] {
            assert_eq!(action(code), Some(Action::Retry), "{code}");
        }
        for code in [
            131_047, 131_026, 131_049, 131_050, 368, 132_001, 131_051, 100, 137_000,
        ] {
            assert_eq!(action(code), Some(Action::Fail), "{code}");
        }
        assert_eq!(action(99_999), None);
    }

    #[test]
    fn the_time_until_a_limit_is_over_is_read() {
        let of = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            wait(&headers).map(|wait| wait.as_secs())
        };
        let usage = r#"{"102": [{"type": "whatsapp", "call_count": 100, "estimated_time_to_regain_access": 3},
            {"type": "messenger", "estimated_time_to_regain_access": 0}]}"#.replace('\n', "");
        assert_eq!(of(USAGE, &usage), Some(180));
        assert_eq!(of("retry-after", "9"), Some(9));
        for nothing in [
            "{}",
            "[]",
            "x",
            r#"{"1": [{"estimated_time_to_regain_access": 0}]}"#,
        ] {
            assert_eq!(of(USAGE, nothing), None, "{nothing}");
        }
        assert_eq!(wait(&HeaderMap::new()), None);
    }
}
