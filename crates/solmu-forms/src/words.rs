//! The program's own words on a form's pages, in the languages that it ships.
//!
//! A form may have more languages than these; then its own words are in its language and these are in English.

/// Sentences and labels of one language. `{n}` stands for a number.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Words {
    pub(crate) code: &'static str,
    pub(crate) submit: &'static str,
    pub(crate) optional: &'static str,
    pub(crate) choose: &'static str,
    pub(crate) language: &'static str,
    pub(crate) error_prefix: &'static str,
    pub(crate) errors_title: &'static str,
    pub(crate) thanks_title: &'static str,
    pub(crate) reference: &'static str,
    pub(crate) leave_empty: &'static str,
    pub(crate) required: &'static str,
    pub(crate) email: &'static str,
    pub(crate) format: &'static str,
    pub(crate) too_long: &'static str,
    pub(crate) too_short: &'static str,
    pub(crate) option: &'static str,
    pub(crate) number: &'static str,
    pub(crate) too_small: &'static str,
    pub(crate) too_big: &'static str,
    pub(crate) unknown: &'static str,
    pub(crate) invalid: &'static str,
    pub(crate) too_fast: &'static str,
    pub(crate) expired: &'static str,
    pub(crate) rate_limited: &'static str,
    pub(crate) unavailable: &'static str,
}

/// The words of a language, English if we do not have it.
pub(crate) fn words(language: &str) -> &'static Words {
    [&FI, &SV]
        .into_iter()
        .find(|words| words.code == language)
        .unwrap_or(&EN)
}

static EN: Words = Words {
    code: "en",
    submit: "Send",
    optional: "(optional)",
    choose: "Choose",
    language: "Language",
    error_prefix: "Error: ",
    errors_title: "There is a problem",
    thanks_title: "Thank you",
    reference: "Your reference",
    leave_empty: "Leave this field empty",
    required: "Fill in this field",
    email: "Enter an e-mail address such as name@example.com",
    format: "This is not in the expected form",
    too_long: "Use at most {n} characters",
    too_short: "Use at least {n} characters",
    option: "Choose one of the options",
    number: "Enter a number",
    too_small: "Enter {n} or more",
    too_big: "Enter {n} or less",
    unknown: "This form has no such field",
    invalid: "Check this field",
    too_fast: "That was very quick. Check your message and send it again.",
    expired: "The page stood open too long. Your answers are kept: send them again.",
    rate_limited: "Too many messages came from you. Your answers are kept: send them again in a while.",
    unavailable: "We cannot take messages just now. Your answers are kept: send them again in a moment.",
};

static FI: Words = Words {
    code: "fi",
    submit: "Lähetä",
    optional: "(vapaaehtoinen)",
    choose: "Valitse",
    language: "Kieli",
    error_prefix: "Virhe: ",
    errors_title: "Tarkista tiedot",
    thanks_title: "Kiitos",
    reference: "Viitenumerosi",
    leave_empty: "Jätä tämä kenttä tyhjäksi",
    required: "Täytä tämä kenttä",
    email: "Anna sähköpostiosoite, esimerkiksi nimi@example.com",
    format: "Tämä ei ole odotetussa muodossa",
    too_long: "Käytä enintään {n} merkkiä",
    too_short: "Käytä vähintään {n} merkkiä",
    option: "Valitse jokin vaihtoehdoista",
    number: "Anna luku",
    too_small: "Anna vähintään {n}",
    too_big: "Anna enintään {n}",
    unknown: "Lomakkeella ei ole tällaista kenttää",
    invalid: "Tarkista tämä kenttä",
    too_fast: "Lähetit lomakkeen hyvin nopeasti. Tarkista viesti ja lähetä se uudelleen.",
    expired: "Sivu oli auki liian kauan. Vastauksesi ovat tallella: lähetä ne uudelleen.",
    rate_limited: "Sinulta on tullut liian monta viestiä. Vastauksesi ovat tallella: lähetä ne hetken päästä uudelleen.",
    unavailable: "Emme voi juuri nyt ottaa viestejä vastaan. Vastauksesi ovat tallella: lähetä ne hetken päästä uudelleen.",
};

static SV: Words = Words {
    code: "sv",
    submit: "Skicka",
    optional: "(valfritt)",
    choose: "Välj",
    language: "Språk",
    error_prefix: "Fel: ",
    errors_title: "Kontrollera uppgifterna",
    thanks_title: "Tack",
    reference: "Din referens",
    leave_empty: "Lämna detta fält tomt",
    required: "Fyll i detta fält",
    email: "Ange en e-postadress, till exempel namn@example.com",
    format: "Detta har inte den väntade formen",
    too_long: "Använd högst {n} tecken",
    too_short: "Använd minst {n} tecken",
    option: "Välj ett av alternativen",
    number: "Ange ett tal",
    too_small: "Ange {n} eller mer",
    too_big: "Ange {n} eller mindre",
    unknown: "Formuläret har inget sådant fält",
    invalid: "Kontrollera detta fält",
    too_fast: "Det gick mycket fort. Kontrollera meddelandet och skicka det igen.",
    expired: "Sidan stod öppen för länge. Dina svar finns kvar: skicka dem igen.",
    rate_limited: "För många meddelanden har kommit från dig. Dina svar finns kvar: skicka dem igen om en stund.",
    unavailable: "Vi kan inte ta emot meddelanden just nu. Dina svar finns kvar: skicka dem igen om en stund.",
};
