//! Who writes in a run of the demo, and what. Every run has its own people, so that it never meets the tickets of an
//! earlier one and its outcome is known exactly.

use solmu_domain::rng::Rng;

/// The ids of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cast {
    /// Eight hexadecimal digits, part of every address and id.
    pub(crate) run: String,
    /// Aino writes by e-mail, by the form and in the chat, always with this address.
    pub(crate) aino_email: String,
    /// Pekka's WhatsApp number. Country code 999 is assigned to nobody.
    pub(crate) pekka_phone: String,
    /// Emma's Telegram id.
    pub(crate) emma_user: i64,
}

pub(crate) const AINO: &str = "Aino Mäkelä";
pub(crate) const PEKKA: &str = "Pekka Niemi";
pub(crate) const EMMA: (&str, &str) = ("Emma", "Walker");

pub(crate) const WHATSAPP_TEXT: &str =
    "Moi! Voiko verkkokaupan tilauksen noutaa myymälästä? Tilausnumero on 48307.";
pub(crate) const TELEGRAM_TEXT: &str =
    "Hi, the blanket that I ordered is the wrong colour. Can I exchange it?";
pub(crate) const CHAT_TEXT: &str =
    "Hei! Kirjoitin teille aamulla tilauksesta 48213. Ehdittekö jo katsoa?";
pub(crate) const FORM_SUBJECT: &str = "Osoitteenmuutos";
pub(crate) const FORM_TEXT: &str =
    "Uusi osoitteeni on Koivukuja 3, 33100 Tampere. Muuttakaa se myös tilaukselle 48213.";

impl Cast {
    pub(crate) fn new(rng: &dyn Rng) -> Self {
        let number = rng.next_u64();
        let run = format!("{:08x}", number >> 32);
        Self {
            aino_email: format!("aino.{run}@customers.example"),
            pekka_phone: format!("999{:09}", number % 1_000_000_000),
            emma_user: i64::from(u32::try_from(number & 0x7fff_ffff).unwrap_or_default()) + 1,
            run,
        }
    }

    /// Whether an address or an id is of this run.
    pub(crate) fn owns(&self, text: &str) -> bool {
        text.contains(&self.run)
    }

    /// An id of this run.
    pub(crate) fn id(&self, name: &str) -> String {
        format!("{name}.{}", self.run)
    }
}

#[cfg(test)]
mod tests {
    use solmu_domain::rng::SeededRng;

    use super::*;

    #[test]
    fn two_runs_share_nobody() {
        let (one, other) = (Cast::new(&SeededRng::new(1)), Cast::new(&SeededRng::new(2)));
        assert_ne!(
            (&one.aino_email, &one.pekka_phone, one.emma_user),
            (&other.aino_email, &other.pekka_phone, other.emma_user)
        );
        assert!(one.owns(&one.aino_email) && !one.owns(&other.aino_email));
        assert_eq!((one.run.len(), one.pekka_phone.len()), (8, 12));
        assert!(one.emma_user > 0);
    }
}
