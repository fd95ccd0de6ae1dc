//! Quotes and signatures as the mail clients of our users write them.

mod clients;
mod html;

use super::find;

/// A text and what is to be found in it.
struct Case {
    name: &'static str,
    text: &'static str,
    /// What is left for the reader.
    visible: &'static str,
    /// How the quoted tail begins; empty if there is none.
    quote: &'static str,
    /// How the signature begins; empty if there is none.
    signature: &'static str,
}

fn check(name: &str, text: &str, visible: &str, quote: &str, signature: &str) {
    let quotes = find(text);
    let begins = |at: Option<usize>| at.map(|at| &text[at..]);
    let found = |wanted: &str, at: Option<usize>| match begins(at) {
        None => wanted.is_empty(),
        Some(rest) => !wanted.is_empty() && rest.starts_with(wanted),
    };
    assert_eq!(quotes.visible(text), visible, "visible text of {name}");
    assert!(
        found(quote, quotes.quote),
        "quote of {name}: {:?}",
        begins(quotes.quote)
    );
    assert!(
        found(signature, quotes.signature),
        "signature of {name}: {:?}",
        begins(quotes.signature)
    );
}

fn check_all(cases: &[Case]) {
    for case in cases {
        check(
            case.name,
            case.text,
            case.visible,
            case.quote,
            case.signature,
        );
        // Line ends of the other kind change nothing but the offsets.
        let crlf = case.text.replace('\n', "\r\n");
        let visible = case.visible.replace('\n', "\r\n");
        let first = |text: &'static str| text.lines().next().unwrap_or_default();
        check(
            case.name,
            &crlf,
            &visible,
            first(case.quote),
            first(case.signature),
        );
    }
}

/// Every way to introduce a quote, above lines with a mark.
#[test]
fn attributions_above_marked_lines() {
    for attribution in [
        "On Mon, 2 Nov 2026 at 10:00, Aino Aalto <aino@c.example> wrote:",
        "On Mon, Nov 2, 2026 at 10:00 AM Aino Aalto <aino@c.example> wrote:",
        "On Mon, Nov 2, 2026 at 10:00 AM Support from a very long company name <\nsupport@desk.example> wrote:",
        "On Mon, Nov 2, 2026 at 10:00 AM Aino\nAalto <aino@c.example> wrote:",
        "On Mon, Nov 2, 2026 at 10:00 AM Aino Aalto\n<aino@c.example> wrote:",
        "On Mon, Nov 2, 2026 at 10:00 AM Aino Aalto via Support <\nsupport+very-long-address@desk.example>\nwrote:",
        "On 2 Nov 2026, at 10:00, Aino Aalto <aino@c.example> wrote:",
        "On Nov 2, 2026, at 10:00 AM, Aino Aalto <aino@c.example> wrote:",
        "On 02/11/2026 10:00, Aino Aalto wrote:",
        "On 11/2/26 10:00, Aino Aalto wrote:",
        "On Monday, November 2nd, 2026 at 10:00 AM, Aino Aalto <aino@c.example> wrote:",
        "On Monday, November 2, 2026 at 10:00:00 AM GMT+2, Aino Aalto <aino@c.example> wrote:",
        "Aino Aalto <aino@c.example> wrote:",
        "Support wrote:",
        "Quoting Aino Aalto <aino@c.example> on 2.11.2026 10:00:",
        "2026-11-02 10:00 GMT+02:00 Aino Aalto <aino@c.example>:",
        "ma 2. marrask. 2026 klo 10.00 Aino Aalto (aino@c.example) kirjoitti:",
        "ma 2. marraskuuta 2026 klo 10.00 Aino Aalto <aino@c.example> kirjoitti:",
        "Aino Aalto <aino@c.example> kirjoitti 2.11.2026 kello 10.00:",
        "Aino Aalto <aino@c.example> kirjoitti 2.11.2026 kello\n10.00:",
        "Aino Aalto kirjoitti 2.11.2026 klo 10.00:",
        "2.11.2026 10.00, Aino Aalto kirjoitti:",
        "maanantaina 2. marraskuuta 2026 Aino Aalto <aino@c.example> kirjoitti:",
        "Tukipalvelu kirjoitti:",
        "Den mån 2 nov. 2026 kl 10:00 skrev Aino Aalto <aino@c.example>:",
        "Den mån 2 nov.\n2026 kl 10:00 skrev Aino Aalto <aino@c.example>:",
        "2 nov. 2026 kl. 10:00 skrev Aino Aalto <aino@c.example>:",
        "Den 2026-11-02 kl. 10:00, skrev Aino Aalto:",
        "Aino Aalto skrev den 2026-11-02 10:00:",
        "Am Mo., 2. Nov. 2026 um 10:00 Uhr schrieb Aino Aalto <aino@c.example>:",
        "Am Mo., 2. Nov. 2026 um 10:00 Uhr schrieb Aino Aalto <\naino@c.example>:",
        "Am 02.11.2026 um 10:00 schrieb Aino Aalto <aino@c.example>:",
        "Am 02.11.26 um 10:00 schrieb Aino Aalto:",
        "Aino Aalto <aino@c.example> schrieb am Mo., 2. Nov. 2026, 10:00:",
        "Aino Aalto <aino@c.example> hat am 02.11.2026 10:00 CET geschrieben:",
        "Le lun. 2 nov. 2026 à 10:00, Aino Aalto <aino@c.example> a écrit :",
        "El lun, 2 nov 2026 a las 10:00, Aino Aalto (<aino@c.example>) escribió:",
        "Op ma 2 nov 2026 om 10:00 schreef Aino Aalto <aino@c.example>:",
        "Il giorno lun 2 nov 2026 alle ore 10:00 Aino Aalto <aino@c.example> ha scritto:",
        "пн, 2 нояб. 2026 г. в 10:00, Aino Aalto <aino@c.example>:",
    ] {
        let first = attribution.lines().next().unwrap();
        for gap in ["", "\n"] {
            let text = format!(
                "Kiitos, tämä toimii.\n\n{attribution}\n{gap}> vanha viesti\n>\n> > vielä vanhempi\n"
            );
            check(attribution, &text, "Kiitos, tämä toimii.", first, "");
            // Directly below the answer, as short answers are.
            let text = format!("Thanks!\n{attribution}\n{gap}> old");
            check(attribution, &text, "Thanks!", first, "");
        }
    }
}

/// The strong ones count without marks, too: Yahoo and phones quote so.
#[test]
fn attributions_above_bare_text() {
    for attribution in [
        "On Monday, November 2, 2026 at 10:00:00 AM GMT+2, Aino Aalto <aino@c.example> wrote:",
        "On Mon, Nov 2, 2026 at 10:00 AM Support from a very long company name <\nsupport@desk.example> wrote:",
        "Aino Aalto <aino@c.example> kirjoitti 2.11.2026 kello 10.00:",
        "ma 2. marrask. 2026 klo 10.00 Aino Aalto (aino@c.example) kirjoitti:",
        "Den mån 2 nov. 2026 kl 10:00 skrev Aino Aalto <aino@c.example>:",
        "Am Mo., 2. Nov. 2026 um 10:00 Uhr schrieb Aino Aalto <aino@c.example>:",
    ] {
        let text = format!("Thanks!\n\n{attribution}\n\nDear customer,\n\nhow are you?\n");
        let first = attribution.lines().next().unwrap();
        check(attribution, &text, "Thanks!", first, "");
    }
    for sentence in [
        "On Monday at 10:00 you wrote:",
        "On 2.11.2026 at 10:00 you wrote this to aino@c.example:",
        "My colleague wrote:",
        "I called on Monday at 10:00, and this is what I want:",
        "Te kirjoititte 2.11.2026 klo 10.00:",
        "Kirjoitin teille 2.11.2026:",
        "Here is the log from 10:00:",
    ] {
        let text = format!("Hello,\n{sentence}\n\nthe answer");
        check(sentence, &text, &text, "", "");
    }
}

#[test]
fn blocks_of_header_lines_in_many_languages() {
    for [from, sent, to, subject] in [
        ["From", "Sent", "To", "Subject"],
        ["From", "Date", "To", "Subject"],
        ["Lähettäjä", "Lähetetty", "Vastaanottaja", "Aihe"],
        ["Lähettäjä", "Päivämäärä", "Vastaanottaja", "Aihe"],
        ["Från", "Skickat", "Till", "Ämne"],
        ["Von", "Gesendet", "An", "Betreff"],
        ["Von", "Datum", "An", "Betreff"],
        ["De", "Envoyé", "À", "Objet"],
        ["Fra", "Sendt", "Til", "Emne"],
    ] {
        for (before, after) in [("", ":"), ("*", ":*"), ("", " :"), ("**", ":**")] {
            let block = format!(
                "{before}{from}{after} Tuki <tuki@desk.example>\n{before}{sent}{after} 2. marraskuuta 2026 10:00\n\
                 {before}{to}{after} Aino Aalto <aino@c.example>; Bo\nBerg <bo@c.example>\n{before}Cc{after} x@c.example\n\
                 {before}{subject}{after} RE: Tilaus"
            );
            let first = block.lines().next().unwrap();
            for rule in [
                "",
                "________________________________\n",
                "-----Original Message-----\n",
            ] {
                let text = format!("Kiitos!\n\n{rule}{block}\n\nHei Aino,\n\nvanha\n");
                let begin = if rule.is_empty() {
                    first
                } else {
                    rule.trim_end()
                };
                check(&block, &text, "Kiitos!", begin, "");
            }
            let alone = format!("{block}\n\nHei Aino,\n\nvanha");
            check(&block, &alone, &alone, "", "");
        }
    }
}

#[test]
fn a_journey_is_no_header() {
    for text in [
        "Hello,\n\nFrom: Helsinki\nTo: Turku\nDate: 2.11.2026 10:00\n\nIs there a train?",
        "Hei,\n\nAihe: lasku 5\n\nMilloin se erääntyy?",
        "Bonjour,\n\nDe: Paris\n\nA: Lyon",
    ] {
        check(text, text, text, "", "");
    }
}

#[test]
fn lines_of_mail_programs_are_signatures() {
    for line in [
        "Sent from my iPhone",
        "Sent from my Samsung Galaxy smartphone.",
        "Sent from Outlook for iOS",
        "Get Outlook for Android",
        "Get Outlook for iOS<https://aka.ms/o0ukef>",
        "Sent from Mail for Windows",
        "Sent from Yahoo Mail on Android",
        "Sent with Proton Mail secure email.",
        "Sent from Proton Mail for iOS",
        "Lähetetty iPhonesta",
        "Lähetetty iPhonestani",
        "Lähetetty omasta iPadistani",
        "Lähetetty Samsung Galaxy -älypuhelimesta.",
        "Hanki Outlook for Android",
        "Lähetetty Outlook for iOS:stä",
        "Skickat från min iPhone",
        "Skickat från Outlook för Android",
        "Hämta Outlook för iOS",
        "Von meinem iPhone gesendet",
        "Von meinem Samsung Galaxy Smartphone gesendet.",
        "Gesendet von Outlook für iOS",
        "Gesendet von Mail für Windows",
        "Holen Sie sich Outlook für iOS",
        "Diese Nachricht wurde von meinem Android-Gerät mit K-9 Mail gesendet.",
        "Envoyé de mon iPhone",
    ] {
        let text = format!("Ok.\n\n{line}");
        check(line, &text, "Ok.", "", line);
        let text = format!(
            "Ok.\n\n{line}\n\n> On Mon, 2 Nov 2026 at 10:00, Aino <a@c.example> wrote:\n>\n> old\n"
        );
        check(line, &text, "Ok.", "> On Mon", line);
    }
    for line in [
        "Sent from our warehouse on Monday.",
        "Lähetetty maanantaina.",
        "Sent via DHL.",
    ] {
        let text = format!("It was\n\n{line}");
        check(line, &text, &text, "", "");
    }
}

#[test]
fn offsets_count_characters() {
    let text = "Päivää 😀\n\n-- \nÄijä\n\nAino kirjoitti:\n> ö\n";
    let offsets = find(text).in_characters(text);
    let after = |count: usize| text.chars().skip(count).collect::<String>();
    assert!(after(offsets.signature.unwrap()).starts_with("-- \nÄijä"));
    assert!(after(offsets.quote.unwrap()).starts_with("Aino kirjoitti"));
    assert_eq!(find("").in_characters(""), super::Offsets::default());
}

/// Each of these took time with the square of its length in a naive reader.
#[test]
fn hostile_texts_take_no_longer_than_others() {
    let lines = 100_000;
    for piece in [
        "> q\n",
        ">\n",
        "x wrote:\n",
        "x wrote:\n\n\n\n",
        "From: x\n",
        "From: x\nSubject: y\n\n\n",
        "-- \n",
        "> a\nb\n",
        "On 10:00 a@b wrote\n",
        "________________________\n",
        "\n",
        "<<<<<<<<:\n",
        "-----\n",
    ] {
        let text = piece.repeat(lines);
        // A debug build reads each in well under a second; the square of 100,000 would be hours.
        let quotes = find(&text);
        assert!(quotes.quote.is_none_or(|at| text.is_char_boundary(at)));
    }
    let wide = format!("{}:", "On 2.11.2026 10:00 a@b wrote ".repeat(100_000));
    assert_eq!(find(&wide).quote, None);
}
