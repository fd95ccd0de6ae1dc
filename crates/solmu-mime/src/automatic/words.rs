//! The words by which responders are known, in the languages of our users and the big mail systems.

use crate::mail::ParsedMail;

/// Beginnings of subjects that mail systems write before the subject that they answer. Not `Auto:` (RFC 3834 section
/// 3.1.5): who writes that also writes `Auto-Submitted`, and in Finnish it is a car.
const SUBJECT_STARTS: [&str; 25] = [
    "automatic reply:",
    "automatic reply ",
    "auto reply:",
    "auto-reply:",
    "autoreply:",
    "autoresponse:",
    "out of office",
    "out-of-office",
    "out of the office",
    "away from the office",
    "automaattinen vastaus",
    "automaattivastaus",
    "poissaoloviesti",
    "poissaoloilmoitus",
    "poissa toimistolta",
    "lomavastaaja",
    "autosvar",
    "automatiskt svar",
    "frånvaro",
    "automatische antwort",
    "automatisch antwoord",
    "abwesenheit",
    "réponse automatique",
    "respuesta automática",
    "automatisk svar",
];

/// What tells an absence from another automatic answer, in subject or the beginning of the text.
const AWAY: [&str; 26] = [
    "out of office",
    "out of the office",
    "out-of-office",
    "on vacation",
    "on holiday",
    "on annual leave",
    "on leave",
    "away until",
    "i am away",
    "i'm away",
    "currently away",
    "be away",
    "lomalla",
    "lomani",
    "poissa",
    "poissaolo",
    "en ole töissä",
    "semester",
    "frånvarande",
    "inte på plats",
    "abwesend",
    "abwesenheit",
    "nicht im büro",
    "urlaub",
    "absent du bureau",
    "fuera de la oficina",
];

/// Characters of the text that are looked at: a quoted mail below must not decide.
const LOOKED_AT: usize = 600;

/// Whether the subject begins as mail systems begin it.
pub(super) fn is_automatic_subject(subject: &str) -> bool {
    let subject = subject.trim_start().to_lowercase();
    SUBJECT_STARTS
        .iter()
        .any(|start| subject.starts_with(start))
}

/// Whether an automatic answer speaks of an absence.
pub(super) fn is_away(mail: &ParsedMail) -> bool {
    let text: String = mail.text.chars().take(LOOKED_AT).collect();
    let said = format!("{}\n{}", mail.subject, text).to_lowercase();
    let unquoted = said
        .lines()
        .filter(|line| !line.starts_with('>'))
        .any(|line| AWAY.iter().any(|word| line.contains(word)));
    unquoted || mail.subject.trim_start().to_lowercase().starts_with("away")
}
