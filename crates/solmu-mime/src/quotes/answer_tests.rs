//! What goes out of an agent's mail. The mails go through the reader, from their bytes.

use super::{Answer, Doubt, answer};
use crate::parse::{ParseLimits, parse};

/// The text that the reader makes of a mail with this content.
fn read(kind: &str, body: &str) -> String {
    let mail = format!("From: v@desk.example\nContent-Type: {kind}; charset=utf-8\n\n{body}");
    parse(
        mail.replace('\n', "\r\n").as_bytes(),
        &ParseLimits::default(),
    )
    .text
}

fn plain(body: &str) -> (String, Answer) {
    let text = read("text/plain", body);
    let answer = answer(&text);
    (answer.sent(&text).to_owned(), answer)
}

#[test]
fn with_nothing_new_nothing_is_sent() {
    for body in [
        "\n\n________________________________\nFrom: Boss\nSent: x\nTo: y\nSubject: z\n\nSECRET",
        "-- \nVille\n\n-----Original Message-----\nFrom: Boss <b@desk.example>\nSent: x\n\nSECRET",
        "Sent from my iPhone\n\nOn 22 Nov 2026, at 23:20, Boss <b@desk.example> wrote:\n\nSECRET",
        "Get Outlook for Android<https://aka.ms/x>\n________________________________\nFrom: Boss <b@desk.example>\nSent: x\nTo: y\nSubject: z\n\nSECRET",
        "Sent from Outlook\n<https://aka.ms/x>\n\n> SECRET",
        "> SECRET\n> more\n",
        "\n\n> SECRET\n\n-- \nVille\n",
        "On Mon, 2 Nov 2026 at 10:00, Boss <b@desk.example> wrote:\n> SECRET\n",
        "---------- Forwarded message ---------\nFrom: Boss <b@desk.example>\nDate: x\n\nSECRET",
        "From: Boss <b@desk.example>\nSent: Monday\n\nSECRET",
        "",
        "\u{200b}\n \n",
    ] {
        let (sent, answer) = plain(body);
        assert!(!answer.written && !sent.contains("SECRET"), "{body}");
    }
}

#[test]
fn html_of_outlook_alone() {
    let text = read(
        "text/html",
        "<html><body><p></p><div><b>From:</b> Boss<br><b>Sent:</b> now<br><b>To:</b> Ville<br><b>Subject:</b> x</div>\
         <p>SECRET</p></body></html>",
    );
    assert!(text.contains("SECRET"));
    assert!(!answer(&text).written);
}

#[test]
fn from_the_first_sign_of_a_quote_on_nothing_is_sent() {
    for (body, left_out) in [
        ("Hello.\n\nOn Monday, Aino wrote:\n> SECRET\n", (0, 0)),
        ("Hello.\n\n> SECRET\n> more\n\n-- \nVille\n", (0, 2)),
        (
            "Hello.\n\nEm seg., Boss <b@desk.example> disse:\n> SECRET\n",
            (0, 0),
        ),
        (
            "Hello.\n\n-- \nVille V\nDesk\n\nOn Monday, Aino wrote:\n> SECRET\n",
            (3, 0),
        ),
        ("Hello.\n\nSent from my iPhone\n\n> SECRET", (1, 0)),
        (
            "Hello.\n\nFrom: Boss <b@desk.example>\nDate: x\nSECRET\n",
            (0, 3),
        ),
        (
            "Hello.\n\n-----Original Message-----\nFrom: Boss\nSent: x\nSubject: z\n\nSECRET\n> older\n",
            (0, 5),
        ),
        (
            "Hello.\n\nOn Mon, 2 Nov 2026 at 10:00, Boss <b@desk.example> wrote:\n\nSECRET\n",
            (0, 1),
        ),
        // What a company adds below.
        (
            "Hello.\n\nOn Monday, Aino wrote:\n> SECRET\n\nThis mail is confidential.\n",
            (0, 1),
        ),
    ] {
        let (sent, answer) = plain(body);
        assert_eq!((sent.as_str(), answer.doubt), ("Hello.", None), "{body}");
        let counted = (answer.left_out.signature, answer.left_out.below);
        assert_eq!(counted, left_out, "{body}");
    }
}

#[test]
fn where_the_agents_own_words_end_is_not_guessed() {
    for (body, doubt) in [
        (
            "> SECRET from boss\nyes\n> SECRET two\nno\n",
            Doubt::Between,
        ),
        (
            "Hello.\n\n> One?\n\nYes.\n\n> Two?\n\nNo.\n",
            Doubt::Between,
        ),
        (
            "Hello.\n\nOn Monday, Aino wrote:\n> One?\nYes.\n> Two?\n",
            Doubt::Between,
        ),
        ("> Does it work?\n\nYes.\n", Doubt::Between),
        (
            "Hello.\n\n> Does it work?\n\nYes, it does.\n",
            Doubt::Between,
        ),
        (
            "Hello.\n\nBoss <b@desk.example> wrote:\n\nSECRET\n",
            Doubt::Introduced,
        ),
        (
            "Hello.\n\n2026-11-22, b@desk.example:\n\nSECRET\n",
            Doubt::Introduced,
        ),
    ] {
        assert_eq!(plain(body).1.doubt, Some(doubt), "{body}");
    }
}

#[test]
fn an_answer_is_not_cut_for_less() {
    for body in [
        "Please do this:\n\n--\nStep 1\nStep 2",
        "Two ways:\n\n———\nOne\n\n—\nTwo",
        "Sent from my phone shop: see below.\nIt is on its way to you.",
        "From: Helsinki\nTo: Turku\nWhen?",
        "As you wrote at 10:00:\n\nit is broken.",
        "Our hours:\nMon 10:00\n",
        "See\n____________________\nhttps://desk.example/help",
    ] {
        let (sent, answer) = plain(body);
        assert_eq!(sent, body.trim());
        assert_eq!((answer.doubt, answer.left_out.below), (None, 0));
    }
}
