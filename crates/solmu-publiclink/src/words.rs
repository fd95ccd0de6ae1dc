//! The words of the page, in three languages.

use serde::Serialize;
use solmu_domain::ticket::Status;

use crate::shown::Stage;

/// Everything that the page says by itself.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Words {
    /// BCP 47.
    pub(crate) language: &'static str,
    pub(crate) ticket: &'static str,
    pub(crate) status: &'static str,
    pub(crate) opened: &'static str,
    pub(crate) messages: &'static str,
    pub(crate) none: &'static str,
    pub(crate) older: &'static str,
    pub(crate) files: &'static str,
    pub(crate) you: &'static str,
    pub(crate) participant: &'static str,
    pub(crate) desk: &'static str,
    pub(crate) answer_hint: &'static str,
    pub(crate) gone_title: &'static str,
    pub(crate) gone: &'static str,
    pub(crate) busy_title: &'static str,
    pub(crate) busy: &'static str,
    #[serde(skip)]
    states: [&'static str; 5],
}

const FI: Words = Words {
    language: "fi",
    ticket: "Palvelupyyntö",
    status: "Tila",
    opened: "Avattu",
    messages: "Viestit",
    none: "Viestejä ei ole.",
    older: "Vain uusimmat viestit näytetään.",
    files: "Liitteitä",
    you: "Sinä",
    participant: "Osallistuja",
    desk: "Asiakaspalvelu",
    answer_hint: "Tällä sivulla voi vain lukea. Vastaa samaa kautta, jota viestit tulivat sinulle.",
    gone_title: "Sivua ei ole",
    gone: "Linkki ei toimi: se on väärä, vanhentunut tai poistettu käytöstä. Pyydä asiakaspalvelusta uusi linkki.",
    busy_title: "Liian monta pyyntöä",
    busy: "Yritä hetken kuluttua uudelleen.",
    states: [
        "Vastaanotettu",
        "Käsittelyssä",
        "Odottaa vastaustasi",
        "Ratkaistu",
        "Suljettu",
    ],
};

const SV: Words = Words {
    language: "sv",
    ticket: "Ärende",
    status: "Status",
    opened: "Öppnat",
    messages: "Meddelanden",
    none: "Det finns inga meddelanden.",
    older: "Endast de senaste meddelandena visas.",
    files: "Bilagor",
    you: "Du",
    participant: "Deltagare",
    desk: "Kundtjänst",
    answer_hint: "Den här sidan kan bara läsas. Svara samma väg som meddelandena kom till dig.",
    gone_title: "Sidan finns inte",
    gone: "Länken fungerar inte: den är fel, har gått ut eller har tagits ur bruk. Be kundtjänsten om en ny länk.",
    busy_title: "För många förfrågningar",
    busy: "Försök igen om en stund.",
    states: [
        "Mottaget",
        "Under behandling",
        "Väntar på ditt svar",
        "Löst",
        "Stängt",
    ],
};

const EN: Words = Words {
    language: "en",
    ticket: "Request",
    status: "Status",
    opened: "Opened",
    messages: "Messages",
    none: "There are no messages.",
    older: "Only the newest messages are shown.",
    files: "Files",
    you: "You",
    participant: "Participant",
    desk: "Customer service",
    answer_hint: "This page can only be read. Answer the way the messages came to you.",
    gone_title: "There is no such page",
    gone: "The link does not work: it is wrong, has expired or was withdrawn. Ask customer service for a new one.",
    busy_title: "Too many requests",
    busy: "Please try again in a moment.",
    states: [
        "Received",
        "In progress",
        "Waiting for your answer",
        "Resolved",
        "Closed",
    ],
};

impl Words {
    /// What a customer is told of a status: what is going on inside of the desk is one state to them.
    pub(crate) const fn state(&self, status: Status) -> &'static str {
        let place = match Stage::of(status) {
            Stage::Received => 0,
            Stage::InProgress => 1,
            Stage::WaitingForRequester => 2,
            Stage::Resolved => 3,
            Stage::Closed => 4,
        };
        self.states[place]
    }
}

/// The words for an `Accept-Language` (RFC 9110 section 12.5.4): the best liked of ours, else English.
pub(crate) fn accepted(header: &str) -> &'static Words {
    let mut best: (f32, &'static Words) = (0.0, &EN);
    for part in header.split(',').take(20) {
        let (tag, parameters) = part.split_once(';').unwrap_or((part, ""));
        let quality = parameters
            .trim()
            .strip_prefix("q=")
            .map_or(1.0, |q| q.parse().unwrap_or(0.0));
        let tag = tag.trim().to_ascii_lowercase();
        let words = match tag.split('-').next() {
            Some("fi") => &FI,
            Some("sv") => &SV,
            Some("en") => &EN,
            _ => continue,
        };
        if quality > best.0 {
            best = (quality, words);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_language_is_taken() {
        for (header, language) in [
            ("", "en"),
            ("fi", "fi"),
            ("sv-FI, fi;q=0.8", "sv"),
            ("de, fi;q=0.3, sv;q=0.7", "sv"),
            ("de", "en"),
            ("*", "en"),
            ("fi;q=0, en;q=0.1", "en"),
            ("fi;q=x", "en"),
        ] {
            assert_eq!(accepted(header).language, language, "{header}");
        }
    }

    #[test]
    fn every_status_has_a_word_in_each_language() {
        for words in [&FI, &SV, &EN] {
            for status in Status::ALL {
                assert!(!words.state(status).is_empty());
            }
        }
        assert_eq!(FI.state(Status::WaitingOnThirdParty), "Käsittelyssä");
    }
}
