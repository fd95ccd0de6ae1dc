//! Words of enums and times: stable keys for scripts, and what people say.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use solmu_proto::{
    access::v1::Role,
    routing::v1::Presence,
    sla::v1::Metric,
    ticket::v1::ticket_link,
    types::v1::{
        Assurance, AutomaticClass, Channel, DeliveryState, IdentityKind, Priority, TicketStatus,
        actor::Kind,
    },
};

/// Stable keys of a protobuf enum: its names without the prefix, in lower case.
macro_rules! keys {
    ($($(#[$doc:meta])* $function:ident: $kind:ty, $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $function(code: i32) -> String {
            match <$kind>::try_from(code) {
                Ok(value) => value.as_str_name().trim_start_matches($prefix).to_ascii_lowercase(),
                // A newer server may know more than we do.
                Err(_) => format!("unknown_{code}"),
            }
        }
    )*};
}

keys! {
    /// `email`, `chat`, `form`, `whatsapp`, `telegram`.
    channel: Channel, "CHANNEL_";
    /// `new`, `open`, `waiting_on_customer` and so on.
    status: TicketStatus, "TICKET_STATUS_";
    /// `low`, `normal`, `high`, `urgent`.
    priority: Priority, "PRIORITY_";
    /// `queued` to `failed`.
    delivery: DeliveryState, "DELIVERY_STATE_";
    /// `human`, `auto_reply` and so on.
    automatic: AutomaticClass, "AUTOMATIC_CLASS_";
    /// `email`, `phone` and so on.
    identity: IdentityKind, "IDENTITY_KIND_";
    /// `weak`, `claimed`, `proven`.
    assurance: Assurance, "ASSURANCE_";
    /// `customer`, `agent` and so on.
    actor: Kind, "KIND_";
    /// `online`, `away`, `offline`.
    presence: Presence, "PRESENCE_";
    /// `admin`, `agent`, `service`.
    role: Role, "ROLE_";
    /// `first_response`, `next_response`, `resolution`.
    metric: Metric, "METRIC_";
    /// `mentions`, `mentioned_by`, `same_thread`.
    link: ticket_link::Kind, "KIND_";
}

/// A key as words: "waiting on customer".
#[must_use]
pub fn spoken(key: &str) -> String {
    key.replace('_', " ")
}

/// A time of an API message.
#[must_use]
pub fn time(at: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
}

/// "in 3 h 20 min" or "12 min ago".
#[must_use]
pub fn relative(now: Timestamp, at: Timestamp) -> String {
    let gap = at.duration_since(now);
    if gap.is_negative() {
        format!("{} ago", length(gap))
    } else {
        format!("in {}", length(gap))
    }
}

/// "in 3 h 20 min", "12 min late", or a dash without a due time.
#[must_use]
pub fn due(now: Timestamp, at: Option<Timestamp>, breached: bool) -> String {
    match at {
        None if breached => "! breached".to_owned(),
        None => "-".to_owned(),
        Some(at) if at < now => format!("! {} late", length(at.duration_since(now))),
        Some(at) if breached => format!("! {}", relative(now, at)),
        Some(at) => relative(now, at),
    }
}

/// A length in the two largest units that say something: "45 s", "12 min", "3 h 20 min", "2 d 4 h".
#[must_use]
pub fn length(gap: SignedDuration) -> String {
    let seconds = gap.unsigned_abs().as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |large: u64, unit: &str, small: u64, smaller: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {smaller}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{minutes} min"),
        3_600..86_400 => two(hours, "h", minutes % 60, "min"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

/// A moment in the zone of this machine: "2026-11-22 14:03:05".
#[must_use]
pub fn moment(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// Text that is safe on a terminal: control characters, which could move the cursor or fake output, are taken out;
/// line breaks and tabs stay.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| matches!(c, '\n' | '\t') || !(c.is_control() || is_direction(*c)))
        .collect()
}

/// One clean line of at most `most` characters.
#[must_use]
pub fn short(text: &str, most: usize) -> String {
    let line = clean(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let mut cut: String = line.chars().take(most.saturating_sub(1)).collect();
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}

/// Marks that turn the direction of what follows, and so can disguise it.
const fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_stable() {
        assert_eq!(
            status(TicketStatus::WaitingOnThirdParty.into()),
            "waiting_on_third_party"
        );
        assert_eq!(
            spoken(&status(TicketStatus::CustomerReplied.into())),
            "customer replied"
        );
        assert_eq!(channel(Channel::Whatsapp.into()), "whatsapp");
        assert_eq!(metric(Metric::FirstResponse.into()), "first_response");
        assert_eq!(actor(Kind::Customer.into()), "customer");
        assert_eq!(priority(99), "unknown_99");
    }

    #[test]
    fn times_as_people_say_them() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let at = |seconds| now + SignedDuration::from_secs(seconds);
        assert_eq!(relative(now, at(12_000)), "in 3 h 20 min");
        assert_eq!(relative(now, at(-59)), "59 s ago");
        assert_eq!(relative(now, at(7_200)), "in 2 h");
        assert_eq!(relative(now, at(187_200)), "in 2 d 4 h");
        assert_eq!(due(now, Some(at(-720)), true), "! 12 min late");
        assert_eq!(due(now, Some(at(720)), true), "! in 12 min");
        assert_eq!(due(now, Some(at(720)), false), "in 12 min");
        assert_eq!(
            (due(now, None, false), due(now, None, true)),
            ("-".to_owned(), "! breached".to_owned())
        );
    }

    #[test]
    fn what_a_customer_wrote_cannot_drive_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\r\n\u{202e}c\u{9b}"), "a[2Jb\nc");
        assert_eq!(short("Hyvää   huomenta\nkaikille", 10), "Hyvää huo…");
        assert_eq!(short("äö", 2), "äö");
    }
}
