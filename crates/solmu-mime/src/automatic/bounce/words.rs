//! The words of bounces in the big languages other than English.
//!
//! In a subject they decide only of mail from a mail system: a parcel service's "Zustellung fehlgeschlagen" is none. In a
//! text they speak of a message, so that a sender without a return path is enough. Signs above letters are left out on
//! both sides, because half of these reports are written without them.

/// Subjects, and what they begin with.
const SUBJECTS: [&str; 34] = [
    // Finnish
    "toimitus epaonnistui",
    "ei voi toimittaa",
    "ei voitu toimittaa",
    "toimittamaton",
    "palautettu viesti",
    // Swedish, Danish, Norwegian
    "det gick inte att leverera",
    "kunde inte leverera",
    "kan inte levereras",
    "olevererat",
    "ej levererat",
    "ikke leveret",
    "kunne ikke leveres",
    "ikke levert",
    // German
    "zustellung fehlgeschlagen",
    "zustellungsfehler",
    "unzustellbar",
    "nicht zugestellt",
    "nicht zustellbar",
    // French
    "non remis",
    "non delivre",
    "non distribue",
    "echec de la remise",
    "echec de remise",
    "echec de distribution",
    // Spanish, Portuguese, Italian
    "no se puede entregar",
    "no se pudo entregar",
    "no entregado",
    "nao foi possivel entregar",
    "falha na entrega",
    "mancato recapito",
    "mancata consegna",
    // Dutch, Polish
    "onbestelbaar",
    "kan niet worden bezorgd",
    "nie dostarczono",
];

/// What a text says of a message that did not arrive.
const TEXTS: [&str; 24] = [
    "viestia ei voitu toimittaa",
    "viestiasi ei voitu toimittaa",
    "viestisi toimitus epaonnistui",
    "viestin toimitus epaonnistui",
    "meddelandet kunde inte levereras",
    "ditt meddelande kunde inte levereras",
    "det gick inte att leverera meddelandet",
    "beskeden kunne ikke leveres",
    "meldingen kunne ikke leveres",
    "nachricht konnte nicht zugestellt werden",
    "e-mail konnte nicht zugestellt werden",
    "nachricht wurde nicht zugestellt",
    "message n'a pas pu etre remis",
    "message n a pas pu etre remis",
    "message n'a pas ete remis",
    "message n'a pas pu etre delivre",
    "message n'a pas pu etre distribue",
    "mensaje no se pudo entregar",
    "mensaje no se ha podido entregar",
    "no se pudo entregar el mensaje",
    "mensagem nao pode ser entregue",
    "messaggio non e stato recapitato",
    "bericht kan niet worden bezorgd",
    "wiadomosc nie mogla zostac dostarczona",
];

/// Subjects of mail that is still on its way.
const LATE: [&str; 8] = [
    "toimitus viivastyy",
    "toimitus myohassa",
    "leveransen ar forsenad",
    "fordrojd leverans",
    "zustellung verzogert",
    "verzogerte zustellung",
    "remise retardee",
    "entrega retrasada",
];

/// Whether the subject (lower case) of a mail system's mail says that something did not arrive.
pub(super) fn fails(subject: &str) -> bool {
    let plain = plain(subject);
    SUBJECTS
        .iter()
        .chain(&LATE)
        .any(|known| plain.contains(known))
}

/// Whether a subject (lower case) says that something is late.
pub(super) fn is_late(subject: &str) -> bool {
    let plain = plain(subject);
    LATE.iter().any(|known| plain.contains(known))
}

/// Whether a text (lower case) says that a message did not arrive.
pub(super) fn tells_of_failure(text: &str) -> bool {
    let plain = plain(text);
    TEXTS.iter().any(|known| plain.contains(known))
}

/// Without signs above letters, on one line.
fn plain(text: &str) -> String {
    let letter = |character: char| match character {
        'ä' | 'å' | 'à' | 'á' | 'â' | 'ã' | 'ą' => 'a',
        'ö' | 'ó' | 'ô' | 'õ' | 'ò' => 'o',
        'ü' | 'ú' | 'û' | 'ù' => 'u',
        'é' | 'è' | 'ê' | 'ë' | 'ę' => 'e',
        'í' | 'î' | 'ï' => 'i',
        'ł' => 'l',
        'ś' => 's',
        'ć' | 'ç' => 'c',
        '’' => '\'',
        '\n' | '\r' | '\t' | '\u{a0}' => ' ',
        other => other,
    };
    text.chars().map(letter).collect()
}
