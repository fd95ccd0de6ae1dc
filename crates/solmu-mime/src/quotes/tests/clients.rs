//! Whole texts of the big clients.

use super::{Case, check_all};

const ABOVE: &[Case] = &[
    Case {
        name: "gmail, wrapped, with a signature below the quote",
        text: "Yes, I am providing you step how to reproduce this issue\n\nOn Thu, Aug 19, 2021 at 2:07 PM Tejaswini from Email sender test <\ntejaswini@c.example> wrote:\n\n> Any update on this?\n>\n>\n\n--\n* Sony Mathew*\nSoftware developer\n",
        visible: "Yes, I am providing you step how to reproduce this issue",
        quote: "On Thu, Aug 19",
        signature: "--\n* Sony",
    },
    Case {
        name: "gmail in Finnish with a signature above the quote",
        text: "Hei,\n\nkiitos, toimii.\n\n-- \nAino Aalto\np. 050 123\n\nma 2. marrask. 2026 klo 10.00 Tuki <tuki@desk.example> kirjoitti:\n\n> Hei Aino,\n> kokeilkaa nyt.\n> -- \n> Tuki\n",
        visible: "Hei,\n\nkiitos, toimii.",
        quote: "ma 2. marrask.",
        signature: "-- \nAino",
    },
    Case {
        name: "apple mail on a phone",
        text: "Ok, thanks.\n\nSent from my iPhone\n\n> On 2 Nov 2026, at 10.00, Support <s@desk.example> wrote:\n> \n> Hello\n",
        visible: "Ok, thanks.",
        quote: "> On 2 Nov",
        signature: "Sent from",
    },
    Case {
        name: "outlook on a desktop, Finnish",
        text: "Hei\n\nEi onnistu vieläkään.\n\nYstävällisin terveisin\nAino Aalto\n\nLähettäjä: Tuki <tuki@desk.example> \nLähetetty: maanantai 2. marraskuuta 2026 10.00\nVastaanottaja: Aino Aalto <aino@c.example>\nAihe: VS: Kirjautuminen\n\nHei,\n\nkokeilkaa uudelleen.\n",
        visible: "Hei\n\nEi onnistu vieläkään.\n\nYstävällisin terveisin\nAino Aalto",
        quote: "Lähettäjä: Tuki",
        signature: "",
    },
    Case {
        name: "outlook on a phone",
        text: "Fine.\n\nGet Outlook for iOS<https://aka.ms/o0ukef>\n________________________________\nFrom: Support <s@desk.example>\nSent: Monday, November 2, 2026 10:00:00 AM\nTo: Aino <aino@c.example>\nSubject: Re: x\n\nold\n",
        visible: "Fine.",
        quote: "________",
        signature: "Get Outlook",
    },
    Case {
        name: "outlook on the web, Swedish",
        text: "Tack!\n\n________________________________\nFrån: Kundtjänst <k@desk.example>\nSkickat: den 2 november 2026 10:00\nTill: Bo <bo@c.example>\nÄmne: SV: Order\n\nHej Bo\n",
        visible: "Tack!",
        quote: "________",
        signature: "",
    },
    Case {
        name: "gmx, German, the date first",
        text: "Danke schön!\n\n\nGesendet: Montag, 02. November 2026 um 10:00 Uhr\nVon: \"Support\" <s@desk.example>\nAn: bo@c.example\nBetreff: Re: Bestellung\n\nGuten Tag\n",
        visible: "Danke schön!",
        quote: "Gesendet: Montag",
        signature: "",
    },
    Case {
        name: "thunderbird with a signature",
        text: "Passt.\n\nAm 02.11.26 um 10:00 schrieb Support:\n> Guten Tag\n> Bo\n\n-- \nBo Berg\n",
        visible: "Passt.",
        quote: "Am 02.11.26",
        signature: "-- \nBo",
    },
    Case {
        name: "yahoo",
        text: "works now\n\n    On Monday, November 2, 2026 at 10:00:00 AM GMT+2, Support <s@desk.example> wrote:  \n \n Hello,\n\nplease try again.\n",
        visible: "works now",
        quote: "    On Monday",
        signature: "",
    },
    Case {
        name: "yahoo on a phone",
        text: "works\n\nSent from Yahoo Mail on Android \n \n  On Mon, 2 Nov 2026 at 10:00, Support<s@desk.example> wrote:   Hello,",
        visible: "works",
        quote: "",
        signature: "Sent from Yahoo",
    },
    Case {
        name: "proton",
        text: "Thank you.\n\nSent with [Proton Mail](https://proton.me/) secure email.\n\nOn Monday, November 2nd, 2026 at 10:00 AM, Support <s@desk.example> wrote:\n\n> Hello\n>\n> there",
        visible: "Thank you.",
        quote: "On Monday",
        signature: "Sent with",
    },
    Case {
        name: "old proton",
        text: "Thank you.\n\n------- Original Message -------\nOn Monday, November 2nd, 2026 at 10:00, Support <s@desk.example> wrote:\n\n> Hello",
        visible: "Thank you.",
        quote: "------- Original",
        signature: "",
    },
    Case {
        name: "samsung, Finnish",
        text: "Ok\n\n\nLähetetty Galaxysta\n\n\n-------- Alkuperäinen viesti --------\nLähettäjä: Tuki <t@desk.example> \nPäivämäärä: 2.11.2026 10.00 (GMT+02:00) \nVastaanottaja: a@c.example \nAihe: Re: x \n\nHei",
        visible: "Ok",
        quote: "-------- Alku",
        signature: "Lähetetty Galaxy",
    },
    Case {
        name: "zoho",
        text: "Fine\n\n---- On Mon, 02 Nov 2026 10:00:00 +0200 Support <s@desk.example> wrote ----\n\nHello",
        visible: "Fine",
        quote: "---- On",
        signature: "",
    },
    Case {
        name: "a help desk's marker",
        text: "Fine\n\n##- Please type your reply above this line -##\n\nHello",
        visible: "Fine",
        quote: "##-",
        signature: "",
    },
    Case {
        name: "two levels, each with its line",
        text: "Third\n\nOn Tue, 3 Nov 2026 at 10:00, A <a@c.example> wrote:\n> Second\n>\nOn Mon, 2 Nov 2026 at 10:00, B <b@c.example> wrote:\n>> First\n",
        visible: "Third",
        quote: "On Tue",
        signature: "",
    },
    Case {
        name: "a mailing list's footer",
        text: "Agreed.\n\nOn Mon, 2 Nov 2026 at 10:00, B <b@c.example> wrote:\n> x\n\n_______________________________________________\nusers mailing list\nhttps://lists.c.example/users\n",
        visible: "Agreed.",
        quote: "On Mon",
        signature: "_____",
    },
    Case {
        name: "quoted lines without a word above them",
        text: "Okay\n\n> the question",
        visible: "Okay",
        quote: "> the",
        signature: "",
    },
    Case {
        name: "marked tail, and an unmarked one below it",
        text: "New\n\nOn Tue, 3 Nov 2026 at 10:00, A <a@c.example> wrote:\n> Second\n\n-----Original Message-----\nFrom: B\n\nFirst",
        visible: "New",
        quote: "On Tue",
        signature: "",
    },
];

#[test]
fn answers_above_a_quote() {
    check_all(ABOVE);
}

/// What looks like a part of a quote, and was written by the sender.
#[test]
fn the_senders_own_lines_stay_visible() {
    check_all(&[
        Case {
            name: "a time above the attribution",
            text: "see you at 10:00\nSupport wrote:\n> when?",
            visible: "see you at 10:00",
            quote: "Support wrote",
            signature: "",
        },
        Case {
            name: "items of a list",
            text: "Please send:\n- original\n- Original message\n- copy",
            visible: "Please send:\n- original\n- Original message\n- copy",
            quote: "",
            signature: "",
        },
        Case {
            name: "a rule between two parts",
            text: "First\n\n--------------------\n\nSecond",
            visible: "First\n\n--------------------\n\nSecond",
            quote: "",
            signature: "",
        },
        Case {
            name: "a form",
            text: "Name: Aino\nFrom: Helsinki\nSubject: journey\n\nHello",
            visible: "Name: Aino\nFrom: Helsinki\nSubject: journey\n\nHello",
            quote: "",
            signature: "",
        },
    ]);
}

#[test]
fn answers_below_and_between() {
    check_all(&[
        Case {
            name: "below",
            text: "On Mon, 2 Nov 2026 at 10:00, A <a@c.example> wrote:\n> Which size?\n\nForty-two.\n\n-- \nBo\n",
            visible: "On Mon, 2 Nov 2026 at 10:00, A <a@c.example> wrote:\n> Which size?\n\nForty-two.",
            quote: "",
            signature: "-- \nBo",
        },
        Case {
            name: "between, ended by an answer",
            text: "Hi,\n\nA wrote:\n> Which size?\nForty-two.\n> Which colour?\nGreen.\n",
            visible: "Hi,\n\nA wrote:\n> Which size?\nForty-two.\n> Which colour?\nGreen.",
            quote: "",
            signature: "",
        },
        Case {
            name: "between, ended by a quote",
            text: "A wrote:\n> Which size?\nForty-two.\n\n> Thank you,\n> A\n",
            visible: "A wrote:\n> Which size?\nForty-two.",
            quote: "> Thank you",
            signature: "",
        },
        Case {
            name: "between, with a signature of the sender below",
            text: "> Which size?\n\nForty-two.\n\n> Which colour?\n\n-- \nBo\n",
            visible: "> Which size?\n\nForty-two.",
            quote: "> Which colour?",
            signature: "-- \nBo",
        },
    ]);
}

#[test]
fn forwarded_mail_is_the_message() {
    let gmail = "---------- Forwarded message ---------\nLähettäjä: Kauppa <k@shop.example>\nDate: ma 2. marrask. 2026 klo 10.00\nSubject: Tilaus\nTo: <aino@c.example>\n\nKiitos tilauksesta.\n\n-- \nKauppa";
    let apple = "Begin forwarded message:\n\n> From: Shop <s@shop.example>\n> Subject: Order\n> Date: 2 November 2026\n> To: aino@c.example\n>\n> Thank you.";
    let apple_fi =
        "Välitetty viesti alkaa:\n\nLähettäjä: Shop <s@shop.example>\nAihe: Order\n\nKiitos.";
    let thunderbird = "-------- Välitetty viesti --------\nAihe: \tTilaus\nPäiväys: \tMon, 2 Nov 2026 10:00:00 +0200\nLähettäjä: \tKauppa <k@shop.example>\nVastaanottaja: \taino@c.example\n\nKiitos.";
    let german = "-------- Weitergeleitete Nachricht --------\nBetreff: Bestellung\nVon: Laden <l@shop.example>\n\nDanke.";
    let swedish =
        "Vidarebefordrat brev:\n\n> Från: Butik <b@shop.example>\n> Ämne: Order\n>\n> Tack.";
    let outlook = "From: Shop <s@shop.example>\nSent: Monday, November 2, 2026 10:00 AM\nTo: Aino <a@c.example>\nSubject: Order\n\nThank you.\n\nOn Sun, 1 Nov 2026 at 9:00, Aino <a@c.example> wrote:\n> my order";
    for text in [
        gmail,
        apple,
        apple_fi,
        thunderbird,
        german,
        swedish,
        outlook,
    ] {
        super::check(text, text, text, "", "");
        let signed = format!("-- \nAino Aalto\n\n{text}");
        super::check(text, &signed, &signed, "", "");
        let answered = format!("Can you look at this?\n\n{text}");
        let first = text.lines().next().unwrap();
        super::check(text, &answered, "Can you look at this?", first, "");
    }
}

#[test]
fn signatures_by_themselves() {
    check_all(&[
        Case {
            name: "rfc 3676",
            text: "Hello\n-- \nAino",
            visible: "Hello",
            quote: "",
            signature: "-- ",
        },
        Case {
            name: "the first of two",
            text: "Hello\n\n-- \nAino\n-- \nlist footer",
            visible: "Hello",
            quote: "",
            signature: "-- \nAino",
        },
        Case {
            name: "dashes between two long halves",
            text: "First\n--\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14",
            visible: "First\n--\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14",
            quote: "",
            signature: "",
        },
        Case {
            name: "clearsigned",
            text: "Hello\n- -- \nAino\n-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----",
            visible: "Hello",
            quote: "",
            signature: "- --",
        },
        Case {
            name: "nothing else",
            text: "Sent from my iPhone",
            visible: "",
            quote: "",
            signature: "Sent from",
        },
        Case {
            name: "an empty answer",
            text: "A <a@c.example> wrote:\n> old",
            visible: "",
            quote: "A <a@c",
            signature: "",
        },
        Case {
            name: "only marked lines",
            text: "> a poem\n> of two lines",
            visible: "> a poem\n> of two lines",
            quote: "",
            signature: "",
        },
        Case {
            name: "nothing",
            text: "",
            visible: "",
            quote: "",
            signature: "",
        },
    ]);
}
